//! Every difference between pgbouncer and pgweir that the conversations show, and why it may be.
//!
//! Beside this list only this may differ:
//! - Errors of pgweir's own have PostgreSQL's field `V` and may have a DETAIL and a HINT, where pgbouncer has severity,
//!   SQLSTATE and text (better: `psql` and drivers show them).
//! - The order of ParameterStatus in a row, and which database and user the head of a line in the log names (pgbouncer
//!   knows either later).
//! - Age. pgweir is measured by pgbouncer 1.25.2, and the one beside may be older: where 1.18 does otherwise, or cannot
//!   at all, what 1.25.2 said stands in `recorded.json`, and pgweir is compared with that.

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Deliberate: who relied on pgbouncer's way loses nothing.
    Better,
    /// Deliberate: neither is better.
    Different,
    /// A mistake of pgweir's, known and to be mended.
    Bug,
}

/// Lines of pgbouncer's side that stand in a row, and those that pgweir's side has in their place.
///
/// `*` in a line stands for anything, the line [`REST`] for all lines that follow.
pub type Change = (&'static [&'static str], &'static [&'static str]);

/// See [`Change`].
pub const REST: &str = "...";

/// One difference.
#[derive(Debug)]
pub struct Rule {
    /// What kind of difference.
    pub class: Class,
    /// What differs.
    pub what: &'static str,
    /// Why it may.
    pub why: &'static str,
    /// The conversations that it is seen in; `*` stands for anything.
    pub on: &'static [&'static str],
    /// How it is seen; each is seen somewhere.
    pub changes: &'static [Change],
}

/// Proper SQLSTATEs where pgbouncer says 08P01 (better: drivers tell a wrong password from a full pool).
pub const CODES: &[(&str, &str)] = &[
    ("ErrorResponse FATAL: PQexec disallowed", "0A000"),
    ("ErrorResponse FATAL: transaction blocks not allowed in statement pooling mode", "0A000"),
    ("ErrorResponse FATAL: idle transaction timeout", "25P03"),
    ("ErrorResponse FATAL: transaction timeout", "25P04"),
    ("ErrorResponse FATAL: \"trust\" authentication failed", "28000"),
    ("ErrorResponse FATAL: SSL required", "28000"),
    ("ErrorResponse FATAL: certificate authentication failed", "28000"),
    ("ErrorResponse FATAL: login rejected", "28000"),
    ("ErrorResponse FATAL: no authentication method is found", "28000"),
    ("ErrorResponse FATAL: no username supplied", "28000"),
    ("ErrorResponse FATAL: username too long", "28000"),
    ("ErrorResponse FATAL: SASL authentication failed", "28P01"),
    ("ErrorResponse FATAL: empty password returned by client", "28P01"),
    ("ErrorResponse FATAL: password authentication failed", "28P01"),
    ("ErrorResponse FATAL: no such database: *", "3D000"),
    ("ErrorResponse ERROR: admin access needed", "42501"),
    ("ErrorResponse FATAL: login failed", "42501"),
    ("ErrorResponse FATAL: not allowed", "42501"),
    (
        "ErrorResponse FATAL: unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed",
        "42601",
    ),
    ("ErrorResponse FATAL: client connections exceeded (max_db_client_connections)", "53300"),
    ("ErrorResponse FATAL: client connections exceeded (max_user_client_connections)", "53300"),
    ("ErrorResponse FATAL: no more connections allowed (max_client_conn)", "53300"),
    ("ErrorResponse FATAL: query_wait_timeout", "53300"),
    ("ErrorResponse FATAL: query timeout", "57014"),
    ("ErrorResponse FATAL: query_timeout", "57014"),
    ("ErrorResponse FATAL: admin forced disconnect", "57P01"),
    ("ErrorResponse FATAL: client_login_timeout", "57P01"),
    ("ErrorResponse FATAL: database removed", "57P01"),
    ("ErrorResponse FATAL: client_login_timeout (server down)", "57P03"),
    ("ErrorResponse FATAL: database \"app\" is disabled", "57P03"),
    ("ErrorResponse FATAL: client_idle_timeout", "57P05"),
    ("ErrorResponse FATAL: bouncer config error", "F0000"),
    ("ErrorResponse FATAL: unix socket login rejected", "28000"),
    ("ErrorResponse FATAL: server login has been failing, cached error: *", "08001"),
    ("ErrorResponse FATAL: database configuration changed", "57P01"),
    ("ErrorResponse FATAL: pooler is shutting down", "57P03"),
    ("ErrorResponse FATAL: server shutting down", "57P01"),
];

