//! Who may come in, and how that is shown.

use super::{COUNT, field, live};
use crate::config::settings::{Kind, Setting};
use crate::config::values::{self, AUTH_TYPES};

/// Looks a user up as pgbouncer's default does: nobody who may not log in, no secret past `VALID UNTIL`
/// (CVE-2025-2291). Every name and operator bears its schema: the server's search_path must not decide what runs
/// here (CVE-2025-12819).
const AUTH_QUERY: &str = "SELECT a.rolname, CASE WHEN a.rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() \
    THEN NULL ELSE a.rolpassword END FROM pg_catalog.pg_authid AS a \
    WHERE a.rolname OPERATOR(pg_catalog.=) $1 AND a.rolcanlogin";

pub(super) const ROWS: &[Setting] = &[
    live(
        "auth_type",
        Kind::Choice(AUTH_TYPES),
        Some("md5"),
        field!(auth_type, values::auth_type),
        "How clients prove who they are; md5 uses SCRAM where the stored secret is a SCRAM secret.",
    ),
    live("auth_file", Kind::Path, None, field!(auth_file), "The list of users and secrets."),
    live(
        "auth_hba_file",
        Kind::Path,
        None,
        field!(auth_hba_file),
        "With auth_type=hba: who may come from where, and how they prove who they are.",
    ),
    live(
        "auth_ident_file",
        Kind::Path,
        None,
        field!(auth_ident_file),
        "The maps of user names that lines of auth_hba_file name with map=.",
    ),
    live(
        "auth_user",
        Kind::Text,
        None,
        field!(auth_user),
        "As whom auth_query runs, for users that auth_file lacks.",
    ),
    live(
        "auth_query",
        Kind::Text,
        Some(AUTH_QUERY),
        field!(auth_query),
        "Finds name and secret of the user $1.",
    ),
    live(
        "auth_dbname",
        Kind::Text,
        None,
        field!(auth_dbname),
        "The database entry that auth_query runs in. Not given: the client's.",
    ),
    live(
        "auth_ldap_options",
        Kind::Text,
        None,
        field!(auth_ldap_options),
        "With auth_type=ldap: where the directory is and how it is asked, as after ldap in pg_hba.conf.",
    ),
    live(
        "scram_iterations",
        COUNT,
        Some("4096"),
        field!(scram_iterations, values::scram_iterations),
        "Iterations of SCRAM secrets made from plain passwords.",
    ),
    live(
        "admin_users",
        Kind::List,
        Some(""),
        field!(admin_users),
        "Who may do everything on the console.",
    ),
    live("stats_users", Kind::List, Some(""), field!(stats_users), "Who may look at the console."),
];
