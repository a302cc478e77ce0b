//! Logging a client in: from the first byte to ReadyForQuery.
//!
//! Each step takes the connection and gives it to the next, so a packet out of order has nowhere to go: at most one
//! SSLRequest and one GSSENCRequest, then a startup packet, then the authentication exchange, then the welcome. Until
//! a client has proven who it is, what it may make us keep is bounded by the limits below.
//!
//! - `startup` — encryption, up to the startup packet
//! - `request` — what it asks for
//! - `authenticate` — is it really it?
//! - `ask` — a server is asked for its secret
//! - `outside` — where a directory or the system has to say so
//! - `admit` — the welcome
//! - `console`, `talk` — clients of the console: who may, and the questions and answers
//! - `packets`, `end` — what a guest sends; how a login ends without a client

mod admit;
mod ask;
mod authenticate;
mod console;
mod end;
mod outside;
mod packets;
mod request;
mod startup;
mod talk;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use bytes::BytesMut;
use pgweir_codec::sqlstate::SqlState;
use tokio::io::AsyncWriteExt;

pub(crate) use self::ask::Answers;
use self::end::{End, fatal, refused};
use self::request::Request;
use super::client::far_end;
use super::console::{self as console_trait, Right};
use super::seats::{Limits, Seat, Seats, Taken};
use super::service::{Service, forced_credentials};
use super::shared::{Live, Seated, Shared};
use super::thread::Client;
use super::visitors::{Visiting, Visitor};
use crate::auth::client::Proven;
use crate::auth::credentials::Credentials;
use crate::auth::secret::Secret;
use crate::config::Database;
use crate::metrics::LoginResult;
use crate::net::stream::{Socket, Stream};
use crate::net::{clock, id};
use crate::pool::holder::Holder;

/// A connection that was just accepted.
#[derive(Debug)]
pub struct Arrival {
    /// The socket.
    pub socket: Socket,
    /// Where it comes from; `None`: through a Unix-domain socket.
    pub peer: Option<SocketAddr>,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same for people.
    pub accepted_wall: SystemTime,
}

/// A client on its way in.
struct Guest<'a> {
    shared: &'a Arc<Shared>,
    live: Arc<Live>,
    stream: Stream,
    peer: Option<SocketAddr>,
    inbox: BytesMut,
    /// What goes out with the next that is sent.
    outbox: BytesMut,
    /// What its SCRAM login may be bound to: the hash of the certificate that it was shown.
    end_point: Option<Arc<[u8]>>,
    holder: Arc<Holder>,
    accepted: Instant,
    accepted_wall: SystemTime,
    /// How it stands in the log: `(nodb)/(nouser)` at first.
    label: String,
    /// How others see it.
    visiting: Visiting,
}

/// Logs a client in, or serves and ends whatever else it was. `None` when nothing is left to do.
pub(super) async fn welcome(shared: Arc<Shared>, arrival: Arrival) -> Option<Box<Client>> {
    let Arrival { socket, peer, accepted, accepted_wall } = arrival;
    let holder = Arc::new(Holder::new(id::next()));
    let live = shared.live();
    let peer_pid = socket.peer_pid();
    let local = socket.local_addr();
    let visitor = Visitor::new(holder.id, peer, local, peer_pid, (accepted, accepted_wall));
    let visiting = shared.visitors.enter(visitor);
    let mut guest = Guest {
        shared: &shared,
        live,
        stream: Stream::Plain(socket),
        peer,
        inbox: BytesMut::new(),
        outbox: BytesMut::new(),
        end_point: None,
        holder,
        accepted,
        accepted_wall,
        label: String::new(),
        visiting,
    };
    guest.name("(nodb)", "(nouser)");
    let timeout = guest.live.config.settings.client_login_timeout;
    let visitor = guest.visiting.clone();
    let startup = guest.startup(timeout.map(|timeout| accepted + timeout));
    let end = tokio::select! {
        welcomed = startup => match welcomed {
            Ok(welcomed) => return Some(welcomed),
            Err(end) => end,
        },
        () = visitor.killed() => refused(SqlState::ADMIN_SHUTDOWN, "admin forced disconnect"),
    };
    guest.part(end).await;
    None
}

/// WARNING `pooler error: …`, if `log_pooler_errors` asks for it.
pub(super) fn log_error(shared: &Shared, label: &str, text: &str) {
    if shared.live().config.settings.log_pooler_errors {
        tracing::warn!(of = %label, "pooler error: {text}");
    }
}

