//! The connection to a console: asks again and again, and comes back when it was away.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::model::look::{Look, Show};
use super::model::table::Table;
use crate::auth::server::ServerLoginError;
use crate::server::Connection;
use crate::server::login::{self, OpenError, Target, UNNUMBERED};
use crate::server::query::{self, QueryError};

/// Longest for a login, and for the answers of one look. A pooler that is stopped still acknowledges what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to come back.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where a login is refused: each attempt is a line in somebody's log.
const REFUSED: Duration = Duration::from_secs(10);

/// What the one who looks wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Between two looks.
    pub(super) interval: Duration,
    /// SHOW CLIENTS as well.
    pub(super) clients: bool,
    /// SHOW SERVERS as well.
    pub(super) servers: bool,
    /// Nothing, until further notice.
    pub(super) frozen: bool,
}

impl Wants {
    fn asks(&self, show: Show) -> bool {
        match show {
            Show::Clients => self.clients,
            Show::Servers => self.servers,
            _ => true,
        }
    }
}

/// What there is to tell.
#[derive(Debug)]
pub(super) enum News {
    /// The console has answered.
    Look(Look),
    /// It does not.
    Lost(String),
}

/// Looks as it is wanted, until nobody listens any more.
pub(super) async fn watch(
    first: Console,
    target: Target,
    mut wants: watch::Receiver<Wants>,
    news: mpsc::Sender<News>,
) {
    let mut console = Some(first);
    loop {
        let (why, again) = match console.take() {
            Some(mut console) => match console.look_on(&mut wants, &news).await {
                None => return console.close(),
                Some(why) => (why, AGAIN),
            },
            None => match Console::open(&target).await {
                Ok(opened) => {
                    console = Some(opened);
                    continue;
                }
                Err(error) if error.doubts_host() => (sentence(&error, &target.user), AGAIN),
                Err(error) => (sentence(&error, &target.user), REFUSED),
            },
        };
        if news.send(News::Lost(why)).await.is_err() {
            return;
        }
        sleep(again).await;
    }
}

/// A console that we are logged in to.
pub(super) struct Console {
    connection: Connection,
    /// What it does not know: asked once, since it writes each refusal to its log.
    unknown: BTreeSet<Show>,
}

impl Console {
    /// Logs in.
    ///
    /// # Errors
    /// Why not; [`sentence`] has the words.
    pub(super) async fn open(target: &Target) -> Result<Self, OpenError> {
        let target = Target { timeout: PATIENCE, ..target.clone() };
        let (connection, _) = login::open(&target, UNNUMBERED, |_| {}).await?;
        Ok(Self { connection, unknown: BTreeSet::new() })
    }

    /// Asks for everything that is wanted.
    ///
    /// # Errors
    /// The connection is of no use any more: why, in a sentence.
    pub(super) async fn look(&mut self, wants: &Wants) -> Result<Look, String> {
        match timeout(PATIENCE, self.ask(wants)).await {
            Ok(Ok(look)) => Ok(look),
            Ok(Err(error)) => Err(format!("the connection broke: {error}")),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn ask(&mut self, wants: &Wants) -> Result<Look, QueryError> {
        let mut look = Look::default();
        for show in Show::ALWAYS.into_iter().chain(Show::ONE_BY_ONE) {
            if !wants.asks(show) || self.unknown.contains(&show) {
                continue;
            }
            match query::named(&mut self.connection, show.sql()).await {
                Ok(answer) => look.put(show, Table::new(answer.columns, answer.rows)),
                Err(QueryError::Refused(response)) if !response.is_fatal() => {
                    self.unknown.insert(show);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(look)
    }

    /// Looks until the connection breaks (why), or nobody listens any more (`None`).
    async fn look_on(
        &mut self,
        wants: &mut watch::Receiver<Wants>,
        news: &mpsc::Sender<News>,
    ) -> Option<String> {
        loop {
            let now = *wants.borrow_and_update();
            if !now.frozen {
                match self.look(&now).await {
                    Ok(look) => news.send(News::Look(look)).await.ok()?,
                    Err(why) => return Some(why),
                }
            }
            // A look ahead of time only for what could not be seen before.
            let more = |wants: &Wants| {
                wants.interval != now.interval
                    || wants.frozen != now.frozen
                    || (wants.clients && !now.clients)
                    || (wants.servers && !now.servers)
            };
            tokio::select! {
                () = sleep(now.interval), if !now.frozen => {}
                changed = wants.wait_for(more) => drop(changed.ok()?),
            }
        }
    }

    /// Takes leave.
    pub(super) fn close(self) {
        self.connection.close();
    }
}

/// The reason in the words of somebody who wants to look, not of a pooler.
pub(super) fn sentence(error: &OpenError, user: &str) -> String {
    let host = error.host();
    match error {
        OpenError::Unreachable { source, .. } => format!("cannot reach {host}: {source}"),
        OpenError::Unresolved { source, .. } => format!("cannot find {host}: {source}"),
        OpenError::TimedOut { after, .. } => {
            format!("{host} did not let us in within {} s", after.as_secs())
        }
        OpenError::Refused { response, .. } => {
            format!("{host} refused {user}: {}", response.message())
        }
        OpenError::Login {
            source: ServerLoginError::CannotAnswer { have: "no password", .. },
            ..
        } => {
            format!(
                "{host} wants a password for {user}: set PGPASSWORD, or add a line to ~/.pgpass"
            )
        }
        OpenError::Login { source, .. } => format!("cannot log in at {host} as {user}: {source}"),
        OpenError::Protocol { what, .. } => format!("{host} is no console: {what}"),
    }
}
