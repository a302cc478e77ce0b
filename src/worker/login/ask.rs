//! auth_query: asking a server for a user's secret.
//!
//! It is a read, so while an entry has no primary a replica is asked. While none of its hosts is there the last answer to the
//! same question counts, for some minutes: clients of an application that connects anew during a failover are held as those are
//! that were there before.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::end::{End, fatal};
use crate::auth::lookup::{Ask, read_rows};
use crate::auth::secret::Secret;
use crate::metrics::AuthFailure;
use crate::net::clock;
use crate::pool::{AttachError, Lease};
use crate::routing::{Intent, Target};
use crate::server::query::{self, QueryError};
use crate::worker::access::{Access, Choice, Held, hold};
use crate::worker::console::NAMES;
use crate::worker::service::forced_credentials;
use crate::worker::shared::Live;
use crate::worker::startups;

/// Most secrets that are remembered.
const MOST: usize = 10_000;

/// How long an answer counts: as long as an outage lasts, not longer.
const HOLDS: Duration = Duration::from_secs(600);

/// Tries, each with another server: one may be lost while it is asked.
const TRIES: usize = 3;

/// How often it is looked whether the monitors have given up the host that is asked.
const LOOK: Duration = Duration::from_millis(50);

/// What auth_query answered last, by the question and the user.
#[derive(Debug, Default)]
pub(crate) struct Answers(DashMap<(Ask, String), (Secret, Instant)>);

impl Answers {
    /// Takes an answer in; `None`: there is no such user.
    fn note(&self, ask: &Ask, user: &str, secret: Option<&Secret>, now: Instant) {
        let key = (ask.clone(), user.to_owned());
        let Some(secret) = secret else {
            self.0.remove(&key);
            return;
        };
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, at)| now.saturating_duration_since(*at) < HOLDS);
        }
        if self.0.len() < MOST || self.0.contains_key(&key) {
            self.0.insert(key, (secret.clone(), now));
        }
    }

    fn last(&self, ask: &Ask, user: &str, now: Instant) -> Option<Secret> {
        let known = self.0.get(&(ask.clone(), user.to_owned()))?;
        let (secret, at) = known.value();
        (now.saturating_duration_since(*at) < HOLDS).then(|| secret.clone())
    }
}

impl Guest<'_> {
    /// Asks a server for the user's secret (`auth_query`).
    pub(super) async fn ask(&self, user: &str, ask: &Ask) -> Result<Option<Secret>, End> {
        let failed = |reason: String| {
            let response = fatal(SqlState::CONFIG_FILE_ERROR, "bouncer config error");
            End::Denied(
                Box::new(response),
                AuthFailure::Lookup,
                format!("auth_query failed: {reason}"),
            )
        };
        let Live { config, server_tls, .. } = &*self.live;
        if NAMES.contains(&ask.dbname.as_str()) {
            return Err(failed(format!(
                "cannot use the reserved \"{}\" database as an auth_dbname",
                ask.dbname
            )));
        }
        let Some(database) = config.database(&ask.dbname) else {
            return Err(failed(format!(
                "authentication database \"{}\" is not configured.",
                ask.dbname
            )));
        };
        let credentials = forced_credentials(config, &database, &ask.as_user);
        let service =
            self.shared.services.find(config, server_tls, &database, &ask.as_user, credentials);
        let mut access = Access::new(&service, self.holder.id);
        let limit = config.settings.failover_timeout;
        let mut tries = 0;
        let rows = loop {
            tries += 1;
            let answers = &self.shared.answers;
            let last = || answers.last(ask, user, clock::now());
            let mut lease = match attach(&mut access, limit, || last().is_some()).await {
                Ok(Some(lease)) => lease,
                Ok(None) => {
                    tracing::warn!(
                        of = %self.label,
                        "auth_query: no host of database {} can be asked; its last answer for this user counts",
                        ask.dbname
                    );
                    return Ok(last());
                }
                Err(error) => {
                    drop(access);
                    if !config.databases.contains_key(&ask.dbname) {
                        self.shared.services.was_in_vain(service);
                    }
                    return Err(failed(error.to_string()));
                }
            };
            match put(&mut lease, ask, user).await {
                Ok(rows) => {
                    lease.give_back(clock::now());
                    break rows;
                }
                Err(error) if tries < TRIES && is_lost(&error) => {
                    let host = lease.connection().info.host.clone();
                    lease.pool().doubt(&host);
                    lease.close("auth_query was not answered");
                    // The monitor looks at its host; who is chosen next may be another one.
                    hold(access.change(), clock::now() + limit).await;
                }
                Err(error) => {
                    if matches!(&error, QueryError::Refused(response) if !response.is_fatal()) {
                        lease.give_back(clock::now());
                    }
                    return Err(failed(error.to_string()));
                }
            }
        };
        let secret = read_rows(user, &rows).map_err(|error| failed(error.to_string()))?;
        // Any other entry has no use for it.
        if access.offer().tracking.is_some() {
            self.shared.answers.note(ask, user, secret.as_ref(), clock::now());
        }
        Ok(secret)
    }
}

