//! One monitor: asks one host, again and again.
//!
//! What a failure says about the host:
//!
//! - A question over the connection at hand that is **not answered in time**: down. No second try: a frozen host
//!   accepts connections and would cost another timeout.
//! - That connection **broke** (reset, closed, FATAL): a new one is tried at once. Somebody may have ended just our
//!   backend; if the server is gone, the new connection is refused within a millisecond.
//! - A **new** connection that is refused, breaks, is not answered in time, or is told "starting up": down.
//! - The login is refused for another reason, or the question cannot be answered: down as well, since the host's role
//!   is not known, but there is no hurry to try again: it takes an operator to mend that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ask::Line;
use super::board::Board;
use super::decide::{Answer, Observation};
use super::snapshot::Failure;
use crate::config::HostAddr;
use crate::net::clock;
use crate::server::query::QueryError;
use crate::server::{self, OpenError, Target};

/// Time from question to question while something is wrong.
const HASTE: Duration = Duration::from_millis(50);

/// Time from question to question while clients wait for replicas to have what they wrote.
const POSITIONS: Duration = Duration::from_millis(100);

/// Time between two glances at a replica that may be promoted: a glance only asks whether its role is still the same.
const GLANCE: Duration = Duration::from_millis(200);

/// How long a host is asked fast after somebody had trouble with it.
const SUSPICION: Duration = Duration::from_secs(1);

/// Least time between two questions, however many have trouble with the host.
const SPACING: Duration = Duration::from_millis(10);

/// A host to be asked.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) addr: HostAddr,
    pub(super) wake: Arc<Notify>,
    /// Rung by who waits to hear where it is: no reason to doubt it.
    pub(super) bell: Arc<Notify>,
    /// The connection at hand may lead where the host's name does not lead any more.
    pub(super) reopen: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
}

/// What one look came to.
struct Seen {
    observation: Observation,
    /// Asking again soon is of no use.
    hopeless: bool,
}

/// Asks until it is stopped.
pub(super) async fn run(board: Arc<Board>, host: Host) {
    let mut line = None;
    let mut suspected_until = None;
    let watching = async {
        loop {
            let began = clock::now();
            if host.reopen.swap(false, Ordering::Relaxed) {
                line = None;
            }
            let seen = look(&board, &host.addr, &mut line).await;
            let now = clock::now();
            board.observe(&host.addr, &seen.observation, now, clock::wall());

            let suspected = suspected_until.is_some_and(|until| now < until);
            let haste = !seen.hopeless && (suspected || board.needs_haste(&host.addr));
            // Who does not answer has no positions to tell.
            let answers = matches!(seen.observation, Observation::Answered(..));
            let interval = match answers {
                true if board.are_positions_wanted(&host.addr) => {
                    board.interval(&host.addr).min(POSITIONS)
                }
                true => board.interval(&host.addr),
                false => board.pace().interval,
            };
            let interval = if haste { interval.min(HASTE) } else { interval };
            let next = began + interval.max(SPACING);
            let glances = board.may_be_promoted(&host.addr);
            match rest(&board, &host, &mut line, next, glances).await {
                Rested::Due => {}
                Rested::Rung => pause_until(began + SPACING).await,
                Rested::Doubted => {
                    suspected_until = Some(clock::now() + SUSPICION);
                    pause_until(began + SPACING).await;
                }
                Rested::Silent => {
                    let seen = Seen::silent(&host.addr, board.pace().timeout);
                    board.observe(&host.addr, &seen.observation, clock::now(), clock::wall());
                }
            }
        }
    };
    host.stop.run_until_cancelled(watching).await;
}

/// Looks once, and tells the board.
pub(super) async fn look_once(board: &Board, host: &Host) {
    let seen = look(board, &host.addr, &mut None).await;
    board.observe(&host.addr, &seen.observation, clock::now(), clock::wall());
}

/// Why a rest between two looks is over.
enum Rested {
    /// It is time.
    Due,
    /// Somebody waits to hear where it is.
    Rung,
    /// Somebody has trouble with the host, or its role is another one.
    Doubted,
    /// It did not answer a glance in time.
    Silent,
}

/// Waits until the host is to be looked at again. With `glances` its role is watched meanwhile.
async fn rest(
    board: &Board,
    host: &Host,
    line: &mut Option<Line>,
    until: Instant,
    glances: bool,
) -> Rested {
    loop {
        let glance = clock::now() + GLANCE;
        let last = !glances || line.is_none() || glance >= until;
        if let Some(rested) = wait(host, if last { until } else { glance }).await {
            return rested;
        }
        let Some(mut old) = line.take_if(|_| !last) else { return Rested::Due };
        match tokio::time::timeout(board.pace().timeout, old.has_changed_role()).await {
            Ok(Ok(false)) => *line = Some(old),
            Ok(Ok(true)) => {
                *line = Some(old);
                return Rested::Doubted;
            }
            // A look by a new connection tells what that means.
            Ok(Err(_)) => return Rested::Doubted,
            Err(_) => return Rested::Silent,
        }
    }
}

