//! Settings that are one of a few words.

use super::{Allowed, Value};
use crate::config::model::{
    AuthType, CausalReads, LoadBalanceHosts, LogFormat, MetricsCompat, PoolMode, PrepareUnnamed,
    ReplicaFallback, RouteReads, SplitBrain, SslMode, SyslogFacility, TargetSessionAttrs,
};

/// A type with a fixed set of names.
macro_rules! choice {
    ($type:ty, $names:ident, $($name:literal => $value:path),* $(,)?) => {
        pub(in crate::config) const $names: &[&str] = &[$($name),*];

        impl Value for $type {
            fn read(text: &str) -> Result<Self, Allowed> {
                match text {
                    $($name => Ok($value),)*
                    _ => Err($names.join(", ")),
                }
            }

            fn show(&self) -> Option<String> {
                Some(match self { $($value => $name),* }.to_owned())
            }
        }
    };
}

choice!(PoolMode, POOL_MODES,
    "session" => Self::Session,
    "transaction" => Self::Transaction,
    "statement" => Self::Statement,
);
choice!(AuthType, AUTH_TYPES,
    "any" => Self::Any,
    "trust" => Self::Trust,
    "plain" => Self::Plain,
    "md5" => Self::Md5,
    "scram-sha-256" => Self::ScramSha256,
    "cert" => Self::Cert,
    "hba" => Self::Hba,
    "ldap" => Self::Ldap,
    "pam" => Self::Pam,
);
choice!(SyslogFacility, SYSLOG_FACILITIES,
    "auth" => Self::Auth,
    "authpriv" => Self::AuthPriv,
    "daemon" => Self::Daemon,
    "user" => Self::User,
    "local0" => Self::Local0,
    "local1" => Self::Local1,
    "local2" => Self::Local2,
    "local3" => Self::Local3,
    "local4" => Self::Local4,
    "local5" => Self::Local5,
    "local6" => Self::Local6,
    "local7" => Self::Local7,
);
choice!(LogFormat, LOG_FORMATS, "text" => Self::Text, "json" => Self::Json);
choice!(SslMode, SSL_MODES,
    "disable" => Self::Disable,
    "allow" => Self::Allow,
    "prefer" => Self::Prefer,
    "require" => Self::Require,
    "verify-ca" => Self::VerifyCa,
    "verify-full" => Self::VerifyFull,
);
choice!(LoadBalanceHosts, LOAD_BALANCE_HOSTS,
    "round-robin" => Self::RoundRobin,
    "disable" => Self::Disable,
);
choice!(PrepareUnnamed, PREPARE_UNNAMED,
    "auto" => Self::Auto,
    "on" => Self::On,
    "off" => Self::Off,
);
choice!(ReplicaFallback, REPLICA_FALLBACK,
    "primary" => Self::Primary,
    "error" => Self::Error,
);
choice!(CausalReads, CAUSAL_READS,
    "off" => Self::Off,
    "session" => Self::Session,
);
choice!(MetricsCompat, METRICS_COMPAT,
    "pgbouncer_exporter" => Self::PgbouncerExporter,
    "off" => Self::Off,
);
choice!(SplitBrain, SPLIT_BRAIN,
    "refuse" => Self::Refuse,
    "newest" => Self::Newest,
);
choice!(RouteReads, ROUTE_READS,
    "off" => Self::Off,
    "explicit" => Self::Explicit,
    "auto" => Self::Auto,
    "shadow" => Self::Shadow,
);
choice!(TargetSessionAttrs, TARGET_SESSION_ATTRS,
    "any" => Self::Any,
    "read-write" => Self::ReadWrite,
    "read-only" => Self::ReadOnly,
    "primary" => Self::Primary,
    "standby" => Self::Standby,
    "prefer-standby" => Self::PreferStandby,
);
