//! The values that entries of several sections have: numbers and times, where some inherit and some lift a limit.

use std::time::Duration;

use super::error::ConfigError;
use super::ini::Entry;
use super::nearest::nearest;
use super::values;

/// A value of an entry, or the error that names entry and key.
pub(super) fn parameter<T>(
    entry: &Entry,
    key: &str,
    value: &str,
    read: impl FnOnce(&str) -> Result<T, values::Allowed>,
) -> Result<T, ConfigError> {
    read(value).map_err(|allowed| ConfigError::InvalidParameter {
        at: entry.at.clone(),
        section: entry.section,
        entry: entry.key.clone(),
        key: key.to_owned(),
        value: value.to_owned(),
        allowed,
    })
}

/// pgbouncer reads junk as 0 here, which for a pool's size would be "no limit"; so it is refused. Decimal, as there.
fn whole_number(text: &str) -> Result<i32, values::Allowed> {
    text.parse().map_err(|_| "a whole number".to_owned())
}

/// Negative inherits (`None`), 0 is no limit.
pub(super) fn pool_size(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Option<u32>>, ConfigError> {
    let number = parameter(entry, key, value, whole_number)?;
    Ok(u32::try_from(number).ok().map(|size| (size != 0).then_some(size)))
}

/// Negative inherits (`None`).
pub(super) fn count(entry: &Entry, key: &str, value: &str) -> Result<Option<u32>, ConfigError> {
    let number = parameter(entry, key, value, whole_number)?;
    Ok(u32::try_from(number).ok())
}

/// Negative and 0 inherit (`None`): an entry cannot lift a global limit.
pub(super) fn limit(entry: &Entry, key: &str, value: &str) -> Result<Option<u32>, ConfigError> {
    Ok(count(entry, key, value)?.filter(|limit| *limit != 0))
}

/// Whole seconds, as pgbouncer has them here. Negative and 0 inherit (`None`).
pub(super) fn seconds(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Duration>, ConfigError> {
    if let Some(time) = with_unit(value) {
        return Ok((!time.is_zero()).then_some(time));
    }
    Ok(limit(entry, key, value)?.map(|seconds| Duration::from_secs(seconds.into())))
}

/// A time that has its unit; pgbouncer knows whole seconds only.
fn with_unit(value: &str) -> Option<Duration> {
    values::seconds(value).filter(|_| value.ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whole seconds that somebody may wait. Negative inherits (`None`), 0 is for ever.
pub(super) fn wait(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Option<Duration>>, ConfigError> {
    if let Some(time) = with_unit(value) {
        return Ok(Some((!time.is_zero()).then_some(time)));
    }
    let seconds = count(entry, key, value)?;
    let time = |seconds: u32| (seconds != 0).then(|| Duration::from_secs(seconds.into()));
    Ok(seconds.map(time))
}

/// The error for a key that entries of this section do not have.
pub(super) fn unknown(
    entry: &Entry,
    key: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> ConfigError {
    ConfigError::UnknownParameter {
        at: entry.at.clone(),
        section: entry.section,
        entry: entry.key.clone(),
        key: key.to_owned(),
        nearest: nearest(key, known),
    }
}