/// Waits for the time or for somebody who wants the host asked; tells of the latter.
async fn wait(host: &Host, until: Instant) -> Option<Rested> {
    let wanted = async {
        tokio::select! {
            biased;
            () = host.wake.notified() => Rested::Doubted,
            () = host.bell.notified() => Rested::Rung,
        }
    };
    let pause = until.saturating_duration_since(clock::now());
    tokio::time::timeout(pause, wanted).await.ok()
}

async fn pause_until(when: Instant) {
    tokio::time::sleep(when.saturating_duration_since(clock::now())).await;
}

/// Looks at the host once. `line` is the connection at hand, if there is one; it is kept only if all went well.
async fn look(board: &Board, addr: &HostAddr, line: &mut Option<Line>) -> Seen {
    let limit = board.pace().timeout;
    let asked = clock::now();
    if let Some(mut old) = line.take() {
        match tokio::time::timeout(limit, old.ask()).await {
            Ok(Ok(answer)) => {
                *line = Some(old);
                return Seen::answered(answer, asked);
            }
            Ok(Err(error)) if broke(&error) => {}
            Ok(Err(error)) => {
                return Seen::puzzling(addr, &error);
            }
            Err(_) => {
                return Seen::silent(addr, limit);
            }
        }
    }
    let Some(target) = board.target(addr) else {
        return Seen::failed(format!("{addr} is no longer named"), Failure::Unreachable, true);
    };
    match tokio::time::timeout(limit, open_and_ask(target, limit)).await {
        Ok(Ok((new, answer))) => {
            *line = Some(new);
            Seen::answered(answer, asked)
        }
        Ok(Err(seen)) => seen,
        Err(_) => Seen::failed(
            format!(
                "{addr} did not let us in and answer within {limit:?} (topology_timeout); is it frozen or overloaded, or \
                 does a firewall drop what goes there?"
            ),
            Failure::Silent,
            false,
        ),
    }
}

async fn open_and_ask(mut target: Target, limit: Duration) -> Result<(Line, Answer), Seen> {
    // Ours comes first, so that the right setting is named.
    target.timeout = limit * 2;
    let opened = server::open(&target, server::UNNUMBERED, |_| ()).await;
    let (connection, _) = opened.map_err(|error| Seen::not_opened(&error, &target))?;
    let mut line = Line::new(connection);
    match line.ask().await {
        Ok(answer) => Ok((line, answer)),
        Err(error) => Err(Seen::puzzling(&target.host, &error)),
    }
}

/// Whether it was the connection that failed, rather than the question.
fn broke(error: &QueryError) -> bool {
    match error {
        QueryError::Io(_) => true,
        QueryError::Refused(response) => response.is_fatal(),
        QueryError::Protocol(_) => false,
    }
}

impl Seen {
    fn answered(answer: Answer, asked: Instant) -> Self {
        Self { observation: Observation::Answered(answer, asked), hopeless: false }
    }

    fn silent(addr: &HostAddr, limit: Duration) -> Self {
        let error = format!("{addr} did not answer within {limit:?} (topology_timeout)");
        Self::failed(error, Failure::Silent, false)
    }

    /// There is no connection to ask by.
    fn not_opened(error: &OpenError, target: &Target) -> Self {
        let failure = match error {
            OpenError::Unreachable { .. } | OpenError::Unresolved { .. } => Failure::Unreachable,
            OpenError::TimedOut { .. } => Failure::Silent,
            OpenError::Refused { .. } if error.doubts_host() => Failure::Closed,
            OpenError::Refused { response, .. } => {
                Failure::Login(Some(response.code().as_str().to_owned()))
            }
            OpenError::Login { .. } => Failure::Login(None),
            OpenError::Protocol { .. } => Failure::NoAnswer,
        };
        let words = match error.advice(&target.user, &target.dbname) {
            Some(advice) => format!("{error}; topology_user: {advice}"),
            None => error.to_string(),
        };
        Self::failed(words, failure, !error.doubts_host())
    }

    /// The question was not answered, or not so that one could know what the host is.
    fn puzzling(addr: &HostAddr, error: &QueryError) -> Self {
        let failure = if broke(error) { Failure::Unreachable } else { Failure::NoAnswer };
        Self::failed(format!("{addr} cannot say what it is: {error}"), failure, !broke(error))
    }

    fn failed(error: String, failure: Failure, hopeless: bool) -> Self {
        Self { observation: Observation::Failed { error: error.into(), failure }, hopeless }
    }
}
