//! The types of settings: text to value and back. Numbers are written as in C, times in seconds with decimals.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ldap::LdapOptions;
use super::model::{
    AuthType, CausalReads, HttpAddr, LoadBalanceHosts, LogFormat, MetricsCompat, PoolMode,
    PrepareUnnamed, ReplicaFallback, ReplicaLag, RouteReads, SecretText, SplitBrain, SslMode,
    SyslogFacility, TargetSessionAttrs,
};

/// Stands for "no limit" in settings whose type has no room for it; far enough, and safe to add to any instant.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What would have been allowed.
pub(super) type Allowed = String;

/// A type that settings have.
pub(super) trait Value: Sized {
    /// From a file's or SET's text.
    fn read(text: &str) -> Result<Self, Allowed>;
    /// As the file would have it; `None` for "not given".
    fn show(&self) -> Option<String>;
}

/// A whole number in C's syntax: `0777` is octal, `0x10` hexadecimal.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// Units of time as PostgreSQL writes them, in seconds.
const TIME_UNITS: [(&str, f64); 6] =
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Units of memory as PostgreSQL writes them, in powers of two.
const SIZE_UNITS: [(&str, u32); 4] = [("B", 0), ("kB", 10), ("MB", 20), ("GB", 30)];

/// A number and the word behind it.
fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number.trim_end(), unit)
}

/// Seconds with decimals, or a number with its unit: `90`, `0.5`, `90s`, `5min`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    // Keeps `inf`, `nan` and signs out, which `f64` would take.
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let factor = match unit {
        "" => 1.0,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    let value = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()?;
    (value < FOREVER).then_some(value)
}

/// An amount of memory: bytes in C's syntax, or a number with its unit: `65536`, `64kB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let units = SIZE_UNITS.iter().rev();
    let with_unit = units.filter_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits))).next();
    match with_unit {
        Some((number, bits)) => number.trim_end().parse::<u64>().ok()?.checked_mul(1 << bits),
        None => integer(text).and_then(|bytes| bytes.try_into().ok()),
    }
}

/// A time as the file would have it.
pub(super) fn show_seconds(value: Duration) -> String {
    value.as_secs_f64().to_string()
}

/// Words between commas; blanks around them and empty ones do not count.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

pub(super) const TIME: &str =
    "seconds, decimals allowed, such as 0.5, or with a unit (us, ms, s, min, h, d), such as 5min";

impl Value for bool {
    fn read(text: &str) -> Result<Self, Allowed> {
        if let Some(value) = integer(text) {
            return Ok(value != 0);
        }
        match &*text.to_ascii_lowercase() {
            "on" | "yes" | "true" => Ok(true),
            "off" | "no" | "false" => Ok(false),
            _ => Err("0 or 1; off or on, no or yes, false or true do as well".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(u8::from(*self).to_string())
    }
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn read(text: &str) -> Result<Self, Allowed> {
                let value = integer(text).and_then(|value| value.try_into().ok());
                value.ok_or_else(|| format!("a whole number from 0 to {}", Self::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

unsigned!(u8, u16, u32);

/// 0 is `None`.
impl Value for Option<u32> {
    fn read(text: &str) -> Result<Self, Allowed> {
        u32::read(text).map(|value| (value != 0).then_some(value))
    }

    fn show(&self) -> Option<String> {
        self.unwrap_or(0).show()
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, Allowed> {
        seconds(text).ok_or_else(|| TIME.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(show_seconds(*self))
    }
}

/// 0 is `None`.
impl Value for Option<Duration> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Duration::read(text).map(|value| (!value.is_zero()).then_some(value))
    }

    fn show(&self) -> Option<String> {
        self.unwrap_or(Duration::ZERO).show()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Blank is `None`.
impl Value for Option<String> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        self.clone()
    }
}

/// Blank is `None`.
impl Value for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|path| path.display().to_string())
    }
}

/// Blank is `None`. Shown without the password in it.
impl Value for Option<Arc<LdapOptions>> {
    fn read(text: &str) -> Result<Self, Allowed> {
        if text.is_empty() {
            return Ok(None);
        }
        let options = LdapOptions::parse(text);
        let wrong = |fault| format!("PostgreSQL's options for ldap, but {fault}");
        options.map(|options| Some(Arc::new(options))).map_err(wrong)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|options| options.show())
    }
}

impl Value for Vec<String> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok(words(text).map(str::to_owned).collect())
    }

    fn show(&self) -> Option<String> {
        Some(self.join(","))
    }
}

/// Blank is `None`. What it is is not shown, only that there is one.
impl Value for Option<SecretText> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| SecretText::new(text.to_owned())))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|_| "(not shown)".to_owned())
    }
}

