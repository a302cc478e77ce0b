//! auth_query: asking a server for a user's secret.
//!
//! It is a read, so while an entry has no primary a replica is asked. While none of its hosts is there the last answer counts:
//! nothing can be done with it before one of them is back, and clients of an application that connects anew during a failover
//! are held as those are that were there before.

use std::time::Duration;

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

/// Tries, each with another server: one may be lost while it is asked.
const TRIES: usize = 3;

/// What auth_query answered last, by the database that was asked and the user.
#[derive(Debug, Default)]
pub(crate) struct Answers(DashMap<(String, String), Secret>);

impl Answers {
    /// Takes an answer in; `None`: there is no such user.
    fn note(&self, dbname: &str, user: &str, secret: Option<&Secret>) {
        let key = (dbname.to_owned(), user.to_owned());
        match secret {
            Some(secret) if self.0.len() < MOST || self.0.contains_key(&key) => {
                self.0.insert(key, secret.clone());
            }
            Some(_) => {}
            None => drop(self.0.remove(&key)),
        }
    }

    fn last(&self, dbname: &str, user: &str) -> Option<Secret> {
        self.0.get(&(dbname.to_owned(), user.to_owned())).map(|secret| secret.clone())
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
            let last = || answers.last(&ask.dbname, user);
            let mut lease = match attach(&mut access, limit, || last().is_some()).await {
                Ok(Some(lease)) => lease,
                Ok(None) => {
                    tracing::warn!(
                        of = %self.label,
                        "auth_query: no host of database {} is there; its last answer for this user counts",
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
                // The monitor looks at its host; who is chosen next may be another one.
                Err(QueryError::Io(_)) if tries < TRIES => {
                    let host = lease.connection().info.host.clone();
                    lease.pool().doubt(&host);
                    lease.close("auth_query was not answered");
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
        self.shared.answers.note(&ask.dbname, user, secret.as_ref());
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
    connection.bring_here().map_err(QueryError::Io)?;
    // Whoever had this server before: his settings must not decide what the query finds (CVE-2025-12819).
    startups::clean_of_all(connection).await?;
    query::with_parameter(connection, &ask.sql, user).await
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
            None if do_without() => return Ok(None),
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
    fn the_last_answer_counts_and_there_are_only_so_many() {
        let answers = Answers::default();
        let secret = |text| Secret::parse(text);
        answers.note("app", "ann", Some(&secret("one")));
        answers.note("app", "ann", Some(&secret("two")));
        assert_eq!(answers.last("app", "ann"), Some(secret("two")));
        assert_eq!(answers.last("other", "ann"), None);
        answers.note("app", "ann", None);
        assert_eq!(answers.last("app", "ann"), None);
        for number in 0..=MOST {
            answers.note("app", &number.to_string(), Some(&secret("x")));
        }
        assert_eq!((answers.0.len(), answers.last("app", &MOST.to_string())), (MOST, None));
        answers.note("app", "0", Some(&secret("y")));
        assert_eq!(answers.last("app", "0"), Some(secret("y")));
    }
}
