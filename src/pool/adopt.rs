//! Connections that change processes (online restart): they come as they are, and go without a word to the server.

use std::sync::Arc;

use super::attach::Lease;
use super::{Pool, Server, lock};
use crate::server::{Connection, Welcome};

impl Pool {
    /// Takes a connection in that another process has opened, for the caller to use or to give back; what its host said
    /// at login is remembered where nothing is known yet. Without room for it, under whatever limit, it comes back.
    ///
    /// # Errors
    /// The connection.
    pub fn adopt(self: &Arc<Self>, connection: Connection) -> Result<Lease, Box<Connection>> {
        let Some(place) = self.membership.take() else { return Err(Box::new(connection)) };
        {
            let mut state = self.state();
            if !state.may_adopt() {
                return Err(Box::new(connection));
            }
            state.begin_opening();
            state.opened();
        }
        let server = Server { info: connection.info.clone(), place };
        lock(&self.servers).insert(connection.info.id, server);
        Ok(Lease::new(self.clone(), Box::new(connection)))
    }

    /// What another process was told at login, for clients that log in before any server of ours was asked.
    pub fn was_welcomed(&self, welcome: Welcome) {
        lock(&self.welcome).get_or_insert_with(|| Arc::new(welcome));
    }
}

impl Lease {
    /// Another process has it now: it is forgotten here, and the server hears nothing of that.
    pub fn hand_over(mut self) {
        let Some(connection) = self.take() else { return };
        let pool = self.pool().clone();
        pool.state().closed();
        let server = lock(&pool.servers).remove(&connection.info.id);
        drop(connection);
        pool.settled.notify_waiters();
        drop(server.map(|server| server.place));
        Pool::open_more(&pool);
    }
}
