//! Logging in at a server: startup, authentication, and all it says until it is ready.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse};
use pgweir_codec::error::DecodeError;
use tokio::io::AsyncWriteExt;

use super::connection::{Connection, Identity, ServerInfo};
use super::dial::{self, Tls, Wanted};
use super::query::{self, Incoming};
use crate::auth::credentials::Credentials;
use crate::auth::server::{ServerLogin, ServerLoginError, ServerStep};
use crate::config::HostAddr;
use crate::net::options::TcpOptions;
use crate::net::reactor::Reactor;
use crate::net::stream::{Socket, Stream};
use crate::net::{clock, tls};
use crate::session::ServerState;
use crate::session::parameters::Tracked;
use crate::session::queries::Named;

/// Where to log in, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host.
    pub host: HostAddr,
    /// The database's name on the server.
    pub dbname: String,
    /// The role.
    pub user: String,
    /// What proves it.
    pub credentials: Credentials,
    /// Further startup parameters.
    pub parameters: Vec<(String, String)>,
    /// TLS towards servers.
    pub tls: Tls,
    /// How its socket is to be.
    pub tcp: TcpOptions,
    /// Limit for all of it (`server_connect_timeout`).
    pub timeout: Duration,
    /// The settings to keep an eye on.
    pub tracked: Arc<Tracked>,
    /// Setting `max_prepared_statements`.
    pub max_prepared_statements: u32,
    /// Statements to run once logged in (`connect_query`).
    pub connect_query: Option<String>,
}

impl Target {
    /// For a connection that only asks, such as one to a console: nothing but what it takes to log in.
    pub fn plain(host: HostAddr, dbname: String, user: String, credentials: Credentials) -> Self {
        Self {
            host,
            dbname,
            user,
            credentials,
            parameters: Vec::new(),
            tls: Tls { wanted: Wanted::Never, config: None },
            tcp: TcpOptions::default(),
            timeout: Duration::from_secs(15), // server_connect_timeout's default
            tracked: Tracked::new(&[]),
            max_prepared_statements: 0,
            connect_query: None,
        }
    }
}

/// What a server reports at login, to be told to clients: all ParameterStatus in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Names and values.
    pub parameters: Vec<(Bytes, Bytes)>,
}

impl Welcome {
    /// The value of a setting, whatever the name's case.
    pub fn value(&self, name: &[u8]) -> Option<&Bytes> {
        let mut all = self.parameters.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Why a server connection could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// No socket, or it broke.
    Unreachable {
        /// Where.
        host: HostAddr,
        /// Why.
        source: io::Error,
    },
    /// Its name has no address.
    Unresolved {
        /// Where.
        host: HostAddr,
        /// Why.
        source: io::Error,
    },
    /// Nothing, or not enough, came within the limit.
    TimedOut {
        /// Where.
        host: HostAddr,
        /// The limit.
        after: Duration,
        /// Whether there was a socket, and only the login took too long.
        reached: bool,
    },
    /// The server refused, in its own words.
    Refused {
        /// Where.
        host: HostAddr,
        /// Its ErrorResponse.
        response: Box<ErrorResponse>,
    },
    /// Authentication cannot succeed from our side.
    Login {
        /// Where.
        host: HostAddr,
        /// As whom.
        user: String,
        /// Why.
        source: ServerLoginError,
    },
    /// It does not speak the protocol.
    Protocol {
        /// Where.
        host: HostAddr,
        /// What does not fit.
        what: String,
    },
}

impl OpenError {
    /// Where the attempt was made.
    pub fn host(&self) -> &HostAddr {
        match self {
            Self::Unreachable { host, .. }
            | Self::Unresolved { host, .. }
            | Self::TimedOut { host, .. }
            | Self::Refused { host, .. }
            | Self::Login { host, .. }
            | Self::Protocol { host, .. } => host,
        }
    }

    /// Whether the host as such is in doubt, rather than this login.
    pub fn doubts_host(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unresolved { .. } | Self::TimedOut { .. } => true,
            Self::Refused { response, .. } => response.code().as_str().starts_with("57P"),
            Self::Login { .. } | Self::Protocol { .. } => false,
        }
    }

