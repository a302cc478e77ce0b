//! Logging a client in: from the first byte to ReadyForQuery.
//!
//! Each step takes the connection and gives it to the next, so a packet out of order has nowhere to go: at most one
//! SSLRequest and one GSSENCRequest, then a startup packet, then the authentication exchange, then the welcome. Until
//! a client has proven who it is, what it may make us keep is bounded by the limits below.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use pgweir_codec::backend::{self, Authentication, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{self, CancelRequest, StartupMessage, StartupPacket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cancel;
use super::client::{CancelKey, ClientInfo, Identity};
use super::console::{self, Right};
use super::relay::Relay;
use super::service::{Access, Service, forced_credentials};
use super::shared::{Live, Place, Registered, Shared};
use crate::auth::client::{AuthError, ClientLogin, ClientStep, Proven};
use crate::auth::lookup::{Ask, Lookup, lookup, read_rows};
use crate::auth::random::Draws;
use crate::auth::secret::Secret;
use crate::auth::server::Credentials;
use crate::config::{AuthType, Database, SslMode, TargetSessionAttrs};
use crate::metrics::{AuthFailure, LoginResult};
use crate::net::stream::{Socket, Stream};
use crate::net::{clock, id};
use crate::pool::AttachError;
use crate::pool::holder::Holder;
use crate::server::{Welcome, query};
use crate::session::Session;
use crate::session::parameters::Parameters;

/// Longest message of an authentication exchange, bytes: PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH.
const AUTH_LIMIT: usize = 65_535;
/// Longest user or database name, bytes: pgbouncer's MAX_USERNAME and MAX_DBNAME.
const NAME_LIMIT: usize = 128;

/// A connection that was just accepted; its socket is not registered with any reactor.
#[derive(Debug)]
pub struct Arrival {
    /// The socket.
    pub socket: Accepted,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same for people.
    pub accepted_wall: SystemTime,
}

/// Either kind of socket.
#[derive(Debug)]
pub enum Accepted {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix-domain socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    fn register(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => tokio::net::TcpStream::from_std(stream)?.into(),
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream)?.into(),
        })
    }
}

/// A client that is in.
pub(super) struct Welcomed {
    pub(super) relay: Relay,
    pub(super) registered: Registered,
    pub(super) place: Place,
}

/// Why a login ended without a client for the relay.
enum End {
    /// It left, or its socket broke.
    Left,
    /// It is told this and closed.
    Refused(Box<ErrorResponse>),
    /// It failed to prove who it is.
    Denied(Box<ErrorResponse>, AuthFailure, String),
    /// Nothing more to do: a cancel request, or a console session that is over.
    Done,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

fn fatal(code: SqlState, text: &str) -> ErrorResponse {
    ErrorResponse::new(Severity::Fatal, code, text)
}

fn refused(code: SqlState, text: &str) -> End {
    End::Refused(Box::new(fatal(code, text)))
}

fn refused_packet(error: DecodeError) -> End {
    let text = match (error.field, error.kind) {
        (_, Kind::ProtocolTwo) => "old V2 protocol not supported",
        ("terminator", _) => "invalid startup packet layout: expected terminator as last byte",
        _ => "bad packet",
    };
    End::Refused(Box::new(fatal(SqlState::PROTOCOL_VIOLATION, text).detail(&error.to_string())))
}

/// A client on its way in.
struct Guest<'a> {
    shared: &'a Arc<Shared>,
    live: Arc<Live>,
    stream: Stream,
    inbox: BytesMut,
    holder: Arc<Holder>,
    accepted: Instant,
    accepted_wall: SystemTime,
    /// How it stands in the log: `(nodb)/(nouser)` at first.
    label: String,
}