/// All else.
pub const RULES: &[Rule] = &[
    // ---- startup ----
    Rule {
        class: Class::Better,
        what: "startup parameters of any kind are applied",
        why: "pgbouncer refuses what it does not track, or drops what ignore_startup_parameters names; drivers break by that",
        on: &[
            "ignoring/a parameter in capitals",
            "parameters/one that no server reports",
            "parameters/search_path",
            "options/*",
        ],
        changes: &[
            (
                &["a< ErrorResponse FATAL: unsupported startup parameter: *", "a< closed"],
                &["a< AuthenticationOk", REST],
            ),
            (
                &[
                    "a< ErrorResponse FATAL: unsupported startup parameter in options: *",
                    "a< closed",
                ],
                &["a< AuthenticationOk", REST],
            ),
            (
                &["a< ErrorResponse FATAL: unsupported options startup parameter: *", "a< closed"],
                &["a< AuthenticationOk", REST],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "what PostgreSQL does not know is refused in its words",
        why: "they name the parameter and what is wrong with it, with its SQLSTATE",
        on: &["ignoring/what is not listed is refused", "parameters/*", "options/*"],
        changes: &[
            (
                &["a< ErrorResponse FATAL: unsupported startup parameter: frobnicate"],
                &["a< ErrorResponse FATAL: unrecognized configuration parameter \"frobnicate\""],
            ),
            (
                &["a< ErrorResponse FATAL: unsupported startup parameter in options: frobnicate"],
                &["a< ErrorResponse FATAL: unrecognized configuration parameter \"frobnicate\""],
            ),
            (
                &["a< AuthenticationOk", REST],
                &[
                    "a< ErrorResponse FATAL: parameter \"standard_conforming_strings\" requires a Boolean value",
                ],
            ),
            (
                &["a< AuthenticationOk", REST],
                &[
                    "a< ErrorResponse FATAL: invalid value for parameter \"DateStyle\": \"nonsense\"",
                ],
            ),
            (
                &["a< AuthenticationOk", REST],
                &[
                    "a< ErrorResponse FATAL: invalid value for parameter \"client_encoding\": \"nonsense\"",
                ],
            ),
            (
                &["a< AuthenticationOk", REST],
                &[
                    "a< ErrorResponse FATAL: invalid value for parameter \"TimeZone\": \"Mars/Olympus\"",
                ],
            ),
            (
                &["a< AuthenticationOk", REST],
                &[
                    "a< ErrorResponse FATAL: invalid value for parameter \"replication\": \"perhaps\"",
                    "a< closed",
                ],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "a login is told parameters as the server has them",
        why: "as by PostgreSQL; pgbouncer repeats the client's spelling until the first query",
        on: &["parameters/*", "options/*", "forced/*"],
        changes: &[
            (
                &["a< ParameterStatus DateStyle=German"],
                &["a< ParameterStatus DateStyle=German, DMY"],
            ),
            (&["a< ParameterStatus DateStyle=SQL"], &["a< ParameterStatus DateStyle=SQL, DMY"]),
        ],
    },
    Rule {
        class: Class::Better,
        what: "protocol 3.2 is spoken",
        why: "as by PostgreSQL 18: longer cancel keys for who asks for them",
        on: &["parameters/protocol 3.*"],
        changes: &[
            (&["a< NegotiateProtocolVersion 196608 "], &[]),
            (&["a< NegotiateProtocolVersion 196608 "], &["a< NegotiateProtocolVersion 196610 "]),
            (&["a< BackendKeyData of 8 bytes"], &["a< BackendKeyData of 36 bytes"]),
        ],
    },
    Rule {
        class: Class::Different,
        what: "the console ignores startup parameters",
        why: "they have no meaning there",
        on: &["rights/*startup parameter*"],
        changes: &[
            (
                &["c< ErrorResponse FATAL: unsupported startup parameter: frob", "c< closed"],
                &["c< AuthenticationOk", REST],
            ),
            (&["c< ParameterStatus client_encoding=LATIN1"], &[]),
        ],
    },
    Rule {
        class: Class::Different,
        what: "database names are told in full",
        why: "pgbouncer cuts them at 63 bytes",
        on: &["names/a database of *"],
        changes: &[
            (
                &["a< ErrorResponse FATAL: no such database: *"],
                &["a< ErrorResponse FATAL: no such database: *"],
            ),
            (
                &["a< ErrorResponse FATAL: no such database: *"],
                &["a< ErrorResponse FATAL: database name too long"],
            ),
        ],
    },
    // ---- what breaks the rules of the protocol ----
    Rule {
        class: Class::Bug,
        what: "a message of no type is told as `unknown pkt`",
        why: "pgbouncer has both texts; this one says more",
        on: &["after-login/*"],
        changes: &[(
            &["a< ErrorResponse FATAL: bad packet header: 'HEX'"],
            &["a< ErrorResponse FATAL: unknown pkt"],
        )],
    },
    Rule {
        class: Class::Different,
        what: "a broken body is told as `bad packet`",
        why: "with what is wrong in DETAIL",
        on: &["after-login/*"],
        changes: &[
            (
                &["a< ErrorResponse FATAL: received unencrypted data after SSL request"],
                &["a< ErrorResponse FATAL: unknown pkt"],
            ),
            (
                &["a< ErrorResponse FATAL: failed to parse packet"],
                &["a< ErrorResponse FATAL: bad packet"],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "what can never become a packet is refused at once",
        why: "pgbouncer waits for the rest until client_login_timeout, or for ever",
        on: &[
            "packets/*",
            "no-tls/*",
            "tls-allow/SSLRequest inside TLS",
            "plain/a query instead of a password",
            "plain/a password without its end",
            "after-login/a Describe of no kind",
        ],
        changes: &[
            (&[], &["a< ErrorResponse FATAL: bad packet"]),
            (&["a< the byte 'N'"], &["a< ErrorResponse FATAL: bad packet", "a< closed"]),
            (&[], &["a< ErrorResponse FATAL: bad packet header: 'HEX'"]),
            (&[], &["a< ErrorResponse FATAL: password authentication failed"]),
            (
                &["a< the byte 'N'"],
                &["a< ErrorResponse FATAL: bad packet header: 'HEX'", "a< closed"],
            ),
            (
                &[
                    "a< ErrorResponse ERROR: invalid DESCRIBE message subtype 120",
                    "a< ReadyForQuery I",
                ],
                &["a< ErrorResponse FATAL: bad packet", "a< closed"],
            ),
        ],
    },
    // ---- logins ----
    Rule {
        class: Class::Bug,
        what: "who answers SASL with something else is told that the authentication failed",
        why: "pgbouncer names the reason, and so does PostgreSQL",
        on: &["scram/*"],
        changes: &[(
            &["a< ErrorResponse FATAL: client selected an invalid SASL authentication mechanism"],
            &["a< ErrorResponse FATAL: SASL authentication failed"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "an unknown user of auth_query is asked for a password",
        why: "names cannot be probed",
        on: &["auth_query/an unknown user"],
        changes: &[
            (&["b< ErrorResponse FATAL: no such user"], &["b< AuthenticationCleartextPassword"]),
            (&[], &["b< ErrorResponse FATAL: password authentication failed"]),
            (
                &["log: LOG C- closing because: no such user (age=AGE)"],
                &["log: LOG C- closing because: password authentication failed (age=AGE)"],
            ),
        ],
    },
    // ---- ends ----
    Rule {
        class: Class::Better,
        what: "a server's last words are the last",
        why: "the client has been told why in PostgreSQL's words; a second FATAL hides them in some drivers",
        on: &[
            "lost/and comes back",
            "ends/*",
            "session/COPY in with a query amid",
            "transaction/COPY in with a query amid",
        ],
        changes: &[
            (
                &["log: LOG S- closing because: server conn crashed? (age=AGE)"],
                &["log: LOG S- closing because: idle server got dirty (age=AGE)"],
            ),
            (&["a< ErrorResponse FATAL: server conn crashed?"], &[]),
            (
                &["log: LOG C- closing because: server conn crashed? (age=AGE)"],
                &[
                    "log: LOG C- closing because: terminating connection due to administrator command (age=AGE)",
                ],
            ),
            (
                &["log: LOG S- closing because: server conn crashed? (age=AGE)"],
                &["log: LOG S- closing because: server said good-bye (age=AGE)"],
            ),
        ],
    },
    // ---- queries ----
    Rule {
        class: Class::Better,
        what: "DISCARD ALL goes back to what the startup packet said",
        why: "as by PostgreSQL",
        on: &["session/DISCARD ALL", "transaction/DISCARD ALL"],
        changes: &[
            (&[], &["a< ParameterStatus application_name=mine"]),
            (&["a< DataRow "], &["a< DataRow mine"]),
        ],
    },
    Rule {
        class: Class::Better,
        what: "names of prepared statements are PostgreSQL's business",
        why: "the client gets PostgreSQL's error and may go on, where pgbouncer ends it",
        on: &["prepared/*"],
        changes: &[
            (
                &["a< ErrorResponse FATAL: prepared statement did not exist", "a< closed"],
                &[
                    "a< ErrorResponse ERROR: prepared statement \"nowhere\" does not exist",
                    "a< ReadyForQuery I",
                    "a> Query SELECT 1",
                    REST,
                ],
            ),
            (
                &["a< ErrorResponse FATAL: prepared statement name is already in use", "a< closed"],
                &[
                    "a< ErrorResponse ERROR: prepared statement \"s\" already exists",
                    "a< ReadyForQuery I",
                    "a> Query SELECT 3",
                    REST,
                ],
            ),
            (
                &["a< ErrorResponse FATAL: prepared statement name is already in use", "a< closed"],
                &["a< ParseComplete", REST],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "query_timeout does not end an idle transaction",
        why: "no query runs; pgbouncer 1.26 does as pgweir",
        on: &["query_timeout-waiting/in the queue"],
        changes: &[
            (
                &["a< ErrorResponse FATAL: query timeout", "a< closed"],
                &["a< CommandComplete COMMIT", "a< ReadyForQuery I"],
            ),
            (&["log: LOG C- closing because: query timeout (age=AGE)"], &[]),
        ],
    },
    Rule {
        class: Class::Different,
        what: "in statement mode the answer to what began a transaction comes before the refusal",
        why: "pgbouncer withholds it if it arrives in one piece; the connection ends either way",
        on: &[
            "statement/BEGIN*",
            "statement/START TRANSACTION READ ONLY",
            "pool-modes/of all others",
        ],
        changes: &[
            (&[], &["a< CommandComplete *"]),
            (
                &[],
                &[
                    "a< RowDescription",
                    "a<   column ?column? of type 23, format 0",
                    "a< DataRow 1",
                    "a< CommandComplete SELECT 1",
                    "a< CommandComplete BEGIN",
                    "a< RowDescription",
                    "a<   column ?column? of type 23, format 0",
                    "a< DataRow 2",
                    "a< CommandComplete SELECT 1",
                ],
            ),
            (&[], &["a< ParseComplete", "a< BindComplete", "a< CommandComplete BEGIN"]),
        ],
    },
    Rule {
        class: Class::Better,
        what: "disable_pqexec leaves the console alone",
        why: "nobody could use it",
        on: &["disable_pqexec/the console"],
        changes: &[(
            &["c< ErrorResponse FATAL: PQexec disallowed", "c< closed"],
            &["c< RowDescription", REST],
        )],
    },
    Rule {
        class: Class::Bug,
        what: "options are applied though ignore_startup_parameters names them",
        why: "settings.md: what pgbouncer does not know inside options is dropped then",
        on: &["ignoring/options"],
        changes: &[(&["a< DataRow on"], &["a< DataRow off"])],
    },
    // ---- replication ----
    Rule {
        class: Class::Better,
        what: "a replication connection is told its own server's parameters",
        why: "pgbouncer repeats those of an earlier login",
        on: &["replication/physical"],
        changes: &[
            (
                &["a< ParameterStatus client_encoding=UTF8"],
                &["a< ParameterStatus client_encoding=SQL_ASCII"],
            ),
            (
                &["a< ParameterStatus server_encoding=UTF8"],
                &["a< ParameterStatus server_encoding=SQL_ASCII"],
            ),
        ],
    },
    // ---- TLS ----
    Rule {
        class: Class::Different,
        what: "who does not begin TLS gets an alert",
        why: "as TLS wants it",
        on: &["tls-allow/no TLS after all"],
        changes: &[(&["a< closed", "a< no bytes"], &["a< closed amid a message", "a< an alert"])],
    },
    // ---- limits ----
    Rule {
        class: Class::Different,
        what: "the line about the reserve names the pool",
        why: "any of its clients may get the connection",
        on: &["reserve_pool_size/comes to help"],
        changes: &[(
            &["log: WARNING C- taking connection from reserve_pool"],
            &["log: WARNING app/app@127.0.0.1:PORT: taking connection from reserve_pool"],
        )],
    },
    // ---- the log ----
    Rule {
        class: Class::Bug,
        what: "a server's refusal of a login is not logged as `server login failed`",
        why: "admin.md has the line, and monitoring greps for it",
        on: &["forced/a database that the server does not have"],
        changes: &[(
            &["log: WARNING server login failed: FATAL database \"nowhere\" does not exist"],
            &["log: nothing of \"server login failed\""],
        )],
    },
    Rule {
        class: Class::Different,
        what: "the line about a database made from `*` names no client",
        why: "it is made for whoever comes",
        on: &["forced/the fallback entry"],
        changes: &[(
            &["log: LOG C- registered new auto-database: *"],
            &["log: LOG registered new auto-database: *"],
        )],
    },
    // ---- the console ----
    Rule {
        class: Class::Better,
        what: "pgweir's own settings are in SHOW CONFIG",
        why: "and those of pgbouncer 1.26",
        on: &[
            "show/CONFIG",
            "settings/defaults, and what RELOAD may change",
            "rights/a stats user says \"SHOW CONFIG\"",
        ],
        changes: &[
            (&[], &["c<   row key=causal_reads*"]),
            (&[], &["c<   row key=discover_interval*"]),
            (&[], &["c<   row key=failover_timeout*"]),
            (&[], &["c<   row key=http_auth_token*"]),
            (&[], &["c<   row key=http_listen*"]),
            (&[], &["c<   row key=http_socket_mode*"]),
            (&[], &["c<   row key=http_tls_cert_file*"]),
            (&[], &["c<   row key=http_tls_key_file*"]),
            (&[], &["c<   row key=log_format*"]),
            (&[], &["c<   row key=log_rate_limit*"]),
            (&[], &["c<   row key=max_replica_lag*"]),
            (&[], &["c<   row key=metrics_compat*"]),
            (&[], &["c<   row key=prepare_unnamed*"]),
            (&[], &["c<   row key=replica_fallback*"]),
            (&[], &["c<   row key=route_reads*"]),
            (&[], &["c<   row key=slow_start*"]),
            (&[], &["c<   row key=split_brain*"]),
            (&[], &["c<   row key=topology_interval*"]),
            (&[], &["c<   row key=topology_state_file*"]),
            (&[], &["c<   row key=topology_timeout*"]),
            (&[], &["c<   row key=topology_user*"]),
            (&[], &["c<   row key=track_queries*"]),
            (&[], &["c<   row key=workers*"]),
            (&[], &["c<   row key=zone*"]),
            (&[], &["c<   row key=login_notify_message*"]),
            (&[], &["c<   row key=pool_idle_timeout*"]),
            (&[], &["c<   row key=service_name*"]),
        ],
    },
    Rule {
        class: Class::Better,
        what: "SHOW CLIENTS has a column more at its end",
        why: "it says what a client waits for",
        on: &["show/CLIENTS", "rights/a stats user says \"SHOW CLIENTS\""],
        changes: &[(&[], &["c<   column waits_for of type 25, format 0"])],
    },
    Rule {
        class: Class::Better,
        what: "the statistics count logins, in columns more at their ends",
        why: "pgbouncer has them from 1.26 on",
        on: &["show/STATS*"],
        changes: &[
            (
                &[],
                &[
                    "c<   column total_client_login_count of type 1700, format 0",
                    "c<   column avg_client_login_count of type 1700, format 0",
                ],
            ),
            (&[], &["c<   column client_login_count of type 1700, format 0"]),
            (&[], &["c<   column avg_client_login_count of type 1700, format 0"]),
        ],
    },
    Rule {
        class: Class::Different,
        what: "the console's own database stands last",
        why: "pgbouncer sorts it among the others",
        on: &[
            "hosts/a list",
            "reload-settings/*",
            "states/active, waiting, idle",
            "show/DATABASES",
            "control/*",
            "kill/KILL of *",
        ],
        changes: &[(&["*<   row name=pgbouncer *"], &[]), (&[], &["*<   row name=pgbouncer *"])],
    },
    Rule {
        class: Class::Different,
        what: "the console's own rows stand elsewhere, and it has no user of its own",
        why: "order is nobody's promise; statistics count how often the test has asked",
        on: &["states/*", "show/SOCKETS", "show/USERS"],
        changes: &[
            (&["s<   row user=admin database=pgbouncer state=idle"], &[]),
            (&[], &["s<   row user=admin database=pgbouncer state=idle"]),
            (&["c<   row type=S user=app database=app addr=127.0.0.1"], &[]),
            (&[], &["c<   row type=S user=app database=app addr=127.0.0.1"]),
            (
                &["s<   row database=pgbouncer total_xact_count=* total_query_count=*"],
                &["s<   row database=pgbouncer total_xact_count=* total_query_count=*"],
            ),
            (&["c<   row name=pgbouncer *"], &[]),
        ],
    },
    Rule {
        class: Class::Different,
        what: "SHOW FDS is refused",
        why: "it serves pgbouncer's online restart alone; a pgweir takes over in another way",
        on: &["show/FDS"],
        changes: &[(&["c< RowDescription", REST], &["c< ErrorResponse ERROR: SHOW FDS serves *"])],
    },
    Rule {
        class: Class::Different,
        what: "SHOW MEM tells of other things",
        why: "memory goes elsewhere",
        on: &["rights/a stats user says \"SHOW MEM\""],
        changes: &[(&["c<   row "], &[])],
    },
    Rule {
        class: Class::Different,
        what: "SHOW HELP names what there is",
        why: "pgweir's own commands, in another order",
        on: &["show/HELP"],
        changes: &[
            (&["c<   SHOW HELP|*", REST], &["c<   SHOW HELP|*", REST]),
            (&[], &["c<   RESET QUERIES"]),
            (
                &[],
                &[
                    "c<   SWITCHOVER PREPARE [<db>]",
                    "c<   SWITCHOVER DONE [<db>]",
                    "c<   EXPLAIN ROUTE <sql>",
                ],
            ),
        ],
    },
    Rule {
        class: Class::Different,
        what: "SHOW VERSION names pgweir behind the version of pgbouncer that it stands for",
        why: "the beginning is what programs look at",
        on: &[
            "reload-settings/*",
            "words/\"SHOW VERSION;\"",
            "words/two queries in one write",
            "max_client_conn/the console is exempt",
        ],
        changes: &[(
            &["c< DataRow PgBouncer VERSION"],
            &["c< DataRow PgBouncer VERSION (pgweir *)"],
        )],
    },
    Rule {
        class: Class::Different,
        what: "KILL without a name pauses every database",
        why: "pgbouncer forgets those without a pool",
        on: &["kill/KILL of all"],
        changes: &[
            (&[], &["c<   row name=second paused=1"]),
            (&["c<   row name=second paused=0"], &[]),
            (
                &["c< ErrorResponse ERROR: database second is not paused"],
                &["c< CommandComplete RESUME"],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "KILL_CLIENT takes what SHOW CLIENTS has as `ptr`",
        why: "as pgbouncer before 1.24",
        on: &["kill/KILL_CLIENT by its pointer"],
        changes: &[(
            &["c< ErrorResponse ERROR: client not found"],
            &["c< CommandComplete KILL_CLIENT"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "a cancelled PAUSE is answered",
        why: "a console that hears nothing waits for ever",
        on: &["control/a cancel takes PAUSE back"],
        changes: &[(&["c< nothing yet"], &["c< something already"])],
    },
    Rule {
        class: Class::Better,
        what: "ENABLE of the console's database is refused by its own name",
        why: "as by pgbouncer 1.26",
        on: &["words/\"ENABLE pgbouncer\""],
        changes: &[(
            &["c< ErrorResponse ERROR: cannot disable admin db: pgbouncer"],
            &["c< ErrorResponse ERROR: cannot enable admin db: pgbouncer"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "the console speaks the extended protocol",
        why: "asyncpg and JDBC know no other",
        on: &["words/*"],
        changes: &[
            (
                &[
                    "c< ErrorResponse ERROR: extended query protocol not supported by admin console",
                    "c< ReadyForQuery I",
                    "c< ErrorResponse FATAL: bad packet",
                ],
                &[],
            ),
            (
                &[
                    "c< ErrorResponse ERROR: unsupported packet type for admin console: *",
                    "c< ReadyForQuery I",
                    "c< ErrorResponse FATAL: bad packet",
                ],
                &[],
            ),
            (&["c< ErrorResponse ERROR: unsupported packet type for admin console: *"], &[]),
            (&["c< ErrorResponse FATAL: bad packet"], &[]),
            (
                &["c< ErrorResponse ERROR: extended query protocol not supported by admin console"],
                &[
                    "c< ParseComplete",
                    "c< BindComplete",
                    "c< DataRow active|yes",
                    "c< DataRow paused|no",
                    "c< DataRow suspended|no",
                    "c< CommandComplete SHOW",
                ],
            ),
            (
                &["log: LOG C- closing because: bad packet (age=AGE)"],
                &["log: LOG C- closing because: client unexpected eof (age=AGE)"],
            ),
        ],
    },
    Rule {
        class: Class::Different,
        what: "a command that is far too long is a bad packet",
        why: "it is the same to whoever sent it",
        on: &["words/a command of 100000 bytes"],
        changes: &[(
            &["c< ErrorResponse FATAL: incomplete pkt"],
            &["c< ErrorResponse FATAL: bad packet"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "an empty query is none",
        why: "drivers and pools send one to see whether somebody is there",
        on: &[
            "words/\" \"",
            "words/\"\"",
            "words/\";\"",
            "words/\";;\"",
            "rights/a stats user says \"\"",
        ],
        changes: &[(
            &["c< ErrorResponse ERROR: invalid command '*', use SHOW HELP;"],
            &["c< EmptyQueryResponse"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "clients are told that the pooler ends",
        why: "pgbouncer just closes",
        on: &["shutdown/at once", "shutdown-for-servers/*", "sigint/*"],
        changes: &[(&[], &["a< ErrorResponse FATAL: server shutting down"])],
    },
    Rule {
        class: Class::Different,
        what: "a default that is none is NULL",
        why: "pgbouncer has an empty text for some of them, and NULL for verbose",
        on: &["settings/defaults, and what RELOAD may change"],
        changes: &[
            (
                &["c<   row key=* default= changeable=*"],
                &["c<   row key=* default=NULL changeable=*"],
            ),
            (
                &["c<   row key=verbose default=NULL changeable=yes"],
                &["c<   row key=verbose default=0 changeable=yes"],
            ),
        ],
    },
    Rule {
        class: Class::Better,
        what: "the default auth_query names schemas",
        why: "no search_path can lead it astray",
        on: &["settings/defaults, and what RELOAD may change"],
        changes: &[(
            &["c<   row key=auth_query default=SELECT rolname, *"],
            &["c<   row key=auth_query default=SELECT a.rolname, *"],
        )],
    },
    Rule {
        class: Class::Better,
        what: "a server whose check or reset fails is closed",
        why: "pgbouncer 1.25.2 uses it on, against its own manual: nobody knows what it has kept",
        on: &["check-fails/*", "reset-fails/*"],
        changes: &[
            (
                &["the same: true", "log: nothing of \"closing because\""],
                &["the same: false", "log: LOG S- closing because: test query failed (age=AGE)"],
            ),
            (
                &["log: nothing of \"closing because\"", "the same: true"],
                &["log: LOG S- closing because: reset query failed (age=AGE)", "the same: false"],
            ),
        ],
    },
];
