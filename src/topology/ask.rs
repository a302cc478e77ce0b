//! The monitor's question: everything about a host in one row.

use crate::server::Connection;
use crate::server::query::{self, QueryError};

use super::decide::Answer;
use crate::routing::causal::Token;

/// Role, WAL file name (primary), position, WAL receiver (standby), its timeline, system identifier, where WAL would go
/// next (primary), start, how far a standby is known to have replayed on which timeline.
///
/// - `OFFSET 0`: the role is asked for once, so that all columns speak of the same one even while a promotion runs.
/// - The first eight digits of `pg_walfile_name` are the timeline, right at once after a promotion; that of
///   `pg_control_checkpoint()` is stale until the next checkpoint. The function fails in recovery: hence CASE.
/// - `pg_stat_wal_receiver` shows its row to everybody, but `status` and `received_tli` only to members of
///   `pg_read_all_stats` (`pg_monitor`); to others they are NULL.
/// - Who is not told the timeline is told the minimum recovery point, by a function that everybody may call: a standby has
///   replayed up to there, on that timeline (UpdateMinRecoveryPoint in xlog.c writes the two together). It is behind by
///   up to a restartpoint. The timeline alone says nothing of what was replayed since: for so long it is still the old
///   one after the standby has gone on to another. It is read after the replayed position: the record that it ends with
///   may be under way.
macro_rules! question {
    ($system_id:literal, $proven:literal, $from:literal) => {
        concat!(
            "SELECT r.in_recovery,",
            " CASE WHEN r.in_recovery THEN NULL",
            " ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,",
            " CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_replay_lsn()",
            " ELSE pg_catalog.pg_current_wal_lsn() END,",
            " w.pid, w.status, w.received_tli, ",
            $system_id,
            ", CASE WHEN r.in_recovery THEN NULL ELSE pg_catalog.concat_ws(' ',",
            " pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.current_setting('wal_block_size'),",
            " pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))) END,",
            " (EXTRACT(EPOCH FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8, ",
            $proven,
            " FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery OFFSET 0) r",
            " LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON true",
            $from
        )
    };
}

/// The next where the right to call a function in it was revoked (everybody has it by default).
const QUESTIONS: [&str; 3] = [
    question!(
        "c.system_identifier",
        "CASE WHEN r.in_recovery AND w.received_tli IS NULL THEN \
         (SELECT CASE WHEN m.min_recovery_end_timeline > 0 THEN \
         pg_catalog.concat(m.min_recovery_end_timeline, '/', m.min_recovery_end_lsn) END \
         FROM pg_catalog.pg_control_recovery() m) END",
        " CROSS JOIN pg_catalog.pg_control_system() c"
    ),
    question!("c.system_identifier", "NULL", " CROSS JOIN pg_catalog.pg_control_system() c"),
    question!("NULL", "NULL", ""),
];

/// SQLSTATE of a call without the right to it.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A connection with the question that it may ask.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    /// The number of the question that it may ask.
    question: usize,
    /// The role in the last answer.
    in_recovery: Option<bool>,
}

