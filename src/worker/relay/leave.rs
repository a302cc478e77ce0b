//! A client that goes on in another process (online restart).

use std::io;
use std::os::fd::BorrowedFd;

use bytes::Bytes;

use super::Relay;
use crate::auth::credentials::CarriedCredentials;
use crate::net::clock;
use crate::pool::Lease;
use crate::worker::handover::carried::{CarriedClient, CarriedConnection};
use crate::worker::phase::Phase;

impl Relay {
    /// A client that holds a server: one that was inside a transaction, or keeps its servers.
    pub fn with_server(mut self, mut lease: Lease) -> Self {
        lease.connection().info.set_client(self.info.holder.id);
        self.lease = Some(lease);
        let phase = if self.session.in_transaction() {
            self.transaction_since = Some(self.now);
            Phase::InTransaction
        } else {
            Phase::Holding
        };
        self.info.enter(phase, self.now);
        self
    }

    /// Whether it could go on elsewhere: nothing is under way on either side. A client that waits for a server can wait
    /// there.
    pub(super) fn may_leave(&mut self) -> bool {
        let at_rest = !self.own_server
            && self.client.is_plain()
            && self.to_client.is_empty()
            && !self.to_server.has_output()
            && !self.to_server.mid_message()
            && self.session.is_at_rest();
        at_rest
            && match &mut self.lease {
                None => true,
                Some(lease) => {
                    let server = lease.connection();
                    server.stream.is_plain()
                        && !server.info.is_doomed()
                        && server.info.cancels() == 0
                }
            }
    }

    /// It is about to leave: what it waits for is not for it any more.
    pub(super) fn prepare_to_leave(&mut self) {
        self.waiting = None;
        self.kept = None;
        self.outstanding = None;
        self.query_since = None;
        if self.lease.is_none() {
            self.info.enter(Phase::Idle, self.now);
        }
    }

    /// As it is written down.
    pub fn carry(&mut self) -> CarriedClient {
        let credentials = self.info.service.credentials().carry();
        let server =
            self.lease.as_mut().map(|lease| CarriedConnection::of(lease, credentials.clone()));
        CarriedClient {
            database: self.info.service.database.clone(),
            user: self.info.user.to_string(),
            credentials,
            application_name: self.info.application_name(),
            accepted: self.info.accepted_wall,
            age: self.info.age(clock::now()),
            key: (self.info.key.pid(), Bytes::copy_from_slice(self.info.key.secret())),
            session: self.session.carry(),
            early: Bytes::copy_from_slice(self.to_server.unseen()),
            wrote: self.access.has_written(),
            server,
        }
    }

    /// Its socket, and that of its server.
    ///
    /// # Errors
    /// One was lost.
    pub fn sockets(&mut self) -> io::Result<Vec<BorrowedFd<'_>>> {
        let mut sockets = vec![self.client.socket().fd()?];
        if let Some(lease) = &mut self.lease {
            sockets.push(lease.connection().stream.socket().fd()?);
        }
        Ok(sockets)
    }

    /// Another process has it.
    pub fn gone(mut self) {
        if let Some(lease) = self.lease.take() {
            lease.hand_over();
        }
    }
}

impl CarriedConnection {
    /// The connection of a lease, as it is written down.
    pub fn of(lease: &mut Lease, credentials: CarriedCredentials) -> Self {
        let (name, welcome) = (lease.pool().name().clone(), lease.pool().welcome());
        let connection = lease.connection();
        let info = &connection.info;
        Self {
            database: name.database,
            user: name.user,
            hosts: name.host,
            credentials,
            host: info.host.to_string(),
            pid: info.pid,
            key: info.key.clone(),
            opened: info.opened_wall,
            age: clock::now().saturating_duration_since(info.opened),
            state: connection.state.carry(),
            welcome: welcome.map(|welcome| welcome.parameters.clone()).unwrap_or_default(),
        }
    }
}
