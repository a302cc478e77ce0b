//! Trials: what a replica says of a text that `route_reads = auto` would send to it. For `shadow`, which runs nothing there.
//!
//! The text is planned there, by EXPLAIN, and never run: that tells of unlogged tables, of names that a replica does not
//! have, of functions that are missing there. It is asked under the settings of the client that sent the text, in a
//! transaction that is rolled back, on a connection that nobody misses ([`Pool::attach_spare`]); where there is none the
//! trial is put off. What only shows when a text runs (a function that lies about itself) stays unknown.
//!
//! [`Pool::attach_spare`]: crate::pool::Pool::attach_spare

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use pgweir_codec::backend::ErrorResponse;
use pgweir_codec::sqlstate::SqlState;

use super::access::Access;
use super::service::Service;
use super::startups;
use crate::net::clock;
use crate::pool::Lease;
use crate::server::Connection;
use crate::server::query::{self, QueryError};
use crate::session::elsewhere;
use crate::session::parameters::Parameters;
use crate::session::startup::{InForce, Startup};

/// Longest that all of a trial may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What the planner may take: it runs functions whose value it wants to know. A lock is held up by recovery alone.
const LIMITS: &[u8] = b"SET LOCAL statement_timeout = '1s';SET LOCAL lock_timeout = '200ms'";

/// Longest text of an error that is kept, characters.
const LONGEST: usize = 200;

/// A text to be tried, as a client has sent it.
#[derive(Debug)]
pub struct Request {
    /// By which it is known.
    pub number: u64,
    /// The text.
    pub text: Box<[u8]>,
    /// The types of its parameters, as in [`pgweir_codec::frontend::parse::View::types`].
    pub types: Box<[u8]>,
    /// Whose pools are to be used: a text means what it means to its user.
    pub service: Weak<Service>,
    /// The client's settings.
    pub parameters: Parameters,
    /// What it asked for at startup.
    pub startup: Option<Arc<Startup>>,
}

/// What a replica has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It would run it.
    Fits,
    /// It would refuse it: code and words.
    Refused(Arc<str>),
    /// It has failed for a reason that says nothing of the next one: the code. The words may hold a text's constants.
    Untold(Arc<str>),
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Ran {
    /// The replica has answered.
    Told(Outcome),
    /// No connection could be spared, or it broke.
    NoServer,
    /// Nobody is there any more whose text it was.
    Gone,
}

/// Tries a text.
pub(super) async fn run(request: &Request) -> Ran {
    let Some(service) = request.service.upgrade() else { return Ran::Gone };
    let replicas = Access::new(&service, request.number).replicas();
    // Whoever holds a service keeps it from being forgotten.
    drop(service);
    let mut lease = None;
    for pool in replicas {
        lease = pool.attach_spare(clock::now()).await;
        if lease.is_some() {
            break;
        }
    }
    match lease {
        Some(lease) => ask_by(lease, request).await,
        None => Ran::NoServer,
    }
}

async fn ask_by(mut lease: Lease, request: &Request) -> Ran {
    match tokio::time::timeout(LIMIT, ask(lease.connection(), request)).await {
        Ok(Ok(outcome)) => {
            lease.give_back(clock::now());
            Ran::Told(outcome)
        }
        Ok(Err(_)) => {
            lease.close("a trial of a read broke off");
            Ran::NoServer
        }
        Err(_) => {
            lease.close("a trial of a read took too long");
            Ran::Told(Outcome::Untold("no answer in time".into()))
        }
    }
}

async fn ask(connection: &mut Connection, request: &Request) -> Result<Outcome, QueryError> {
    connection.bring_here()?;
    startups::clean(connection).await?;
    let mut begin = BytesMut::from(&b"BEGIN READ ONLY;"[..]);
    InForce::default().become_of(request.startup.as_ref(), &mut begin);
    request.parameters.write_changes(&connection.state.parameters, &mut begin);
    begin.put_slice(LIMITS);
    let outcome = match query::simple_bytes(connection, &begin).await {
        Ok(_) => plan(connection, request).await?,
        Err(QueryError::Refused(response)) if !response.is_fatal() => untold(&response),
        Err(error) => return Err(error),
    };
    // The settings are undone with it.
    query::simple(connection, "ROLLBACK").await?;
    Ok(outcome)
}

async fn plan(connection: &mut Connection, request: &Request) -> Result<Outcome, QueryError> {
    // With the option written out nothing in the text can ask for ANALYZE, which would run it.
    let sql = [b"EXPLAIN (ANALYZE OFF, COSTS OFF) ", &request.text[..]].concat();
    match query::with_nulls(connection, &sql, &request.types).await {
        Ok(_) => Ok(Outcome::Fits),
        Err(QueryError::Refused(response)) if !response.is_fatal() => Ok(judge(&response)),
        // Whoever put it once more would perhaps break the next.
        Err(_) => Ok(Outcome::Untold("the connection was lost".into())),
    }
}

fn judge(response: &ErrorResponse) -> Outcome {
    // Of the EXPLAIN, not of the text: that was parsed before.
    let ours = response.code() == SqlState::SYNTAX_ERROR;
    if ours || !elsewhere::is_refusal(response) {
        return untold(response);
    }
    let words = format!("{} {}", response.code().as_str(), response.message());
    Outcome::Refused(words.chars().take(LONGEST).collect::<String>().into())
}

fn untold(response: &ErrorResponse) -> Outcome {
    Outcome::Untold(response.code().as_str().into())
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fits => f.write_str("ok"),
            Self::Refused(words) => f.write_str(words),
            Self::Untold(code) => write!(f, "cannot be told ({code})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use pgweir_codec::backend::Severity;

    use super::*;

    fn judged(code: &[u8; 5], words: &str) -> String {
        let code = SqlState::from_bytes(code);
        judge(&ErrorResponse::new(Severity::Error, code, words)).to_string()
    }

    #[test]
    fn a_refusal_is_told_in_the_replicas_words_and_what_says_nothing_by_its_code_alone() {
        let unlogged = "cannot access temporary or unlogged relations during recovery";
        assert_eq!(judged(b"0A000", unlogged), format!("0A000 {unlogged}"));
        assert_eq!(
            judged(b"42P01", "relation \"t\" does not exist"),
            "42P01 relation \"t\" does not exist"
        );
        assert_eq!(judged(b"22P02", "invalid input: \"secret\""), "cannot be told (22P02)");
        assert_eq!(judged(b"57014", "canceling statement"), "cannot be told (57014)");
        assert_eq!(judged(b"42883", &"ä".repeat(300)).chars().count(), LONGEST);
    }
}