impl Value for Vec<HttpAddr> {
    fn read(text: &str) -> Result<Self, Allowed> {
        let address = |word: &str| {
            if let Some(path) = word.strip_prefix("unix:") {
                let named = path.len() > 1 && path.starts_with(['/', '@']);
                return named.then(|| HttpAddr::Unix(PathBuf::from(path)));
            }
            let tcp = match word.strip_prefix("*:") {
                Some(port) => format!("0.0.0.0:{port}").parse(),
                None => word.parse(),
            };
            tcp.ok().map(HttpAddr::Tcp)
        };
        words(text).map(address).collect::<Option<_>>().ok_or_else(|| {
            "a comma-separated list of address:port or unix:/path, such as 127.0.0.1:9127, [::1]:9127, *:9127 or \
             unix:/run/pgweir/http"
                .to_owned()
        })
    }

    fn show(&self) -> Option<String> {
        let words: Vec<String> = self.iter().map(HttpAddr::to_string).collect();
        Some(words.join(","))
    }
}

/// A type with a fixed set of names.
macro_rules! choice {
    ($type:ty, $names:ident, $($name:literal => $value:path),* $(,)?) => {
        pub(super) const $names: &[&str] = &[$($name),*];

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

/// PAM is there only if it was built in.
pub(super) fn auth_type(text: &str) -> Result<AuthType, Allowed> {
    let auth_type = AuthType::read(text)?;
    if auth_type == AuthType::Pam && !cfg!(feature = "pam") {
        let others: Vec<&str> = AUTH_TYPES.iter().copied().filter(|name| *name != "pam").collect();
        let others = others.join(", ");
        return Err(format!("{others}; this pgweir was built without the cargo feature \"pam\""));
    }
    Ok(auth_type)
}

/// Rounds of a SCRAM secret: PostgreSQL's range.
pub(super) fn scram_iterations(text: &str) -> Result<u32, Allowed> {
    let value = integer(text).and_then(|value| u32::try_from(value).ok());
    value
        .filter(|count| (1..=i32::MAX.unsigned_abs()).contains(count))
        .ok_or_else(|| format!("a whole number from 1 to {}", i32::MAX))
}

/// Permissions, written and shown in octal.
pub(super) fn file_mode(text: &str) -> Result<u32, Allowed> {
    let value = integer(text).and_then(|value| u32::try_from(value).ok());
    value.filter(|mode| *mode <= 0o7777).ok_or_else(|| "octal permissions, such as 0770".to_owned())
}

pub(super) fn show_file_mode(value: &u32) -> Option<String> {
    Some(format!("0{value:03o}"))
}

/// A limit where 0 stands for none and the type cannot say so.
pub(super) fn limit(text: &str) -> Result<Duration, Allowed> {
    Duration::read(text).map(|value| if value.is_zero() { FOREVER } else { value })
}

pub(super) fn show_limit(value: &Duration) -> Option<String> {
    Some(if *value == FOREVER { "0".to_owned() } else { show_seconds(*value) })
}

/// Whole milliseconds, or with a unit; 0 is `None`.
pub(super) fn millis(text: &str) -> Result<Option<Duration>, Allowed> {
    let with_unit = || seconds(text).filter(|_| !split_unit(text).1.is_empty());
    let time = match integer(text).and_then(|millis| u32::try_from(millis).ok()) {
        Some(millis) => Duration::from_millis(millis.into()),
        None => with_unit()
            .ok_or_else(|| "whole milliseconds, or with a unit, such as 5s".to_owned())?,
    };
    Ok((!time.is_zero()).then_some(time))
}

/// An amount of memory.
pub(super) fn size(text: &str) -> Result<u32, Allowed> {
    let value = bytes(text).and_then(|bytes| bytes.try_into().ok());
    value.ok_or_else(|| {
        format!("bytes from 0 to {}, or with a unit (kB, MB, GB), such as 64kB", u32::MAX)
    })
}

/// The same; 0 is `None`.
pub(super) fn some_size(text: &str) -> Result<Option<u32>, Allowed> {
    size(text).map(|bytes| (bytes != 0).then_some(bytes))
}

/// Most rows of SHOW QUERIES: 160 MB at the most.
const MOST_QUERIES: u32 = 100_000;

pub(super) fn most_queries(text: &str) -> Result<u32, Allowed> {
    let allowed = || format!("a whole number from 0 (off) to {MOST_QUERIES}");
    u32::read(text).ok().filter(|most| *most <= MOST_QUERIES).ok_or_else(allowed)
}

pub(super) fn show_millis(value: &Option<Duration>) -> Option<String> {
    Some(value.map_or(0, |time| time.as_millis()).to_string())
}

/// A time, or an amount of WAL with its unit; 0 is `None`.
pub(super) fn replica_lag(text: &str) -> Result<Option<ReplicaLag>, Allowed> {
    let bytes = bytes(text).filter(|_| text.ends_with('B'));
    let lag = match (bytes, seconds(text)) {
        (Some(bytes), _) => Some(ReplicaLag::Bytes(bytes)),
        (None, Some(time)) => Some(ReplicaLag::Time(time)),
        (None, None) => return Err(format!("{TIME}, or WAL such as 16MB (kB, MB, GB)")),
    };
    Ok(lag.filter(|lag| {
        !matches!(lag, ReplicaLag::Bytes(0)) && *lag != ReplicaLag::Time(Duration::ZERO)
    }))
}

pub(super) fn show_replica_lag(value: &Option<ReplicaLag>) -> Option<String> {
    Some(match value {
        None => "0".to_owned(),
        Some(ReplicaLag::Time(time)) => show_seconds(*time),
        Some(ReplicaLag::Bytes(bytes)) => format!("{}kB", bytes >> 10),
    })
}

/// A time that must not be zero.
pub(super) fn interval(text: &str) -> Result<Duration, Allowed> {
    let value = seconds(text).filter(|value| *value >= Duration::from_millis(1));
    value.ok_or_else(|| format!("{TIME}, and at least 0.001"))
}

/// The greatest `peer_id`: it has 14 bits in a cancel key.
pub(super) const MAX_PEER: u16 = 0x3FFF;

/// 0 is nobody.
pub(super) fn peer_id(text: &str) -> Result<u16, Allowed> {
    let value = integer(text).and_then(|value| u16::try_from(value).ok());
    value.filter(|id| *id <= MAX_PEER).ok_or_else(|| format!("a whole number from 0 to {MAX_PEER}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_in_c() {
        let read = [("0", 0), ("12", 12), ("0777", 0o777), ("0x10", 16), ("-1", -1), ("+3", 3)];
        for (text, value) in read {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "-", "yes", "1 ", "1.5", "08", "0x", "--1", "0x-1", "99999999999999999999"]
        {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_seconds_with_decimals() {
        assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(seconds("120"), Some(Duration::from_secs(120)));
        for text in ["", ".", "-1", "inf", "nan", "1e3", "99999999999", "1.2.3"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(show_seconds(Duration::from_millis(1500)), "1.5");
        assert_eq!(show_seconds(Duration::from_secs(120)), "120");
    }

    #[test]
    fn any_non_zero_integer_is_on_and_so_are_postgresqls_words() {
        for (text, value) in
            [("0", false), ("2", true), ("yes", true), ("ON", true), ("true", true), ("off", false)]
        {
            assert_eq!(bool::read(text), Ok(value), "{text}");
        }
        for text in ["", "y", "enabled"] {
            assert!(bool::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_sizes_may_have_units() {
        let millis = |text| seconds(text).map(|time| time.as_millis());
        for (text, value) in [
            ("15s", 15_000),
            ("250ms", 250),
            ("1.5min", 90_000),
            ("2 h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(millis(text), Some(value), "{text}");
        }
        for text in ["5m", "s", "1 s s", "-1s", "5S"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        let sizes = [("0x1000", 4096), ("64kB", 65_536), ("1 MB", 1 << 20), ("7B", 7)];
        for (text, value) in sizes {
            assert_eq!(bytes(text), Some(value), "{text}");
        }
        for text in ["64k", "kB", "-1kB", "64KB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert!(size("4GB").is_err() && size("2GB").is_ok());
        let time = |text| super::millis(text).map(|time| time.map(|time| time.as_millis()));
        assert_eq!((time("500"), time("5s"), time("0")), (Ok(Some(500)), Ok(Some(5000)), Ok(None)));
        assert!(time("0.5").is_err());
    }

    #[test]
    fn a_star_listens_on_all_ipv4_addresses() {
        let list =
            Vec::<HttpAddr>::read("*:9127, [::1]:80, unix:/run/x, unix:@y").expect("is a list");
        assert_eq!(list.show().as_deref(), Some("0.0.0.0:9127,[::1]:80,unix:/run/x,unix:@y"));
        for other in ["localhost:1", "unix:x", "unix:", "unix:@", "/run/x"] {
            assert!(Vec::<HttpAddr>::read(other).is_err(), "{other}");
        }
        assert!(Vec::<HttpAddr>::read("*:70000").is_err());
    }

    #[test]
    fn zero_is_no_limit_and_is_shown_as_zero() {
        assert_eq!(limit("0"), Ok(FOREVER));
        assert_eq!(show_limit(&FOREVER).as_deref(), Some("0"));
        assert_eq!(Option::<u32>::read("0"), Ok(None));
        assert_eq!(Option::<Duration>::read("0.0"), Ok(None));
        assert_eq!(millis("1500"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(show_millis(&Some(Duration::from_millis(1500))).as_deref(), Some("1500"));
        assert_eq!((millis("0"), show_millis(&None).as_deref()), (Ok(None), Some("0")));
    }
}