/// Puts the question.
async fn put(
    lease: &mut Lease,
    ask: &Ask,
    user: &str,
) -> Result<Vec<Vec<Option<String>>>, QueryError> {
    let connection = lease.connection();
    let info = connection.info.clone();
    let asking = async {
        connection.bring_here().map_err(QueryError::Io)?;
        // Whoever had this server before: his settings must not decide what the query finds (CVE-2025-12819).
        startups::clean_of_all(connection).await?;
        query::with_parameter(connection, &ask.sql, user).await
    };
    // A host that hangs says nothing; its monitor does.
    let given_up = async {
        while !info.is_doomed() {
            tokio::time::sleep(LOOK).await;
        }
        Err(QueryError::Io(std::io::Error::other("its host is gone")))
    };
    tokio::select! {
        answer = asking => answer,
        gone = given_up => gone,
    }
}

/// Whether it was the server that was lost.
fn is_lost(error: &QueryError) -> bool {
    match error {
        QueryError::Io(_) => true,
        QueryError::Refused(response) => response.is_fatal(),
        QueryError::Protocol(_) => false,
    }
}

/// A server of the primary, or of a replica while there is no primary. `Ok(None)`: there is neither, and we can `do_without`.
async fn attach(
    access: &mut Access,
    limit: Duration,
    do_without: impl Fn() -> bool,
) -> Result<Option<Lease>, AttachError> {
    let until = clock::now() + limit;
    let mut held = None;
    loop {
        let now = clock::now();
        let pool =
            [Intent::Unstated, Intent::Hint(Target::Replica)].into_iter().find_map(|intent| {
                match access.choose(intent, now) {
                    Choice::Pool(pool) => Some(Ok(pool)),
                    Choice::Removed => Some(Err(AttachError::DatabaseGone)),
                    Choice::Hold { .. } | Choice::NoReplica => None,
                }
            });
        match pool.transpose()? {
            Some(pool) => {
                if let Some(lease) = pool.try_attach(now) {
                    return Ok(Some(lease));
                }
                match pool.attach(0, now)?.await {
                    Err(AttachError::HostGone) => {}
                    other => return other.map(Some),
                }
            }
            // Not while one is there that is not to be asked just now: it will be.
            None if access.nobody_is_there() && do_without() => return Ok(None),
            None if now >= until => {
                return Err(access.no_host(limit, true));
            }
            None => {}
        }
        held.get_or_insert_with(|| Held::begin(access.offer(), now));
        hold(access.change(), until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_to_the_same_question_counts_for_a_while_and_there_are_only_so_many() {
        let answers = Answers::default();
        let now = clock::now();
        let secret = |text| Secret::parse(text);
        let ask = Ask { as_user: "a".to_owned(), dbname: "app".to_owned(), sql: "q".to_owned() };
        let other = Ask { sql: "another".to_owned(), ..ask.clone() };
        answers.note(&ask, "ann", Some(&secret("one")), now);
        answers.note(&ask, "ann", Some(&secret("two")), now);
        assert_eq!(answers.last(&ask, "ann", now), Some(secret("two")));
        assert_eq!(answers.last(&other, "ann", now), None);
        assert_eq!(answers.last(&ask, "ann", now + HOLDS), None);
        answers.note(&ask, "ann", None, now);
        assert_eq!(answers.last(&ask, "ann", now), None);
        for number in 0..=MOST {
            answers.note(&ask, &number.to_string(), Some(&secret("x")), now);
        }
        let count = || answers.0.len();
        assert_eq!((count(), answers.last(&ask, &MOST.to_string(), now)), (MOST, None));
        answers.note(&ask, "0", Some(&secret("y")), now + HOLDS / 2);
        assert_eq!(answers.last(&ask, "0", now + HOLDS / 2), Some(secret("y")));
        answers.note(&ask, "new", Some(&secret("z")), now + HOLDS);
        assert_eq!(count(), 2, "the old ones have made room");
    }
}