impl Line {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, question: 0, in_recovery: None }
    }

    /// Whether the host has another role than at the last question, with no time limit of its own. Costs an empty query,
    /// which no right is needed for: PostgreSQL 14 and later tell of a promotion with the next answer.
    ///
    /// # Errors
    /// As [`query::simple`]. The line is not to be used again.
    pub(super) async fn has_changed_role(&mut self) -> Result<bool, QueryError> {
        let in_recovery = match self.connection.state.in_hot_standby() {
            Some(_) => {
                query::simple(&mut self.connection, "").await?;
                self.connection.state.in_hot_standby()
            }
            None => {
                let rows =
                    query::simple(&mut self.connection, "SELECT pg_catalog.pg_is_in_recovery()");
                let rows = rows.await?;
                let value = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
                value.map(|value| value == "t")
            }
        };
        Ok(in_recovery != self.in_recovery)
    }

    /// Asks, with no time limit of its own.
    ///
    /// # Errors
    /// As [`query::simple`]; `Protocol` also for an answer that makes no sense. The line is not to be used again.
    pub(super) async fn ask(&mut self) -> Result<Answer, QueryError> {
        let rows = loop {
            let question = QUESTIONS.get(self.question).copied().unwrap_or_default();
            let rows = query::simple(&mut self.connection, question).await;
            if rows.as_ref().is_err_and(lacks_right) && self.question + 1 < QUESTIONS.len() {
                self.question += 1;
            } else {
                break rows?;
            }
        };
        let row: Vec<Option<&str>> =
            rows.first().into_iter().flatten().map(Option::as_deref).collect();
        let answer = read(&row).ok_or_else(|| {
            QueryError::Protocol(format!("cannot make sense of its answer {rows:?}"))
        })?;
        self.in_recovery = Some(answer.in_recovery);
        Ok(answer)
    }
}

fn lacks_right(error: &QueryError) -> bool {
    matches!(error, QueryError::Refused(response) if response.code().as_str() == INSUFFICIENT_PRIVILEGE)
}

/// Reads the row; `None` if it makes no sense.
fn read(row: &[Option<&str>]) -> Option<Answer> {
    let &[
        in_recovery,
        wal_file,
        lsn,
        receiver,
        status,
        received_timeline,
        system_id,
        insert,
        started,
        proven,
    ] = row
    else {
        return None;
    };
    let in_recovery = match in_recovery? {
        "t" => true,
        "f" => false,
        _ => return None,
    };
    let timeline = match in_recovery {
        true => optional(received_timeline, |timeline| timeline.parse().ok())?,
        false => optional(wal_file, |name| u32::from_str_radix(name.get(..8)?, 16).ok())?,
    };
    let lsn = optional(lsn, read_lsn)?;
    let proven = optional(proven, |proven| Token::read(proven.as_bytes()))?;
    let proven = proven.and_then(|proven| Some((proven.timeline?.get(), proven.lsn.min(lsn?))));
    Some(Answer {
        in_recovery,
        system_id: optional(system_id, read_system_id)?,
        // A receiver that only waits to be started has no timeline yet.
        timeline: timeline.filter(|timeline| *timeline != 0),
        lsn,
        insert_lsn: optional(insert, read_insert)?,
        streaming: in_recovery
            && receiver.is_some()
            && status.is_none_or(|status| status == "streaming"),
        started: optional(started, |micros| micros.parse().ok())?,
        proven,
    })
}

/// NULL is no value; a value that cannot be read is no answer.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
fn optional<T>(value: Option<&str>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(text) => Some(Some(read(text)?)),
    }
}

/// Where WAL would go next, with the sizes of its pages and segments. Behind the header of a page nothing was written on that yet:
/// a replica that has it all is in front of the header, and would be waited for in vain.
fn read_insert(text: &str) -> Option<u64> {
    let mut words = text.split(' ');
    let lsn = read_lsn(words.next()?)?;
    let (page, segment): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let header = match (lsn.checked_rem(segment)?, lsn.checked_rem(page)?) {
        (LONG_HEADER, _) => LONG_HEADER,
        (_, HEADER) => HEADER,
        _ => 0,
    };
    Some(lsn - header)
}

/// Bytes in front of a page's first record, and of a segment's (`SizeOfXLogShortPHD`, `SizeOfXLogLongPHD`).
const HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;

/// PostgreSQL shows the unsigned number as a signed one.
fn read_system_id(text: &str) -> Option<u64> {
    text.parse::<i64>().ok().map(i64::cast_unsigned)
}

