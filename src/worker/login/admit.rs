//! The welcome: what the servers said at login, a cancel key, and the relay that takes over.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, Authentication, NoticeResponse, Severity, TransactionStatus};
use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::end::{End, fatal};
use super::request::{Replication, Request};
use crate::config::{PoolMode, TargetSessionAttrs};
use crate::net::clock;
use crate::net::stream::{Socket, Stream};
use crate::pool::keep::Kept;
use crate::pool::own;
use crate::pool::{AttachError, Lease};
use crate::routing::own::MIN_LSN;
use crate::routing::{Intent, Target};
use crate::server::{self, OpenError, Welcome};
use crate::session::Session;
use crate::session::own::not_followed;
use crate::session::parameters::Parameters;
use crate::session::read_only;
use crate::session::startup::{Setting, Startup};
use crate::worker::access::{Access, Choice};
use crate::worker::client::{self, CancelKey, ClientInfo, Identity};
use crate::worker::relay::Relay;
use crate::worker::service::Service;
use crate::worker::shared::Seated;
use crate::worker::startups;
use crate::worker::thread::Client;

impl Guest<'_> {
    pub(super) async fn admit(
        &mut self,
        request: Request,
        service: &Arc<Service>,
        place: Seated,
    ) -> Result<Box<Client>, End> {
        let mut access = Access::new(service, self.holder.id);
        if request.wishes.follow_roles() && access.offer().tracking.is_none() {
            let response = not_followed(Severity::Fatal, MIN_LSN);
            return Err(End::Refused(Box::new(response)));
        }
        let kind = match &request.replication {
            None => client::Replication::None,
            Some(replication) if replication.physical => client::Replication::Physical,
            Some(_) => client::Replication::Logical,
        };
        let own = match request.replication {
            Some(replication) => Some(self.own_server(&mut access, replication).await?),
            None => None,
        };
        let (mut own, welcome, first) = match own {
            Some((lease, welcome)) => (Some(lease), Arc::new(welcome), None),
            None => {
                let (welcome, first) = self.first_words(&mut access).await?;
                (None, welcome, first)
            }
        };
        let mut parameters = Parameters::new(self.shared.tracked.clone());
        for (name, value) in &welcome.parameters {
            parameters.note(name, value);
        }
        let settings = differing(request.settings, &welcome);
        let keeps = own.is_none() && access.offer().mode == PoolMode::Session;
        // While its settings are tried it must not hold on to a server.
        let mut kept = match first {
            Some(lease) if keeps && settings.is_empty() => {
                lease.keep_for(self.holder.id, clock::now())
            }
            Some(lease) => {
                lease.give_back(clock::now());
                None
            }
            None => None,
        };
        let startup = self.accept(settings, &mut access, service).await?;
        for (index, value) in startup.iter().flat_map(|startup| startup.tracked()) {
            parameters.set(*index, value.clone());
        }
        let called = self.called(request.application_name);
        if let Some(name) = &called {
            parameters.note(b"application_name", name);
        }
        if keeps && kept.is_none() {
            kept = self.keep_server(&mut access).await;
        }
        let (kept, pid) = kept.unzip();
        let pid = own.as_mut().map(|lease| lease.connection().info.pid).or(pid);
        let key = self.shared.draw_key(request.minor, pid);
        let mut out = BytesMut::with_capacity(1024);
        // Which host said so is chance; libpq's target_session_attrs looks at it.
        let standby = hot_standby(access.offer().tracking.as_ref().map(|tracking| tracking.attrs));
        let values = welcome.parameters.iter().map(|(name, value)| {
            let own = parameters.value(name).or_else(|| startup.as_ref()?.value(name));
            let own = own.map(|own| &own[..]);
            let entry = standby.filter(|_| name == "in_hot_standby");
            (&name[..], entry.or(own).unwrap_or(value))
        });
        write_welcome(&mut out, values, &key, &self.live.config.settings.login_notify_message);

        let identity = Identity {
            holder: self.holder.clone(),
            user: place.user().clone(),
            remote: self.peer,
            local: self.stream.socket().local_addr(),
            peer_pid: self.visiting.peer_pid,
            tls: self.stream.tls_description(),
            accepted: self.accepted,
            accepted_wall: self.accepted_wall,
            replication: kind,
            key,
            service: service.clone(),
        };
        parameters.share();
        let name = parameters.value(b"application_name").cloned();
        let info = Arc::new(ClientInfo::new(identity, name.as_deref().unwrap_or_default()));
        let registered = self.shared.register(info.clone());
        self.send(&out).await?;
        let mut rules = access.offer().rules();
        if own.is_some() {
            rules.mode = PoolMode::Session;
            rules.follow_statements = false;
        }
        let name = name.filter(|_| called.is_some());
        let asked = startup.as_ref().and_then(|startup| startup.value(read_only::NAME)).cloned();
        let mut session = Session::new(rules, self.shared.statements.clone(), parameters)
            .with_read_only(welcome.value(read_only::NAME), asked.as_ref())
            .with_wishes(request.wishes)
            .with_startup(startup, name);
        if own.is_none() {
            session = session.with_owner(info.service.owner().clone());
        }
        let stream = std::mem::replace(&mut self.stream, Stream::Plain(Socket::nowhere()));
        let mut relay = Relay::new(stream, info, access, session, &self.inbox);
        if let Some(lease) = own {
            relay = relay.with_own_server(lease);
        }
        if let Some(kept) = kept {
            relay = relay.with_kept(kept);
        }
        // Boxed here: the task that awaits this keeps room for the result for as long as it lives.
        Ok(Box::new(Client { relay, registered, place }))
    }
}