/// Logs a client in, or serves and ends whatever else it was. `None` when nothing is left to do.
pub(super) async fn welcome(shared: &Arc<Shared>, arrival: Arrival) -> Option<Welcomed> {
    let Arrival { socket, accepted, accepted_wall } = arrival;
    let stream = Stream::Plain(socket.register().ok()?);
    let holder = Arc::new(Holder::new(id::next()));
    let live = shared.live();
    let mut guest = Guest {
        shared,
        live,
        stream,
        inbox: BytesMut::new(),
        holder,
        accepted,
        accepted_wall,
        label: String::new(),
    };
    guest.name("(nodb)", "(nouser)");
    let timeout = guest.live.config.settings.client_login_timeout;
    let end = match guest.startup(timeout.map(|timeout| accepted + timeout)).await {
        Ok(welcomed) => return Some(welcomed),
        Err(end) => end,
    };
    guest.part(end).await;
    None
}

/// WARNING `pooler error: …`, if `log_pooler_errors` asks for it.
pub(super) fn log_error(shared: &Shared, label: &str, text: &str) {
    if shared.live().config.settings.log_pooler_errors {
        tracing::warn!("{label} pooler error: {text}");
    }
}

/// What a startup packet asks for.
struct Request {
    user: String,
    database: String,
    /// Tracked settings.
    settings: Vec<(Bytes, Bytes)>,
}

