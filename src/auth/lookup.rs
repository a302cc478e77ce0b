//! Where a user's secret comes from: `auth_file` first, then auth_query.
//!
//! Only the decisions. Running the query is the caller's business; it must not carry anything of the client's over to
//! the connection it uses (CVE-2025-12819: a client's search_path made auth_query lie).

use std::fmt;

use super::secret::Secret;
use crate::config::{Database, Settings, Userlist};

/// What is to be done to learn a user's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Here it is.
    Known(Secret),
    /// The server has to be asked.
    Ask(Ask),
    /// There is no such user.
    Unknown,
}

/// An auth_query to be run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// As whom.
    pub as_user: String,
    /// In which entry of `[databases]`.
    pub dbname: String,
    /// The query; `$1` is the user's name.
    pub sql: String,
}

/// Decides where `user`'s secret comes from. `database` is the entry that the client asked for; `None` if there is
/// none, or if it is the console.
pub fn lookup(
    user: &str,
    database: Option<&Database>,
    settings: &Settings,
    userlist: &Userlist,
) -> Lookup {
    if let Some(secret) = userlist.users.get(user) {
        return Lookup::Known(Secret::parse(secret.reveal()));
    }
    let own = |pick: fn(&Database) -> &Option<String>| {
        database.and_then(|database| pick(database).clone())
    };
    let as_user = own(|database| &database.auth_user).or_else(|| settings.auth_user.clone());
    let dbname = own(|database| &database.auth_dbname)
        .or_else(|| settings.auth_dbname.clone())
        .or_else(|| database.map(|database| database.name.clone()));
    match (as_user, dbname) {
        (Some(as_user), Some(dbname)) => {
            let sql =
                own(|database| &database.auth_query).unwrap_or_else(|| settings.auth_query.clone());
            Lookup::Ask(Ask { as_user, dbname, sql })
        }
        _ => Lookup::Unknown,
    }
}

/// Why the answer to an auth_query cannot be used. All are mistakes in the query, not in the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsError {
    /// It must give name and secret.
    Columns {
        /// How many it gives.
        found: usize,
    },
    /// It gave somebody else.
    OtherUser {
        /// Who was asked for.
        asked: String,
    },
    /// It gave several rows that differ.
    Ambiguous {
        /// Who was asked for.
        asked: String,
        /// How many rows.
        rows: usize,
    },
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { found } => {
                write!(
                    f,
                    "auth_query gives {found} columns; it must give exactly 2: user name and secret"
                )
            }
            // What came is not told: it is a secret where the columns are the wrong way round.
            Self::OtherUser { asked } => {
                write!(
                    f,
                    "auth_query was asked for user {asked:?} and gave another name; its columns are name and secret, \
                     and it must compare with = $1, exactly"
                )
            }
            Self::Ambiguous { asked, rows } => {
                write!(
                    f,
                    "auth_query gives {rows} different rows for user {asked:?}; it must give one"
                )
            }
        }
    }
}

impl std::error::Error for RowsError {}

