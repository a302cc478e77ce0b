//! Settings that allow less, or more, than their type does.

use std::time::Duration;

use super::numbers::{bytes, integer, seconds, show_seconds, split_unit};
use super::{AUTH_TYPES, Allowed, FOREVER, TIME, Value};
use crate::config::model::{AuthType, ReplicaLag};

/// PAM is there only if it was built in.
pub(in crate::config) fn auth_type(text: &str) -> Result<AuthType, Allowed> {
    let auth_type = AuthType::read(text)?;
    if auth_type == AuthType::Pam && !cfg!(feature = "pam") {
        let others: Vec<&str> = AUTH_TYPES.iter().copied().filter(|name| *name != "pam").collect();
        let others = others.join(", ");
        return Err(format!("{others}; this pgweir was built without the cargo feature \"pam\""));
    }
    Ok(auth_type)
}

/// Rounds of a SCRAM secret: PostgreSQL's range.
pub(in crate::config) fn scram_iterations(text: &str) -> Result<u32, Allowed> {
    let value = integer(text).and_then(|value| u32::try_from(value).ok());
    value
        .filter(|count| (1..=i32::MAX.unsigned_abs()).contains(count))
        .ok_or_else(|| format!("a whole number from 1 to {}", i32::MAX))
}

/// Permissions, written and shown in octal.
pub(in crate::config) fn file_mode(text: &str) -> Result<u32, Allowed> {
    let value = integer(text).and_then(|value| u32::try_from(value).ok());
    value.filter(|mode| *mode <= 0o7777).ok_or_else(|| "octal permissions, such as 0770".to_owned())
}

pub(in crate::config) fn show_file_mode(value: &u32) -> Option<String> {
    Some(format!("0{value:03o}"))
}

/// A limit where 0 stands for none and the type cannot say so.
pub(in crate::config) fn limit(text: &str) -> Result<Duration, Allowed> {
    Duration::read(text).map(|value| if value.is_zero() { FOREVER } else { value })
}

pub(in crate::config) fn show_limit(value: &Duration) -> Option<String> {
    Some(if *value == FOREVER { "0".to_owned() } else { show_seconds(*value) })
}

/// Whole milliseconds, or with a unit; 0 is `None`.
pub(in crate::config) fn millis(text: &str) -> Result<Option<Duration>, Allowed> {
    let with_unit = || seconds(text).filter(|_| !split_unit(text).1.is_empty());
    let time = match integer(text).and_then(|millis| u32::try_from(millis).ok()) {
        Some(millis) => Duration::from_millis(millis.into()),
        None => with_unit()
            .ok_or_else(|| "whole milliseconds, or with a unit, such as 5s".to_owned())?,
    };
    Ok((!time.is_zero()).then_some(time))
}

/// An amount of memory.
pub(in crate::config) fn size(text: &str) -> Result<u32, Allowed> {
    let value = bytes(text).and_then(|bytes| bytes.try_into().ok());
    value.ok_or_else(|| {
        format!("bytes from 0 to {}, or with a unit (kB, MB, GB), such as 64kB", u32::MAX)
    })
}

/// The same; 0 is `None`.
pub(in crate::config) fn some_size(text: &str) -> Result<Option<u32>, Allowed> {
    size(text).map(|bytes| (bytes != 0).then_some(bytes))
}

/// Most rows of SHOW QUERIES: 160 MB at the most.
const MOST_QUERIES: u32 = 100_000;

pub(in crate::config) fn most_queries(text: &str) -> Result<u32, Allowed> {
    let allowed = || format!("a whole number from 0 (off) to {MOST_QUERIES}");
    u32::read(text).ok().filter(|most| *most <= MOST_QUERIES).ok_or_else(allowed)
}

pub(in crate::config) fn show_millis(value: &Option<Duration>) -> Option<String> {
    Some(value.map_or(0, |time| time.as_millis()).to_string())
}

/// A time, or an amount of WAL with its unit; 0 is `None`.
pub(in crate::config) fn replica_lag(text: &str) -> Result<Option<ReplicaLag>, Allowed> {
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

pub(in crate::config) fn show_replica_lag(value: &Option<ReplicaLag>) -> Option<String> {
    Some(match value {
        None => "0".to_owned(),
        Some(ReplicaLag::Time(time)) => show_seconds(*time),
        Some(ReplicaLag::Bytes(bytes)) => format!("{}kB", bytes >> 10),
    })
}

/// A time that must not be zero.
pub(in crate::config) fn interval(text: &str) -> Result<Duration, Allowed> {
    let value = seconds(text).filter(|value| *value >= Duration::from_millis(1));
    value.ok_or_else(|| format!("{TIME}, and at least 0.001"))
}

/// The greatest `peer_id`: it has 14 bits in a cancel key.
pub(in crate::config) const MAX_PEER: u16 = 0x3FFF;

/// 0 is nobody.
pub(in crate::config) fn peer_id(text: &str) -> Result<u16, Allowed> {
    let value = integer(text).and_then(|value| u16::try_from(value).ok());
    value.filter(|id| *id <= MAX_PEER).ok_or_else(|| format!("a whole number from 0 to {MAX_PEER}"))
}
