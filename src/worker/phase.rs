//! What a client is about and since when, and which of its limits that exceeds.
//!
//! A client's task notes each change with relaxed stores of times that it has read anyway. A tick looks at all clients
//! a few times a second ([`super::overdue`]) and leaves an order with those that are over; what was noted then comes
//! with the order, so that a client that has gone on in the meantime is left alone.
//!
//! Idle → (request) → Running → (answer) → Idle, InTransaction or Holding. A request may wait for a server first.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// What a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing; it holds no server.
    Idle,
    /// Its request waits for a server.
    Waiting,
    /// A server runs its request.
    Running,
    /// Nothing, inside a transaction.
    InTransaction,
    /// Nothing, outside a transaction, but it keeps its server (session mode).
    Holding,
}

impl Phase {
    const ALL: [Self; 5] =
        [Self::Idle, Self::Waiting, Self::Running, Self::InTransaction, Self::Holding];
}

/// Bits that the phase takes in [`Clock::phase`], below the time.
const BITS: u32 = 3;

/// One client's phase and times. Times are since the client was accepted.
#[derive(Debug, Default)]
pub struct Clock {
    /// Phase and the time that it began, in microseconds.
    phase: AtomicU64,
    /// When the transaction began.
    transaction: AtomicU64,
    /// When the last request came.
    request: AtomicU64,
    /// Which limit [`Self::is_overdue`] found exceeded last (1 and up, as in [`Exceeded::ALL`]), and what by.
    exceeded: AtomicU8,
    judged: AtomicU64,
}

/// The limits of one client; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Setting `query_timeout`. Who waits for a server is the pool's business.
    pub query: Option<Duration>,
    /// Setting `idle_transaction_timeout`.
    pub idle_transaction: Option<Duration>,
    /// Setting `transaction_timeout`.
    pub transaction: Option<Duration>,
    /// Setting `client_idle_timeout`.
    pub client_idle: Option<Duration>,
}

/// A limit that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// `query_timeout`.
    Query,
    /// `idle_transaction_timeout`.
    IdleTransaction,
    /// `transaction_timeout`.
    Transaction,
    /// `client_idle_timeout`.
    ClientIdle,
}