impl Guest<'_> {
    fn name(&mut self, database: &str, user: &str) {
        let id = self.holder.id;
        let far_end = far_end(self.peer, self.visiting.peer_pid);
        self.label = format!("C-{id:#x}: {database}/{user}@{far_end}");
    }

    fn log_closing(&self, reason: &str) {
        if self.live.config.settings.log_disconnections {
            let age = clock::now().saturating_duration_since(self.accepted).as_secs();
            tracing::info!(of = %self.label, "closing because: {reason} (age={age}s)");
        }
    }

    /// Tells the client what there is to tell, logs and counts it.
    async fn part(mut self, end: End) {
        let process = self.shared.metrics.process();
        let (response, reason) = match end {
            End::Done => return,
            End::Over(reason) => {
                self.log_closing(reason);
                return;
            }
            End::Left => {
                process.login(LoginResult::Abandoned);
                return;
            }
            End::Closed(reason) => {
                process.login(LoginResult::Refused);
                log_error(self.shared, &self.label, &reason);
                return;
            }
            End::Refused(response) => {
                process.login(LoginResult::Refused);
                let reason = response.message();
                (response, reason)
            }
            End::Denied(response, failure, reason) => {
                process.login_denied(failure);
                tracing::info!(of = %self.label, "{reason}");
                let reason = response.message();
                (response, reason)
            }
        };
        log_error(self.shared, &self.label, &reason);
        self.log_closing(&reason);
        response.encode(&mut self.outbox);
        let farewell = async {
            self.send(&[]).await?;
            self.stream.shutdown().await.map_err(End::from)
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    async fn startup(&mut self, deadline: Option<Instant>) -> Result<Box<Client>, End> {
        let proven = {
            let prove = Box::pin(self.prove());
            within(deadline, prove, || refused(SqlState::ADMIN_SHUTDOWN, "client_login_timeout"))
                .await?
        };
        match proven {
            Proof::Console { right, application_name, minor, _seat } => {
                self.serve_console(right, application_name, minor).await?;
                Err(End::Done)
            }
            Proof::Client { request, service, place } => {
                let admit = Box::pin(self.admit(request, &service, place));
                within(deadline, admit, || {
                    refused(SqlState::CANNOT_CONNECT_NOW, "client_login_timeout (server down)")
                })
                .await
            }
        }
    }

    /// Who is it, may it in, and is it really it?
    async fn prove(&mut self) -> Result<Proof, End> {
        let message = self.startup_message().await?;
        let request = self.read_request(&message)?;
        self.name(&request.database, &request.user);
        self.visiting.note(|visit| {
            visit.user.clone_from(&request.user);
            visit.database.clone_from(&request.database);
        });
        if console_trait::NAMES.contains(&request.database.as_str()) {
            return self.prove_console(request, &message).await;
        }
        let place = self.shared.take_place().ok_or_else(|| {
            let text = "no more connections allowed (max_client_conn)";
            End::Refused(Box::new(fatal(SqlState::TOO_MANY_CONNECTIONS, text).hint("Retry later.")))
        })?;
        self.negotiate(&message).await?;
        self.log_attempt(&request);
        self.demand_tls()?;
        let database = self.live.config.database(&request.database);
        let place = place.sit(self.take_seat(&request, database.as_deref())?);
        let (secret, proven) = self.authenticate(&request, database.as_deref()).await?;
        self.catch_up(&request.user)?;
        let database = self.live.config.database(&request.database);
        // Only now: names of databases are not to be found out by trying.
        let database = database.ok_or_else(|| {
            refused(
                SqlState::INVALID_CATALOG_NAME,
                &format!("no such database: {}", request.database),
            )
        })?;
        if self.shared.disabled.contains_key(&database.name) {
            let text = format!("database \"{}\" is disabled", database.name);
            return Err(refused(SqlState::CANNOT_CONNECT_NOW, &text));
        }
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(refused(SqlState::CANNOT_CONNECT_NOW, "pooler is shutting down"));
        }
        let service = self.service(&database, &request.user, secret.as_ref(), &proven);
        Ok(Proof::Client { request, service, place })
    }

    /// A RELOAD may have come by since the client was accepted: what it is given from here on goes by the configuration
    /// now in force, and by the secret now in force it may have to prove itself again.
    fn catch_up(&mut self, user: &str) -> Result<(), End> {
        let now = self.shared.live();
        if Arc::ptr_eq(&now, &self.live) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.live, now);
        let listed = |live: &Live| live.config.userlist.users.get(user).cloned();
        if listed(&before) == listed(&self.live) {
            return Ok(());
        }
        let text = "the configuration has changed during the login";
        let response = fatal(SqlState::CANNOT_CONNECT_NOW, text).hint("Try again.");
        Err(End::Refused(Box::new(response)))
    }

    /// A place that is counted but not limited: limits must not lock those out who can raise them.
    fn sit_regardless(&self, request: &Request) -> Option<Seat> {
        let limits = Limits::default();
        Seats::take(&self.shared.seats, &request.database, &request.user, limits).ok()
    }

    /// One of the places that the client's database and its user have.
    fn take_seat(&self, request: &Request, database: Option<&Database>) -> Result<Seat, End> {
        let config = &self.live.config;
        let limits = Limits {
            database: match database {
                Some(database) => config.max_db_client_connections(database),
                None => config.settings.max_db_client_connections,
            },
            user: config.max_user_client_connections(&request.user),
        };
        Seats::take(&self.shared.seats, &request.database, &request.user, limits).map_err(|taken| {
            let setting = match taken {
                Taken::Database => "max_db_client_connections",
                Taken::User => "max_user_client_connections",
            };
            let text = format!("client connections exceeded ({setting})");
            let response = fatal(SqlState::TOO_MANY_CONNECTIONS, &text);
            End::Refused(Box::new(response.hint("Retry later.")))
        })
    }

    fn service(
        &self,
        database: &Arc<Database>,
        user: &str,
        secret: Option<&Secret>,
        proven: &Proven,
    ) -> Arc<Service> {
        let (user, credentials) = match &database.user {
            Some(forced) => {
                let config = &self.live.config;
                (forced.as_str(), forced_credentials(config, database, forced))
            }
            None => (user, Credentials::from_login(secret, proven)),
        };
        self.shared.service(&self.live, database, user, credentials)
    }
}

/// What a guest turned out to be.
enum Proof {
    Console { right: Right, application_name: String, minor: u16, _seat: Option<Seat> },
    Client { request: Request, service: Arc<Service>, place: Seated },
}

/// How long a refused client may take to read why.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

async fn within<T>(
    deadline: Option<Instant>,
    step: impl Future<Output = Result<T, End>>,
    late: impl FnOnce() -> End,
) -> Result<T, End> {
    match deadline {
        None => step.await,
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), step).await.unwrap_or_else(|_| Err(late()))
        }
    }
}
