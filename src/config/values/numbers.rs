//! Numbers, times and amounts as they are written: numbers as in C, times in seconds with decimals, both with units.

use std::time::Duration;

use super::FOREVER;

/// A whole number in C's syntax: `0777` is octal, `0x10` hexadecimal.
pub(in crate::config) fn integer(text: &str) -> Option<i64> {
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
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number.trim_end(), unit)
}

/// Seconds with decimals, or a number with its unit: `90`, `0.5`, `90s`, `5min`.
pub(in crate::config) fn seconds(text: &str) -> Option<Duration> {
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
pub(in crate::config) fn bytes(text: &str) -> Option<u64> {
    let units = SIZE_UNITS.iter().rev();
    let with_unit = units.filter_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits))).next();
    match with_unit {
        Some((number, bits)) => number.trim_end().parse::<u64>().ok()?.checked_mul(1 << bits),
        None => integer(text).and_then(|bytes| bytes.try_into().ok()),
    }
}

/// A time as the file would have it.
pub(in crate::config) fn show_seconds(value: Duration) -> String {
    value.as_secs_f64().to_string()
}

/// Words between commas; blanks around them and empty ones do not count.
pub(in crate::config) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

pub(in crate::config) const TIME: &str =
    "seconds, decimals allowed, such as 0.5, or with a unit (us, ms, s, min, h, d), such as 5min";
