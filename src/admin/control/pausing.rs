//! Databases and their clients: PAUSE, RESUME, KILL, RECONNECT, DISABLE.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Control, Refused};
use crate::admin::suspend::Undo;
use crate::pool::Pool;
use crate::pool::holder::Order;
use crate::worker::service::Service;

impl Control {
    fn services(&self, database: Option<&str>) -> Vec<Arc<Service>> {
        let all = self.shared.services.all();
        all.into_iter()
            .filter(|service| database.is_none_or(|name| service.database == name))
            .collect()
    }

    fn pools(&self, database: Option<&str>) -> Vec<Arc<Pool>> {
        self.services(database).iter().flat_map(|service| service.pools()).collect()
    }

    fn must_exist(&self, verb: &'static str, database: &str) -> Result<(), Refused> {
        if crate::worker::console::NAMES.contains(&database) {
            return Err(Refused::Console(verb, database.to_owned()));
        }
        match self.shared.live().config.database(database) {
            Some(_) => Ok(()),
            None => Err(Refused::NoSuchDatabase(database.to_owned())),
        }
    }

    /// `PAUSE`: no server is given out; ends when none is in use any more. Dropped before, it resumes.
    ///
    /// # Errors
    /// Paused already, or no such database.
    pub async fn pause(&self, database: Option<&str>) -> Result<(), Refused> {
        self.begin_pause(database)?;
        let undo = Undo { control: self, database, due: true };
        for service in self.services(database) {
            for pool in service.pools() {
                pool.quiet().await;
            }
        }
        undo.disarm();
        Ok(())
    }

    /// The same, without waiting.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn begin_pause(&self, database: Option<&str>) -> Result<(), Refused> {
        match database {
            Some(name) => {
                self.must_exist("pause", name)?;
                if self.shared.is_suspended() || self.shared.all_paused.load(Ordering::Acquire) {
                    return Err(Refused::AlreadyPaused);
                }
                self.shared.paused.insert(name.to_owned(), ());
            }
            None if self.shared.is_suspended()
                || self.shared.all_paused.swap(true, Ordering::AcqRel) =>
            {
                return Err(Refused::AlreadyPaused);
            }
            None => {}
        }
        self.pools(database).iter().for_each(|pool| pool.pause());
        Ok(())
    }

    /// `RESUME`.
    ///
    /// # Errors
    /// Not paused, no such database, or the process ends.
    pub fn resume(&self, database: Option<&str>) -> Result<(), Refused> {
        if self.is_ending() {
            return Err(Refused::ShuttingDown);
        }
        match database {
            Some(name) => {
                self.must_exist("resume", name)?;
                if self.shared.paused.remove(name).is_none() {
                    return Err(Refused::NotPaused(Some(name.to_owned())));
                }
            }
            None if self.wake_up() => return Ok(()),
            None if !self.shared.all_paused.swap(false, Ordering::AcqRel) => {
                return Err(Refused::NotPaused(None));
            }
            None => {}
        }
        for service in self.services(database) {
            if !self.shared.is_paused(&service.database) {
                service.pools().iter().for_each(|pool| pool.resume());
            }
        }
        Ok(())
    }

    /// `KILL`: closes all clients and servers of the database at once, then pauses it.
    ///
    /// # Errors
    /// Paused already, or no such database.
    pub fn kill(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("kill", name)?;
        }
        if self.shared.all_paused.load(Ordering::Acquire) {
            return Err(Refused::AlreadyPaused);
        }
        let names: Vec<String> = match database {
            Some(name) => vec![name.to_owned()],
            None => self.shared.live().config.databases.keys().cloned().collect(),
        };
        for name in names {
            self.shared.paused.insert(name, ());
        }
        for client in self.shared.clients.iter() {
            if database.is_none_or(|name| client.service.database == name) {
                client.holder.order(Order::DatabaseGone);
            }
        }
        self.pools(database).iter().for_each(|pool| pool.pause());
        Ok(())
    }

    /// `KILL_CLIENT id`.
    ///
    /// # Errors
    /// No client has this id.
    pub fn kill_client(&self, id: u64) -> Result<(), Refused> {
        if let Some(holder) = self.shared.holder(id) {
            holder.order(Order::Kill);
            return Ok(());
        }
        self.shared.visitors.get(id).ok_or(Refused::NoSuchClient)?.kill();
        Ok(())
    }

    /// `RECONNECT`: every server is replaced when it comes free.
    ///
    /// # Errors
    /// No such database.
    pub fn reconnect(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("reconnect", name)?;
        }
        self.pools(database).iter().for_each(|pool| pool.reconnect());
        Ok(())
    }

    /// `WAIT_CLOSE`: ends when every server that is to be replaced is closed.
    ///
    /// # Errors
    /// No such database.
    pub async fn wait_close(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("wait for", name)?;
        }
        for service in self.services(database) {
            for pool in service.pools() {
                pool.replaced().await;
            }
        }
        Ok(())
    }

    /// `DISABLE` and `ENABLE`: whether new clients may log in to the database.
    ///
    /// # Errors
    /// No such database.
    pub fn set_disabled(&self, database: &str, disabled: bool) -> Result<(), Refused> {
        self.must_exist(if disabled { "disable" } else { "enable" }, database)?;
        if disabled {
            self.shared.disabled.insert(database.to_owned(), ());
        } else {
            self.shared.disabled.remove(database);
        }
        Ok(())
    }
}