impl Guest<'_> {
    fn name(&mut self, database: &str, user: &str) {
        let peer = self
            .stream
            .socket()
            .peer_addr()
            .map_or_else(|| "unix".to_owned(), |address| address.to_string());
        self.label = format!("C-{:#x}: {database}/{user}@{peer}", self.holder.id);
    }

    /// Tells the client what there is to tell, logs and counts it.
    async fn part(mut self, end: End) {
        let process = self.shared.metrics.process();
        let (response, reason) = match end {
            End::Done => return,
            End::Left => {
                process.login(LoginResult::Abandoned);
                return;
            }
            End::Refused(response) => {
                process.login(LoginResult::Refused);
                let reason = response.message();
                (response, reason)
            }
            End::Denied(response, failure, reason) => {
                process.login(LoginResult::Denied);
                process.login_denied(failure);
                tracing::info!("{} {reason}", self.label);
                let reason = response.message();
                (response, reason)
            }
        };
        log_error(self.shared, &self.label, &reason);
        if self.live.config.settings.log_disconnections {
            let age = clock::now().saturating_duration_since(self.accepted).as_secs();
            tracing::info!("{} closing because: {reason} (age={age}s)", self.label);
        }
        let mut out = BytesMut::new();
        response.encode(&mut out);
        let farewell = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await?;
            self.stream.shutdown().await
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    async fn startup(&mut self, deadline: Option<Instant>) -> Result<Welcomed, End> {
        let proven = {
            let prove = Box::pin(self.prove());
            within(deadline, prove, || refused(SqlState::ADMIN_SHUTDOWN, "client_login_timeout"))
                .await?
        };
        match proven {
            Proof::Console { right, user } => {
                self.serve_console(right, &user).await?;
                Err(End::Done)
            }
            Proof::Client { request, database, service, place } => {
                let admit = Box::pin(self.admit(request, &database, &service, place));
                within(deadline, admit, || {
                    refused(SqlState::CANNOT_CONNECT_NOW, "client_login_timeout (server down)")
                })
                .await
            }
        }
    }

    // ---------------------------------------------------------------- packets

    async fn startup_packet(&mut self) -> Result<StartupPacket, End> {
        loop {
            let need = startup::peek_len(&self.inbox).map_err(refused_packet)?;
            if let Some(need) = need
                && self.inbox.len() >= need
            {
                let packet = self.inbox.split_to(need).freeze();
                return StartupPacket::decode(packet).map_err(refused_packet);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(End::Left);
            }
        }
    }

    async fn auth_message(&mut self) -> Result<Bytes, End> {
        loop {
            if let Some(head) = Head::peek(&self.inbox).map_err(refused_packet)? {
                if head.tag != frontend::PasswordMessage::TAG {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                if head.len > AUTH_LIMIT {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "password too long"));
                }
                if self.inbox.len() >= head.len {
                    let mut message = self.inbox.split_to(head.len);
                    message.advance(Head::SIZE);
                    return Ok(message.freeze());
                }
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(End::Left);
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    // ---------------------------------------------------------------- who is it?

    /// Up to the startup packet: encryption, and what is no client at all.
    async fn startup_message(&mut self) -> Result<StartupMessage, End> {
        let (mut tls_asked, mut gss_asked) = (false, false);
        loop {
            match self.startup_packet().await? {
                StartupPacket::Ssl if !tls_asked => {
                    tls_asked = true;
                    self.nothing_early("SSL")?;
                    let config =
                        self.live.client_tls.clone().filter(|_| !self.stream.socket().is_unix());
                    match config {
                        Some(config) => self.begin_tls(config).await?,
                        None => self.send(b"N").await?,
                    }
                }
                StartupPacket::GssEnc if !gss_asked => {
                    gss_asked = true;
                    self.nothing_early("GSSAPI encryption")?;
                    self.send(b"N").await?;
                }
                StartupPacket::Ssl | StartupPacket::GssEnc => {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                StartupPacket::Cancel(request) => {
                    self.cancel(request).await;
                    return Err(End::Done);
                }
                StartupPacket::Startup(message) => return Ok(message),
            }
        }
    }

    /// Bytes behind the request for encryption were sent in the clear: they must not be taken for part of the
    /// encrypted session (CVE-2021-3935).
    fn nothing_early(&self, what: &str) -> Result<(), End> {
        if self.inbox.is_empty() {
            return Ok(());
        }
        let text = format!("received unencrypted data after {what} request");
        Err(refused(SqlState::PROTOCOL_VIOLATION, &text))
    }

    async fn begin_tls(&mut self, config: Arc<rustls::ServerConfig>) -> Result<(), End> {
        self.send(b"S").await?;
        let nowhere = Stream::Plain(Socket::nowhere());
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, nowhere) else {
            return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
        };
        match tokio_rustls::TlsAcceptor::from(config).accept(socket).await {
            Ok(stream) => {
                self.stream = Stream::Tls(Box::new(stream.into()));
                Ok(())
            }
            Err(error) => {
                tracing::info!("{} TLS handshake failed: {error}", self.label);
                Err(End::Left)
            }
        }
    }

    async fn cancel(&mut self, request: CancelRequest) {
        let result = cancel::run(self.shared, &request).await;
        tracing::debug!("{} cancel request: {result:?}", self.label);
        self.shared.metrics.process().cancel(result);
        // The client waits for us to close.
        let _ = self.stream.shutdown().await;
    }

    /// Who is it, may it in, and is it really it?
    async fn prove(&mut self) -> Result<Proof, End> {
        let message = self.startup_message().await?;
        let request = self.read_request(&message)?;
        self.name(&request.database, &request.user);
        if console::NAMES.contains(&request.database.as_str()) {
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
        let (secret, proven) = self.authenticate(&request.user, database.as_deref()).await?;
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
        Ok(Proof::Client { request, database, service, place })
    }

    fn service(
        &self,
        database: &Arc<Database>,
        user: &str,
        secret: Option<&Secret>,
        proven: &Proven,
    ) -> Arc<Service> {
        let Live { config, server_tls, .. } = &*self.live;
        let (user, credentials) = match &database.user {
            Some(forced) => (forced.as_str(), forced_credentials(config, database, forced)),
            None => (user, Credentials::from_login(secret, proven)),
        };
        let service = self.shared.services.find(config, server_tls, database, user, credentials);
        if self.shared.is_paused(&database.name) {
            service.offer().pools.iter().for_each(|pool| pool.pause());
            // A RESUME in this very moment may have come by before the pause did.
            if !self.shared.is_paused(&database.name) {
                service.offer().pools.iter().for_each(|pool| pool.resume());
            }
        }
        service
    }

    fn demand_tls(&self) -> Result<(), End> {
        let mode = self.live.config.settings.client_tls.mode;
        let wanted = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        let plain = matches!(self.stream, Stream::Plain(_)) && !self.stream.socket().is_unix();
        if wanted && plain {
            return Err(refused(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "SSL required"));
        }
        Ok(())
    }

    fn log_attempt(&self, request: &Request) {
        if self.live.config.settings.log_connections {
            let tls = self.stream.tls_description();
            let tls = if tls.is_empty() { "no" } else { &tls };
            let Request { database, user, .. } = request;
            tracing::info!(
                "{} login attempt: db={database} user={user} tls={tls} replication=no",
                self.label
            );
        }
    }

    fn read_request(&self, message: &StartupMessage) -> Result<Request, End> {
        let (mut user, mut database, mut settings) = (None, None, Vec::new());
        let ignored: HashSet<&str> = self
            .live
            .config
            .settings
            .ignore_startup_parameters
            .iter()
            .map(String::as_str)
            .collect();
        for (name, value) in &message.parameters {
            let text = || String::from_utf8_lossy(value).into_owned();
            match &name[..] {
                b"user" => user = Some(text()),
                b"database" => database = Some(text()),
                b"replication" => match &value.to_ascii_lowercase()[..] {
                    b"false" | b"off" | b"no" | b"0" => {}
                    _ => {
                        let text = "replication connections are not supported yet";
                        let response = fatal(SqlState::FEATURE_NOT_SUPPORTED, text);
                        return Err(End::Refused(Box::new(
                            response.hint("Connect to the server directly."),
                        )));
                    }
                },
                option if option.starts_with(b"_pq_.") => {}
                name if self.shared.tracked.index(name).is_some() => {
                    settings.push((Bytes::copy_from_slice(name), value.clone()));
                }
                name => {
                    let name = String::from_utf8_lossy(name);
                    if !ignored.contains(&*name) {
                        let text = format!("unsupported startup parameter: {name}");
                        let hint = format!(
                            "Add {name} to ignore_startup_parameters if it may be left out."
                        );
                        let response = fatal(SqlState::FEATURE_NOT_SUPPORTED, &text).hint(&hint);
                        return Err(End::Refused(Box::new(response)));
                    }
                }
            }
        }
        let user = user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| {
            refused(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "no username supplied")
        })?;
        if user.len() >= NAME_LIMIT {
            return Err(refused(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "username too long",
            ));
        }
        let database =
            database.filter(|database| !database.is_empty()).unwrap_or_else(|| user.clone());
        if database.len() >= NAME_LIMIT {
            return Err(refused(SqlState::INVALID_CATALOG_NAME, "database name too long"));
        }
        Ok(Request { user, database, settings })
    }

    /// Who asks for more than protocol 3.0 is told that this is all there is.
    async fn negotiate(&mut self, message: &StartupMessage) -> Result<(), End> {
        let names = message.parameters.iter().map(|(name, _)| name);
        let unknown: Vec<_> = names.filter(|name| name.starts_with(b"_pq_.")).cloned().collect();
        if message.minor == 0 && unknown.is_empty() {
            return Ok(());
        }
        let mut out = BytesMut::new();
        backend::NegotiateProtocolVersion { version: 3 << 16, unknown_options: unknown }
            .encode(&mut out);
        self.send(&out).await
    }

    // ---------------------------------------------------------------- is it really it?

    async fn authenticate(
        &mut self,
        user: &str,
        database: Option<&Database>,
    ) -> Result<(Option<Secret>, Proven), End> {
        let settings = &self.live.config.settings;
        let auth_type = settings.auth_type;
        if auth_type == AuthType::Any && database.is_some_and(|database| database.user.is_none()) {
            tracing::warn!("{} auth_type=any requires forced user", self.label);
            return Err(refused(SqlState::CONFIG_FILE_ERROR, "bouncer config error"));
        }
        let secret = match lookup(user, database, settings, &self.live.config.userlist) {
            Lookup::Known(secret) => Some(secret),
            Lookup::Unknown => None,
            Lookup::Ask(ask) => self.ask(user, &ask).await?,
        };
        let draws = Draws::draw();
        let mut login =
            ClientLogin::new(auth_type, user, secret.clone(), &draws, &self.shared.mock_key);
        let mut step = login.start();
        loop {
            match step {
                ClientStep::Send(bytes) => {
                    self.send(&bytes).await?;
                    step = login.message(self.auth_message().await?);
                }
                ClientStep::Accepted { send, proven } => {
                    if let Some(bytes) = send {
                        self.send(&bytes).await?;
                    }
                    return Ok((secret, proven));
                }
                ClientStep::Refused(error) => return Err(denied(&error)),
            }
        }
    }

    /// Asks a server for the user's secret (`auth_query`).
    async fn ask(&self, user: &str, ask: &Ask) -> Result<Option<Secret>, End> {
        let failed = |reason: String| {
            let response = fatal(SqlState::CONFIG_FILE_ERROR, "bouncer config error");
            End::Denied(
                Box::new(response),
                AuthFailure::Lookup,
                format!("auth_query failed: {reason}"),
            )
        };
        let Live { config, server_tls, .. } = &*self.live;
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
        let mut lease =
            access.attach(clock::now()).await.map_err(|error| failed(error.to_string()))?;
        let connection = lease.connection();
        connection.bring_here().map_err(|error| failed(error.to_string()))?;
        let rows = query::with_parameter(connection, &ask.sql, user).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                let reusable =
                    matches!(&error, query::QueryError::Refused(response) if !response.is_fatal());
                if reusable {
                    lease.give_back(clock::now());
                }
                return Err(failed(error.to_string()));
            }
        };
        lease.give_back(clock::now());
        read_rows(user, &rows).map_err(|error| failed(error.to_string()))
    }

    // ---------------------------------------------------------------- the console

    async fn prove_console(
        &mut self,
        request: Request,
        message: &StartupMessage,
    ) -> Result<Proof, End> {
        self.negotiate(message).await?;
        self.log_attempt(&request);
        let user = request.user;
        let own_uid = self.stream.socket().peer_uid() == Some(rustix::process::geteuid().as_raw());
        if user == "pgbouncer" && own_uid {
            tracing::info!("{} pgbouncer access from unix socket", self.label);
            return Ok(Proof::Console { right: Right::Admin, user });
        }
        self.demand_tls()?;
        self.authenticate(&user, None).await?;
        let settings = &self.live.config.settings;
        let right = if settings.admin_users.contains(&user) {
            Right::Admin
        } else if settings.stats_users.contains(&user) || settings.auth_type == AuthType::Any {
            Right::Stats
        } else {
            return Err(refused(SqlState::INSUFFICIENT_PRIVILEGE, "not allowed"));
        };
        Ok(Proof::Console { right, user })
    }

    async fn serve_console(&mut self, right: Right, user: &str) -> Result<(), End> {
        let Some(console) = self.shared.console.get().cloned() else { return Err(End::Left) };
        let greeting = console.greeting();
        let parameters = greeting.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut out = BytesMut::new();
        write_welcome(&mut out, parameters, CancelKey::draw());
        self.send(&out).await?;
        let mut answer = BytesMut::new();
        loop {
            let (tag, body) = self.console_message().await?;
            match tag {
                frontend::Query::TAG => {
                    let text = String::from_utf8_lossy(frontend::query::text(&body)).into_owned();
                    let go_on = console.answer(right, user, &text, &mut answer).await;
                    self.send(&answer).await?;
                    answer.clear();
                    if !go_on {
                        return Ok(());
                    }
                }
                frontend::Terminate::TAG => return Ok(()),
                frontend::Parse::TAG
                | frontend::Bind::TAG
                | frontend::Execute::TAG
                | frontend::Describe::TAG => {
                    let text = "extended query protocol not supported by admin console";
                    return Err(refused(SqlState::FEATURE_NOT_SUPPORTED, text));
                }
                _ => return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet")),
            }
        }
    }

    async fn console_message(&mut self) -> Result<(u8, Bytes), End> {
        loop {
            if let Some(head) = Head::peek(&self.inbox).map_err(refused_packet)? {
                if head.len > AUTH_LIMIT {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                if self.inbox.len() >= head.len {
                    let mut message = self.inbox.split_to(head.len);
                    message.advance(Head::SIZE);
                    return Ok((head.tag, message.freeze()));
                }
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(End::Left);
            }
        }
    }

    // ---------------------------------------------------------------- welcome

    async fn admit(
        &mut self,
        request: Request,
        database: &Database,
        service: &Arc<Service>,
        place: Place,
    ) -> Result<Welcomed, End> {
        let mut access = Access::new(service, self.holder.id);
        let welcome = first_words(&mut access).await.map_err(|error| {
            tracing::warn!("{} {error}", self.label);
            End::Refused(Box::new(error.response()))
        })?;
        let mut parameters = Parameters::new(self.shared.tracked.clone());
        for (name, value) in &welcome.parameters {
            parameters.note(name, value);
        }
        for (name, value) in &request.settings {
            parameters.note(name, value);
        }
        let key = CancelKey::draw();
        let mut out = BytesMut::with_capacity(1024);
        // Which host said so is chance; libpq's target_session_attrs looks at it.
        let standby = hot_standby(access.offer().tracking.as_ref().map(|tracking| tracking.attrs));
        let values = welcome.parameters.iter().map(|(name, value)| {
            let own = parameters.value(name).map(|own| &own[..]);
            let entry = standby.filter(|_| name == "in_hot_standby");
            (&name[..], entry.or(own).unwrap_or(value))
        });
        write_welcome(&mut out, values, key);

        let application_name = parameters.value(b"application_name");
        let application_name =
            application_name.map(|name| String::from_utf8_lossy(name).into_owned());
        let socket = self.stream.socket();
        let identity = Identity {
            holder: self.holder.clone(),
            user: request.user,
            database: database.name.clone(),
            remote: socket.peer_addr(),
            local: socket.local_addr(),
            tls: self.stream.tls_description(),
            accepted: self.accepted,
            accepted_wall: self.accepted_wall,
            key,
            service: service.clone(),
            application_name: application_name.unwrap_or_default(),
        };
        let info = Arc::new(ClientInfo::new(identity));
        let registered = self.shared.register(info.clone());
        self.send(&out).await?;
        let rules = access.offer().rules();
        let session = Session::new(rules, self.shared.statements.clone(), parameters);
        let stream = std::mem::replace(&mut self.stream, Stream::Plain(Socket::nowhere()));
        let relay = Relay::new(stream, info, access, session, &self.inbox);
        Ok(Welcomed { relay, registered, place })
    }
}

/// What a guest turned out to be.
enum Proof {
    Console { right: Right, user: String },
    Client { request: Request, database: Arc<Database>, service: Arc<Service>, place: Place },
}

fn denied(error: &AuthError) -> End {
    let code = SqlState::from_bytes(error.sqlstate().as_bytes());
    End::Denied(Box::new(fatal(code, error.client_message())), error.failure(), error.to_string())
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

/// What a server of the service says at login. A pool that has had one needs none now.
async fn first_words(access: &mut Access) -> Result<Arc<Welcome>, AttachError> {
    if let Some(known) = access.offer().pools.iter().find_map(|pool| pool.welcome()) {
        return Ok(known);
    }
    let lease = access.attach(clock::now()).await?;
    let pool = lease.pool().clone();
    lease.give_back(clock::now());
    pool.welcome().ok_or(AttachError::HostGone)
}

/// What an entry says of `in_hot_standby`, if it stands for one kind of host.
fn hot_standby(attrs: Option<TargetSessionAttrs>) -> Option<&'static [u8]> {
    match attrs? {
        TargetSessionAttrs::ReadWrite | TargetSessionAttrs::Primary => Some(b"off"),
        TargetSessionAttrs::ReadOnly | TargetSessionAttrs::Standby => Some(b"on"),
        TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => None,
    }
}

/// AuthenticationOk, ParameterStatus for each setting, BackendKeyData, ReadyForQuery.
fn write_welcome<'a>(
    out: &mut BytesMut,
    settings: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    key: CancelKey,
) {
    Authentication::Ok.encode(out);
    for (name, value) in settings {
        backend::parameter_status::write(out, name, value);
    }
    backend::BackendKeyData { pid: key.pid(), key: Bytes::copy_from_slice(&key.secret()) }
        .encode(out);
    backend::ready_for_query::write(out, TransactionStatus::Idle);
}