impl Guest<'_> {
    /// What a server of the service says at login; and that server, if one had to be asked.
    async fn first_words(&self, access: &mut Access) -> Result<(Arc<Welcome>, Option<Lease>), End> {
        first_words(access).await.map_err(|error| {
            tracing::warn!(of = %self.label, "{error}");
            End::Refused(Box::new(error.response()))
        })
    }

    /// A server for a client that will keep the one that it first uses, with its process id. None while servers are
    /// scarce: the client is then told a process id that is nobody's.
    async fn keep_server(&self, access: &mut Access) -> Option<(Kept, u32)> {
        match access.choose(Intent::Unstated, clock::now()) {
            Choice::Pool(pool) => pool.keep_for(self.holder.id).await,
            Choice::Hold { .. } | Choice::NoReplica | Choice::Removed => None,
        }
    }

    /// A server for a replication connection, with all that the client asked for in its startup packet. It takes the
    /// place of a pooled one, so that it waits and counts as any other; to the primary, where the entry follows it.
    async fn own_server(
        &self,
        access: &mut Access,
        replication: Replication,
    ) -> Result<(Lease, Welcome), End> {
        let refused = |error: &dyn std::fmt::Display, response| {
            tracing::warn!(of = %self.label, "{error}");
            End::Refused(Box::new(response))
        };
        let change = |target: &mut server::Target| {
            target.parameters.extend(replication.parameters.iter().cloned());
            target.connect_query = None;
        };
        let primary = Intent::Hint(Target::Primary);
        // Physical replication belongs to no database: there need be none of the name for an ordinary connection.
        let opened = match access.choose(primary, clock::now()) {
            Choice::Pool(pool) if replication.physical => pool.open_own(&change).await,
            _ => None,
        };
        let opened = match opened {
            Some(opened) => opened,
            None => {
                let lease = access.attach_as(primary, clock::now()).await;
                let lease = lease.map_err(|error| refused(&error, error.response()))?;
                lease.exchange(change).await
            }
        };
        opened.map_err(|error| {
            let code = match &error {
                OpenError::Refused { response, .. } => response.code(),
                _ => SqlState::CONNECTION_FAILURE,
            };
            refused(&error, fatal(code, own::REFUSED).detail(&error.client_message()))
        })
    }

    /// What the client is to be called, if anything, with the far end in it if `application_name_add_host` says so.
    fn called(&self, own: Option<Bytes>) -> Option<Bytes> {
        if !self.live.config.settings.application_name_add_host {
            return own;
        }
        let name = own.as_deref().unwrap_or(b"app");
        Some([name, b" - ", self.peer().as_bytes()].concat().into())
    }

    /// The far end as pgbouncer writes it: `HOST:PORT`, or `unix(PID):PORT`.
    fn peer(&self) -> String {
        match self.peer {
            Some(address) => address.to_string(),
            None => {
                let port = self.live.config.settings.listen_port;
                format!("unix({}):{port}", self.stream.socket().peer_pid().unwrap_or(0))
            }
        }
    }
}

impl Guest<'_> {
    /// What the client asked for, as a server has accepted it.
    async fn accept(
        &self,
        settings: Vec<Setting>,
        access: &mut Access,
        service: &Service,
    ) -> Result<Option<Arc<Startup>>, End> {
        if settings.is_empty() {
            return Ok(None);
        }
        let accepted = startups::accept(service, access, settings).await;
        accepted.map(Some).map_err(|error| {
            tracing::warn!(of = %self.label, "{error}");
            End::Refused(Box::new(error.response()))
        })
    }
}

/// What the client asked for and the servers do not have anyhow.
fn differing(mut settings: Vec<Setting>, welcome: &Welcome) -> Vec<Setting> {
    settings.retain(|setting| {
        let theirs = welcome.value(&setting.name);
        !theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(&setting.value))
    });
    settings
}

/// What a server of the service says at login, and that server. A pool that has had one needs none now.
async fn first_words(access: &mut Access) -> Result<(Arc<Welcome>, Option<Lease>), AttachError> {
    if let Some(known) = access.offer().pools.iter().find_map(|pool| pool.welcome()) {
        return Ok((known, None));
    }
    let lease = access.attach(clock::now()).await?;
    match lease.pool().welcome() {
        Some(welcome) => Ok((welcome, Some(lease))),
        None => {
            lease.give_back(clock::now());
            Err(AttachError::HostGone)
        }
    }
}

/// What an entry says of `in_hot_standby`, if it stands for one kind of host.
fn hot_standby(attrs: Option<TargetSessionAttrs>) -> Option<&'static [u8]> {
    match attrs? {
        attrs if attrs.wants_primary() => Some(b"off"),
        attrs if attrs.wants_standby() => Some(b"on"),
        _ => None,
    }
}

/// AuthenticationOk, ParameterStatus for each setting, BackendKeyData, ReadyForQuery.
pub(super) fn write_welcome<'a>(
    out: &mut BytesMut,
    settings: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    key: &CancelKey,
    notice: &str,
) {
    Authentication::Ok.encode(out);
    for (name, value) in settings {
        backend::parameter_status::write(out, name, value);
    }
    backend::BackendKeyData { pid: key.pid(), key: Bytes::copy_from_slice(key.secret()) }
        .encode(out);
    if !notice.is_empty() {
        NoticeResponse::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, notice).encode(out);
    }
    backend::ready_for_query::write(out, TransactionStatus::Idle);
}