    /// Whether the TLS handshake failed; rustls and its companions say so by this kind.
    pub fn is_of_tls(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.kind() == io::ErrorKind::InvalidData,
            _ => false,
        }
    }

    /// What an operator may do about it, in the server's configuration or in ours; `None`: its own words say it.
    pub fn advice(&self, user: &str, dbname: &str) -> Option<String> {
        let Self::Refused { response, .. } = self else { return None };
        Some(match response.code().as_str() {
            "28P01" => format!(
                "put the password that the server has into auth_file (or password= of the entry), or change the \
                 server's: ALTER ROLE {user} PASSWORD …; is there a role {user} at all?"
            ),
            "28000" => format!(
                "is there a role {user} that may log in? Else add to the server's pg_hba.conf: \
                 host {dbname} {user} ADDRESS-OF-PGWEIR/32 scram-sha-256"
            ),
            "3D000" => {
                format!("CREATE DATABASE {dbname}, or name the right one with dbname= in the entry")
            }
            "42501" => format!("GRANT CONNECT ON DATABASE {dbname} TO {user}"),
            "53300" => "raise max_connections there, or make the pools smaller".to_owned(),
            _ => return None,
        })
    }

    /// What a client may know: names no host.
    pub fn client_message(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { reached: false, .. } => {
                "connect failed".to_owned()
            }
            Self::Unresolved { .. } => "server DNS lookup failed".to_owned(),
            Self::TimedOut { reached: true, .. } => "connect timeout".to_owned(),
            Self::Refused { response, .. } => response.message(),
            Self::Login { .. } => "server login failed: wrong password type".to_owned(),
            Self::Protocol { .. } => "server sent a message that makes no sense".to_owned(),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { host, source } => {
                write!(f, "cannot reach {host}: {source}; check host= and port= in [databases]")
            }
            Self::Unresolved { host, source } => {
                write!(f, "cannot find {host}: {source}; check host= in [databases]")
            }
            Self::TimedOut { host, after, .. } => {
                write!(f, "{host} did not let us in within {after:?} (server_connect_timeout)")
            }
            Self::Refused { host, response } => {
                write!(
                    f,
                    "{host} refused the login: {} ({})",
                    response.message(),
                    response.code().as_str()
                )
            }
            Self::Login { host, user, source } => {
                write!(f, "cannot log in at {host} as {user:?}: {source}")
            }
            Self::Protocol { host, what } => {
                write!(f, "{host} does not speak PostgreSQL's protocol: {what}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What went wrong, before the host's name is put to it.
enum Failure {
    Io(io::Error),
    Unresolved(io::Error),
    Refused(ErrorResponse),
    Login(ServerLoginError),
    Protocol(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // A reader of whole messages reports broken ones this way.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<DecodeError>()) {
            Some(broken) => Self::Protocol(broken.to_string()),
            None => Self::Io(error),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// What a connection that never is in a pool has for a number.
pub const UNNUMBERED: u64 = 0;

/// Opens a connection that is ready for queries. `id` is its number, or [`UNNUMBERED`]; `on_reach` sees its socket before
/// anything is sent.
///
/// # Errors
/// See [`OpenError`]; the half-open connection is closed.
pub async fn open(
    target: &Target,
    id: u64,
    mut on_reach: impl FnMut(&Socket) + Send,
) -> Result<(Connection, Welcome), OpenError> {
    let host = || target.host.clone();
    let mut reached = false;
    let attempt = Box::pin(attempt(target, id, |socket| {
        reached = true;
        on_reach(socket);
    }));
    let opened = tokio::time::timeout(target.timeout, attempt).await;
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(Failure::Io(source))) => Err(OpenError::Unreachable { host: host(), source }),
        Ok(Err(Failure::Refused(response))) => {
            Err(OpenError::Refused { host: host(), response: Box::new(response) })
        }
        Ok(Err(Failure::Login(source))) => {
            Err(OpenError::Login { host: host(), user: target.user.clone(), source })
        }
        Ok(Err(Failure::Protocol(what))) => Err(OpenError::Protocol { host: host(), what }),
        Ok(Err(Failure::Unresolved(source))) => Err(OpenError::Unresolved { host: host(), source }),
        Err(_) => Err(OpenError::TimedOut { host: host(), after: target.timeout, reached }),
    }
}

async fn attempt(
    target: &Target,
    id: u64,
    on_reach: impl FnOnce(&Socket) + Send,
) -> Result<(Connection, Welcome), Failure> {
    let socket = dial::reach(&target.host, target.tcp).await.map_err(|error| match error {
        dial::NoSocket::Unresolved(error) => Failure::Unresolved(error),
        dial::NoSocket::Unreachable(error) => Failure::Io(error),
    })?;
    on_reach(&socket);
    let mut stream = dial::encrypt(socket, &target.host, &target.tls).await?;
    let mut inbox = BytesMut::new();
    stream.write_all(&startup(target)).await?;
    stream.flush().await?;
    authenticate(target, &mut stream, &mut inbox).await?;

    let mut state = ServerState::new(target.tracked.clone(), target.max_prepared_statements);
    state.host = Named::new(&target.host.to_string());
    let mut welcome = Welcome::default();
    let (mut pid, mut key) = (0, Bytes::new());
    loop {
        let Incoming { tag, body } = query::read(&mut stream, &mut inbox).await?;
        match tag {
            backend::ReadyForQuery::TAG => break,
            backend::ParameterStatus::TAG => {
                let backend::ParameterStatus { name, value } =
                    backend::ParameterStatus::decode(body)?;
                state.note(&name, &value);
                welcome.parameters.push((name, value));
            }
            backend::BackendKeyData::TAG => {
                let data = backend::BackendKeyData::decode(body)?;
                (pid, key) = (data.pid, data.key);
            }
            ErrorResponse::TAG => return Err(Failure::Refused(ErrorResponse::decode(body)?)),
            backend::NoticeResponse::TAG | backend::NegotiateProtocolVersion::TAG => {}
            tag => {
                return Err(Failure::Protocol(format!(
                    "message type 0x{tag:02x} after authentication"
                )));
            }
        }
    }
    state.parameters.share();
    state.logged_in();
    let socket = stream.socket();
    let identity = Identity {
        id,
        host: target.host.clone(),
        remote: socket.peer_addr(),
        local: socket.local_addr(),
        pid,
        key,
        tls: stream.tls_description(),
        opened: clock::now(),
        opened_wall: clock::wall(),
    };
    let info = Arc::new(ServerInfo::new(identity));
    let mut connection =
        Connection { stream, state, info, home: Reactor::here(), heard: Vec::new() };
    if let Some(sql) = &target.connect_query {
        match query::simple(&mut connection, sql).await {
            Ok(_) => {}
            // As pgbouncer: that is for the operator to read, not for the client to suffer.
            Err(query::QueryError::Refused(response)) if !response.is_fatal() => {
                let (id, text) = (connection.info.id, response.message());
                tracing::warn!("S-{id:#x} at {}: connect_query failed: {text}", target.host);
            }
            Err(query::QueryError::Refused(response)) => return Err(Failure::Refused(*response)),
            Err(query::QueryError::Io(error)) => return Err(Failure::Io(error)),
            Err(query::QueryError::Protocol(what)) => return Err(Failure::Protocol(what)),
        }
    }
    Ok((connection, welcome))
}

/// The StartupMessage, protocol 3.0.
fn startup(target: &Target) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    let fixed = [("user", target.user.as_str()), ("database", target.dbname.as_str())];
    let further = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters = fixed
        .into_iter()
        .chain(further)
        .map(|(name, value)| {
            (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
        })
        .collect();
    pgweir_codec::startup::StartupMessage { major: 3, minor: 0, parameters }.encode(&mut out);
    out
}

async fn authenticate(
    target: &Target,
    stream: &mut Stream,
    inbox: &mut BytesMut,
) -> Result<(), Failure> {
    let mut login = ServerLogin::new(&target.user, target.credentials.clone());
    let binding = channel_binding(stream);
    loop {
        let Incoming { tag, body } = query::read(stream, inbox).await?;
        match tag {
            backend::Authentication::TAG => {
                let answer = match login.request(&body, binding.clone()).map_err(Failure::Login)? {
                    ServerStep::Done => return Ok(()),
                    ServerStep::Wait => continue,
                    ServerStep::Send(answer) => answer,
                    ServerStep::Derive(derivation) => {
                        // Not here, where others wait for their messages.
                        let work = tokio::task::spawn_blocking(move || {
                            let keys = derivation.run();
                            (derivation, keys)
                        });
                        let (derivation, keys) = work.await.map_err(io::Error::other)?;
                        login.derived(derivation, keys).map_err(Failure::Login)?
                    }
                };
                let mut out = BytesMut::with_capacity(answer.len() + 5);
                pgweir_codec::frontend::PasswordMessage { data: answer }.encode(&mut out);
                stream.write_all(&out).await?;
                stream.flush().await?;
            }
            ErrorResponse::TAG => return Err(Failure::Refused(ErrorResponse::decode(body)?)),
            backend::NoticeResponse::TAG | backend::NegotiateProtocolVersion::TAG => {}
            tag => {
                return Err(Failure::Protocol(format!(
                    "message type 0x{tag:02x} during authentication"
                )));
            }
        }
    }
}

/// The hash of the server's certificate (RFC 5929, tls-server-end-point).
fn channel_binding(stream: &Stream) -> Option<Vec<u8>> {
    tls::server_end_point(stream.peer_certificate()?)
}