/// Reads the answer to an auth_query. No row: no such user. NULL for the secret: a user without a password.
///
/// # Errors
/// See [`RowsError`]; the client is refused, and the failure counted as one of the look-up.
pub fn read_rows(asked: &str, rows: &[Vec<Option<String>>]) -> Result<Option<Secret>, RowsError> {
    let Some((first, others)) = rows.split_first() else { return Ok(None) };
    let [name, secret] = first.as_slice() else {
        return Err(RowsError::Columns { found: first.len() });
    };
    if name.as_deref() != Some(asked) {
        return Err(RowsError::OtherUser { asked: asked.to_owned() });
    }
    if others.iter().any(|other| other != first) {
        return Err(RowsError::Ambiguous { asked: asked.to_owned(), rows: rows.len() });
    }
    Ok(Some(secret.as_deref().map_or_else(Secret::none, Secret::parse)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::{Config, SecretText, parse_text};

    fn config(pgbouncer: &str, databases: &str) -> Config {
        parse_text(&format!("[databases]\n{databases}\n[pgbouncer]\n{pgbouncer}\n")).unwrap()
    }

    fn ask(as_user: &str, dbname: &str, sql: &str) -> Lookup {
        Lookup::Ask(Ask {
            as_user: as_user.to_owned(),
            dbname: dbname.to_owned(),
            sql: sql.to_owned(),
        })
    }

    #[test]
    fn the_file_is_asked_before_the_server() {
        let config = config("auth_user = asker", "app = host=db");
        let users = [("joe".to_owned(), SecretText::new("pencil".to_owned()))].into();
        let (app, list) = (config.database("app"), Userlist { users });
        let found = lookup("joe", app.as_deref(), &config.settings, &list);
        assert_eq!(found, Lookup::Known(Secret::Plain("pencil".to_owned())));
        let found = lookup("jim", app.as_deref(), &config.settings, &list);
        assert_eq!(found, ask("asker", "app", &config.settings.auth_query));
    }

    #[test]
    fn without_auth_user_who_is_not_in_the_file_is_unknown() {
        let config = config("", "app = host=db");
        let app = config.database("app");
        assert_eq!(
            lookup("joe", app.as_deref(), &config.settings, &Userlist::default()),
            Lookup::Unknown
        );
    }

    #[test]
    fn a_database_entrys_own_auth_settings_come_before_the_global_ones() {
        let config = config(
            "auth_user = asker\nauth_dbname = users\nauth_query = select a, b from c($1)",
            "app = host=db auth_user=own auth_dbname=ownusers auth_query='select 1, $1'\nusers = host=db\n\
             ownusers = host=db\nother = host=db",
        );
        let of = |name: &str| {
            lookup("joe", config.database(name).as_deref(), &config.settings, &Userlist::default())
        };
        assert_eq!(of("app"), ask("own", "ownusers", "select 1, $1"));
        assert_eq!(of("other"), ask("asker", "users", "select a, b from c($1)"));
        // The console, or a database that does not exist: only auth_dbname tells where to ask.
        assert_eq!(of("absent"), ask("asker", "users", "select a, b from c($1)"));
    }

    fn row(name: Option<&str>, secret: Option<&str>) -> Vec<Option<String>> {
        vec![name.map(str::to_owned), secret.map(str::to_owned)]
    }

    #[test]
    fn no_row_is_no_user_and_null_is_a_user_without_a_password() {
        assert_eq!(read_rows("joe", &[]), Ok(None));
        assert_eq!(read_rows("joe", &[row(Some("joe"), None)]), Ok(Some(Secret::none())));
        let found = read_rows("joe", &[row(Some("joe"), Some("pencil"))]);
        assert_eq!(found, Ok(Some(Secret::Plain("pencil".to_owned()))));
    }

    #[test]
    fn an_auth_query_that_answers_for_somebody_else_is_not_believed() {
        for name in [Some("jim"), Some("Joe"), Some("joe "), Some(""), None] {
            let found = read_rows("joe", &[row(name, Some("pencil"))]);
            assert!(matches!(found, Err(RowsError::OtherUser { .. })), "{name:?}");
        }
    }

    #[test]
    fn an_auth_query_must_give_two_columns_and_one_opinion() {
        for columns in [0, 1, 3] {
            let found = read_rows("joe", &[vec![Some("joe".to_owned()); columns]]);
            assert_eq!(found, Err(RowsError::Columns { found: columns }));
        }
        let (one, other) = (row(Some("joe"), Some("a")), row(Some("joe"), Some("b")));
        assert!(read_rows("joe", &[one.clone(), one.clone()]).is_ok());
        let error = read_rows("joe", &[one, other]).unwrap_err();
        assert_eq!(error, RowsError::Ambiguous { asked: "joe".to_owned(), rows: 2 });
        assert!(!error.to_string().contains("\"a\""));
    }
}
