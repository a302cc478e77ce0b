//! Settings and parameters that are one of a few words, or nearly so.

use std::time::Duration;

use crate::config::values;

/// How long a client keeps its server (setting `pool_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    #[default]
    Session,
    /// Until its transaction ends.
    Transaction,
    /// Until its statement ends; transaction blocks are refused.
    Statement,
}

impl PoolMode {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

/// How clients prove who they are (setting `auth_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthType {
    /// Any user name, no password; the database entry must have a forced user.
    Any,
    /// The user must exist, no password.
    Trust,
    /// Password in the clear.
    Plain,
    /// MD5 exchange, or SCRAM where the stored secret is a SCRAM secret.
    #[default]
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// The TLS certificate's common name.
    Cert,
    /// As `auth_hba_file` says.
    Hba,
    /// A directory tells whether the password is right.
    Ldap,
    /// The system (PAM) tells whether the password is right.
    Pam,
}

/// How much TLS is used (`client_tls_sslmode`, `server_tls_sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// None.
    Disable,
    /// As `Prefer`.
    Allow,
    /// If the other side wants or offers it.
    Prefer,
    /// Always; certificates are not checked.
    Require,
    /// Always; the certificate must come from `*_tls_ca_file`.
    VerifyCa,
    /// Always; the certificate must also bear the host's name.
    VerifyFull,
}

impl SslMode {
    /// Whether the other side has to show a certificate that is checked.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// Setting `prepare_unnamed`: whether unnamed statements are kept under a name on the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrepareUnnamed {
    /// Texts that were seen several times in one pool.
    #[default]
    Auto,
    /// Every text that can be.
    On,
    /// None: they go on as they were sent.
    Off,
}

/// `load_balance_hosts` of an entry without `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalanceHosts {
    /// The next host for each new connection.
    #[default]
    RoundRobin,
    /// The same host until a connection to it fails.
    Disable,
}

/// What a client may want of the host it is given (`target_session_attrs`, libpq's values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Any host that is up.
    Any,
    /// The primary.
    ReadWrite,
    /// A host that refuses writes: a standby.
    ReadOnly,
    /// The primary.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or the primary if there is none.
    PreferStandby,
}

impl TargetSessionAttrs {
    /// Whether it is for the primary: without one its clients wait.
    pub fn wants_primary(self) -> bool {
        match self {
            Self::ReadWrite | Self::Primary => true,
            Self::Any | Self::ReadOnly | Self::Standby | Self::PreferStandby => false,
        }
    }

    /// Whether it is for standbys alone: the primary will not do.
    pub fn wants_standby(self) -> bool {
        match self {
            Self::ReadOnly | Self::Standby => true,
            Self::Any | Self::ReadWrite | Self::Primary | Self::PreferStandby => false,
        }
    }
}

/// Setting `route_reads`: which transactions of an entry for the primary go to replicas without being told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteReads {
    /// None, not even those that say `READ ONLY`.
    Off,
    /// Those that say `READ ONLY`.
    #[default]
    Explicit,
    /// Also single statements that PostgreSQL's grammar shows to be reads.
    Auto,
    /// As `Explicit`; what `Auto` would do is counted (`SHOW ROUTES`).
    Shadow,
}

/// Setting `max_replica_lag`: how far behind a replica may be to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaLag {
    /// Since the primary was where it is.
    Time(Duration),
    /// WAL.
    Bytes(u64),
}

impl ReplicaLag {
    /// What a probe may be asked: bytes as with Patroni, or a number with its unit of memory (`10MB`) or of time (`10s`).
    pub fn of_probe(text: &str) -> Option<Self> {
        let bytes = values::bytes(text).map(Self::Bytes);
        bytes.or_else(|| values::seconds(text).map(Self::Time))
    }
}

/// Setting `replica_fallback`: what becomes of a read when no replica is fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplicaFallback {
    /// The primary serves it.
    #[default]
    Primary,
    /// It is refused.
    Error,
}

/// Setting `causal_reads`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CausalReads {
    /// A replica may lack what the client has just written.
    #[default]
    Off,
    /// A client's reads see its own writes.
    Session,
}

/// Setting `split_brain`: what to do when several hosts say that they are the primary on one timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitBrain {
    /// None is believed: no writes until all but one have stopped.
    #[default]
    Refuse,
    /// The one that came last is believed.
    Newest,
}

/// Setting `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As pgbouncer writes lines.
    #[default]
    Text,
    /// An object on each line.
    Json,
}

/// Setting `syslog_facility` (syslog(3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the facility of that name")]
pub enum SyslogFacility {
    Auth,
    AuthPriv,
    #[default]
    Daemon,
    User,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// Setting `metrics_compat`: by whose names metrics are shown besides our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsCompat {
    /// Those of pgbouncer's exporter.
    #[default]
    PgbouncerExporter,
    /// Nobody's.
    Off,
}
