//! What SHOW CLIENTS and SHOW SERVERS have in common: all but the state.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::table::{Column, ColumnType, Value};
use crate::report::connections::{Connection, Endpoint};
use crate::worker::client::Replication;

/// The columns of both.
pub(super) const COLUMNS: &[Column] = &[
    ("type", ColumnType::Text),
    ("user", ColumnType::Text),
    ("database", ColumnType::Text),
    ("replication", ColumnType::Text),
    ("state", ColumnType::Text),
    ("addr", ColumnType::Text),
    ("port", ColumnType::Int4),
    ("local_addr", ColumnType::Text),
    ("local_port", ColumnType::Int4),
    ("connect_time", ColumnType::Text),
    ("request_time", ColumnType::Text),
    ("wait", ColumnType::Int4),
    ("wait_us", ColumnType::Int4),
    ("close_needed", ColumnType::Int4),
    ("ptr", ColumnType::Text),
    ("link", ColumnType::Text),
    ("remote_pid", ColumnType::Int4),
    ("tls", ColumnType::Text),
    ("application_name", ColumnType::Text),
    ("prepared_statements", ColumnType::Int4),
    ("id", ColumnType::Int4),
];

impl Endpoint {
    fn values(&self) -> [Value; 2] {
        match self {
            Self::Tcp { addr, port } => [addr.as_str().into(), Value::int4(*port)],
            Self::Unix { port } => ["unix".into(), Value::int4(*port)],
            Self::Unknown => ["".into(), Value::int4(0)],
        }
    }
}

impl Connection {
    /// The row; `kind` is `C` or `S`.
    pub(super) fn row(self, kind: &'static str, state: &'static str) -> Vec<Value> {
        let [addr, port] = self.remote.values();
        let [local_addr, local_port] = self.local.values();
        vec![
            kind.into(),
            self.user.unwrap_or_else(|| "(nouser)".to_owned()).into(),
            self.database.unwrap_or_else(|| "(nodb)".to_owned()).into(),
            match self.replication {
                Replication::None => "none",
                Replication::Logical => "logical",
                Replication::Physical => "physical",
            }
            .into(),
            state.into(),
            addr,
            port,
            local_addr,
            local_port,
            timestamp(self.connect_time).into(),
            timestamp(self.request_time).into(),
            Value::int4(self.wait.as_secs()),
            Value::int4(self.wait.subsec_micros()),
            Value::int4(i32::from(self.close_needed)),
            pointer(self.id).into(),
            self.link.map_or_else(String::new, pointer).into(),
            Value::int4(self.remote_pid),
            self.tls.into(),
            self.application_name.into(),
            Value::int4(self.prepared_statements),
            Value::int4(self.id),
        ]
    }
}

/// pgbouncer shows addresses in memory, by which tools join clients and servers. The id in the
/// same dress joins as well.
fn pointer(id: u64) -> String {
    format!("{id:#x}")
}

/// `YYYY-MM-DD HH:MM:SS UTC`. pgbouncer shows its local time zone's time and name.
pub(super) fn timestamp(time: SystemTime) -> String {
    format!("{} UTC", second(time))
}

/// `YYYY-MM-DD HH:MM:SS.mmm UTC`, for the log.
pub fn timestamp_millis(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis();
    format!("{}.{millis:03} UTC", second(time))
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ` (RFC 3339).
pub fn rfc3339_millis(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis();
    format!("{}.{millis:03}Z", second(time).replace(' ', "T"))
}

/// `YYYY-MM-DD HH:MM:SS`.
fn second(time: SystemTime) -> String {
    // Before 1970 only if the machine's clock is; that is the epoch then.
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of the day so many days after 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last; 400 years have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    // Take away the leap days gone by: one in 1460 days, not in 36,524, again in 146,096.
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // From March on five months have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * cycle + year_of_cycle + u64::from(month <= 2), month, day)
}

#[cfg(test)]
pub(in super::super) mod testing {
    use std::time::Duration;

    use super::*;

    /// A client of the database `app`, and what its row says but for type and state.
    pub(in super::super::super) fn example() -> Connection {
        Connection {
            id: 17,
            link: Some(255),
            user: Some("alice".to_owned()),
            database: Some("app".to_owned()),
            replication: Replication::None,
            remote: Endpoint::Tcp { addr: "10.0.0.7".to_owned(), port: 50_000 },
            local: Endpoint::Unix { port: 6432 },
            connect_time: UNIX_EPOCH + Duration::from_secs(1_795_521_293),
            request_time: UNIX_EPOCH + Duration::from_secs(1_795_521_294),
            wait: Duration::from_micros(2_000_345),
            close_needed: true,
            remote_pid: 4711,
            tls: "TLSv1.3/TLS_AES_256_GCM_SHA384".to_owned(),
            application_name: "psql".to_owned(),
            prepared_statements: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> String {
        timestamp(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn times_are_shown_in_utc() {
        // Checked against date(1).
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(at(1_795_521_293), "2026-11-24 11:54:53 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(5)), at(0));
    }

    #[test]
    fn each_day_of_four_centuries_follows_the_one_before() {
        let mut before = civil(0);
        for days in 1..146_097 {
            let (year, month, day) = civil(days);
            let next_day = (year, month, day - 1) == before;
            let next_month = day == 1 && (year, month - 1) == (before.0, before.1);
            let next_year = (month, day, year - 1) == (1, 1, before.0) && before.1 == 12;
            assert!(next_day || next_month || next_year, "{before:?} then {year}-{month}-{day}");
            assert!(day <= 31 && before.2 >= if day == 1 { 28 } else { 1 });
            before = (year, month, day);
        }
        assert_eq!(civil(146_097), (2370, 1, 1));
    }
}