/// `16/B374D848`.
fn read_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |digits| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(half(high)? << 32 | half(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_tells_its_timeline_by_the_name_of_its_wal_file() {
        let row = [
            "f",
            "0000000A0000000000000003",
            "16/B374D848",
            "",
            "",
            "",
            "7711849323059061448",
            "16/B374D900 8192 16777216",
            "1764100000000001",
            "",
        ];
        let row = row.map(|value| Some(value).filter(|value| !value.is_empty()));
        let answer = Answer {
            in_recovery: false,
            system_id: Some(7_711_849_323_059_061_448),
            timeline: Some(10),
            lsn: Some(0x16_B374_D848),
            insert_lsn: Some(0x16_B374_D900),
            streaming: false,
            started: Some(1_764_100_000_000_001),
            proven: None,
        };
        assert_eq!(read(&row), Some(answer));
    }

    #[test]
    fn a_standby_tells_its_receivers_timeline_if_it_may() {
        let told = [
            Some("t"),
            None,
            Some("0/3000AF8"),
            Some("77"),
            Some("streaming"),
            Some("2"),
            Some("-1"),
            None,
            None,
            None,
        ];
        let answer = Answer {
            in_recovery: true,
            system_id: Some(u64::MAX),
            timeline: Some(2),
            lsn: Some(0x300_0AF8),
            insert_lsn: None,
            streaming: true,
            started: None,
            proven: None,
        };
        assert_eq!(read(&told), Some(answer));
        let mut untold = [None; 10];
        untold[..4].copy_from_slice(&[Some("t"), None, Some("0/3000AF8"), Some("77")]);
        let answer_untold = Answer { timeline: None, system_id: None, ..answer };
        assert_eq!(read(&untold), Some(answer_untold));
        // How far it has come at least; no further than what is replayed to the end.
        for (text, lsn) in [("2/0/3000000", 0x300_0000), ("2/0/3000B00", 0x300_0AF8)] {
            untold[9] = Some(text);
            let proven = Some((2, lsn));
            assert_eq!(read(&untold), Some(Answer { proven, ..answer_untold }), "{text}");
        }
        let cut_off =
            [Some("t"), None, Some("0/3000AF8"), None, None, None, Some("-1"), None, None, None];
        assert_eq!(read(&cut_off), Some(Answer { timeline: None, streaming: false, ..answer }));
        let waiting = [
            Some("t"),
            None,
            None,
            Some("77"),
            Some("waiting"),
            Some("0"),
            Some("-1"),
            None,
            None,
            None,
        ];
        assert_eq!(
            read(&waiting),
            Some(Answer { timeline: None, streaming: false, lsn: None, ..answer })
        );
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        let good = [
            Some("f"),
            Some("000000010000000000000003"),
            Some("0/1"),
            None,
            None,
            None,
            Some("7"),
            None,
            None,
            None,
        ];
        assert!(read(&good).is_some());
        for (column, nonsense) in [
            (0, "x"),
            (1, "0000"),
            (1, "zzzzzzzz"),
            (2, "01"),
            (2, "x/1"),
            (6, "seven"),
            (8, "now"),
            (9, "0/1/1"),
        ] {
            let mut row = good;
            row[column] = Some(nonsense);
            assert_eq!(read(&row), None, "{nonsense} in column {column}");
        }
        assert_eq!(read(&good[..7]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn nothing_is_waited_for_that_is_but_a_header() {
        let read = |lsn| read_insert(&format!("{lsn} 8192 16777216"));
        assert_eq!(read("0/3002018"), Some(0x300_2000), "a page");
        assert_eq!(read("0/4000028"), Some(0x400_0000), "a segment");
        assert_eq!(read("0/3002028"), Some(0x300_2028), "a record that began on the page before");
        assert_eq!(read("0/3002040"), Some(0x300_2040));
        assert_eq!(read("0/3001018"), Some(0x300_1018), "in the middle of a page");
        for nonsense in ["0/3002018", "0/3002018 0 0", "0/3002018 x 1", "x 8192 16777216"] {
            assert_eq!(read_insert(nonsense), None, "{nonsense}");
        }
    }
}