impl Exceeded {
    const ALL: [Self; 4] =
        [Self::Query, Self::IdleTransaction, Self::Transaction, Self::ClientIdle];
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Clock {
    /// It is about something else from now on.
    pub fn enter(&self, phase: Phase, now: Duration) {
        self.phase.store(micros(now) << BITS | phase as u64, Ordering::Relaxed);
    }

    /// A request came. `first`: not inside a transaction.
    pub fn request(&self, first: bool, now: Duration) {
        self.request.store(micros(now), Ordering::Relaxed);
        self.run(first, now);
    }

    /// A server runs the request from now on. `first`: it begins a transaction.
    pub fn run(&self, first: bool, now: Duration) {
        if first {
            self.transaction.store(micros(now), Ordering::Relaxed);
        }
        self.enter(Phase::Running, now);
    }

    /// When the last request came.
    pub fn last_request(&self) -> Duration {
        Duration::from_micros(self.request.load(Ordering::Relaxed))
    }

    /// What it is about.
    pub fn phase(&self) -> Phase {
        Self::unpack(self.phase.load(Ordering::Relaxed)).0
    }

    /// What it is about, and since when.
    pub fn phase_since(&self) -> (Phase, Duration) {
        Self::unpack(self.phase.load(Ordering::Relaxed))
    }

    fn unpack(packed: u64) -> (Phase, Duration) {
        let index = usize::try_from(packed & ((1 << BITS) - 1)).unwrap_or(0);
        let phase = Phase::ALL.get(index).copied().unwrap_or(Phase::Idle);
        (phase, Duration::from_micros(packed >> BITS))
    }

    /// Whether a limit is exceeded; [`Self::exceeded`] says which.
    pub fn is_overdue(&self, timeouts: &Timeouts, now: Duration) -> bool {
        let packed = self.phase.load(Ordering::Relaxed);
        let (phase, since) = Self::unpack(packed);
        let transaction = self.transaction.load(Ordering::Relaxed);
        let over = |since: Duration, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_sub(since) >= limit)
        };
        let whole = over(Duration::from_micros(transaction), timeouts.transaction);
        let exceeded = match phase {
            Phase::Running if over(since, timeouts.query) => Exceeded::Query,
            Phase::InTransaction if over(since, timeouts.idle_transaction) => {
                Exceeded::IdleTransaction
            }
            Phase::Running | Phase::InTransaction if whole => Exceeded::Transaction,
            Phase::Idle if over(since, timeouts.client_idle) => Exceeded::ClientIdle,
            _ => return false,
        };
        let judged = if exceeded == Exceeded::Transaction { transaction } else { packed };
        self.judged.store(judged, Ordering::Relaxed);
        self.exceeded.store(exceeded as u8 + 1, Ordering::Relaxed);
        true
    }

    /// The limit that [`Self::is_overdue`] found exceeded last, if the client is still about the same thing as then.
    pub fn exceeded(&self) -> Option<Exceeded> {
        let index = self.exceeded.load(Ordering::Relaxed).checked_sub(1)?;
        let exceeded = *Exceeded::ALL.get(usize::from(index))?;
        let judged = self.judged.load(Ordering::Relaxed);
        let still = if exceeded == Exceeded::Transaction {
            matches!(self.phase(), Phase::Running | Phase::InTransaction)
                && self.transaction.load(Ordering::Relaxed) == judged
        } else {
            self.phase.load(Ordering::Relaxed) == judged
        };
        still.then_some(exceeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Timeouts = Timeouts {
        query: Some(Duration::from_secs(2)),
        idle_transaction: Some(Duration::from_secs(3)),
        transaction: Some(Duration::from_secs(7)),
        client_idle: Some(Duration::from_secs(5)),
    };

    fn overdue(clock: &Clock, timeouts: &Timeouts, now: Duration) -> Option<Exceeded> {
        clock.is_overdue(timeouts, now).then(|| clock.exceeded()).flatten()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let clock = Clock::default();
        clock.enter(Phase::Idle, at(10));
        assert_eq!(overdue(&clock, &ALL, at(14)), None);
        assert_eq!(overdue(&clock, &ALL, at(15)), Some(Exceeded::ClientIdle));
        clock.request(true, at(20));
        assert_eq!((clock.phase(), clock.last_request()), (Phase::Running, at(20)));
        assert_eq!(overdue(&clock, &ALL, at(21)), None);
        assert_eq!(overdue(&clock, &ALL, at(22)), Some(Exceeded::Query));
        clock.enter(Phase::InTransaction, at(23));
        assert_eq!(overdue(&clock, &ALL, at(25)), None);
        assert_eq!(overdue(&clock, &ALL, at(26)), Some(Exceeded::IdleTransaction));
        clock.enter(Phase::InTransaction, at(26));
        assert_eq!(overdue(&clock, &ALL, at(27)), Some(Exceeded::Transaction), "since 20");
        clock.request(false, at(28));
        assert_eq!(overdue(&clock, &ALL, at(28)), Some(Exceeded::Transaction), "it goes on");
        for patient in [Phase::Waiting, Phase::Holding] {
            clock.enter(patient, at(30));
            assert_eq!(overdue(&clock, &ALL, at(99)), None, "{patient:?}");
        }
    }

    #[test]
    fn without_limits_nobody_is_overdue() {
        let clock = Clock::default();
        for phase in Phase::ALL {
            clock.enter(phase, at(1));
            assert_eq!(clock.phase(), phase);
            assert_eq!(overdue(&clock, &Timeouts::default(), at(1_000_000)), None);
        }
    }

    #[test]
    fn who_has_gone_on_since_the_judgement_is_left_alone() {
        let clock = Clock::default();
        clock.request(true, at(1));
        assert_eq!(overdue(&clock, &ALL, at(4)), Some(Exceeded::Query));
        assert_eq!(clock.exceeded(), Some(Exceeded::Query));
        clock.enter(Phase::Idle, at(4));
        clock.request(true, at(4));
        assert_eq!(clock.exceeded(), None, "that is another query");

        clock.enter(Phase::InTransaction, at(5));
        assert_eq!(overdue(&clock, &ALL, at(11)), Some(Exceeded::IdleTransaction));
        clock.enter(Phase::InTransaction, at(11));
        assert_eq!(overdue(&clock, &ALL, at(12)), Some(Exceeded::Transaction));
        clock.request(false, at(12));
        assert_eq!(clock.exceeded(), Some(Exceeded::Transaction), "it is the same transaction");
        clock.enter(Phase::Idle, at(13));
        assert_eq!(clock.exceeded(), None, "it is over");
        clock.request(true, at(13));
        assert_eq!(clock.exceeded(), None, "that is another one");
    }
}
