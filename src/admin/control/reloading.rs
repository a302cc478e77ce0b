//! Another configuration: RELOAD, SET, and putting it in force.

use std::sync::Arc;

use super::plan::{ReloadError, entries, pace, with_tls};
use super::{Control, Refused};
use crate::auth::mock::Crowd;
use crate::config::Config;
use crate::pool::holder::Order;
use crate::worker::service::Service;
use crate::worker::shared::Live;

impl Control {
    /// Reads the files again and puts them in force; if anything is wrong with them, nothing changes.
    ///
    /// # Errors
    /// [`Refused::Reload`]; the log says what is wrong.
    pub async fn reload(&self) -> Result<(), Refused> {
        let reloaded = self.read_again().await;
        self.shared.metrics.process().reloaded(reloaded.is_ok());
        reloaded
    }

    async fn read_again(&self) -> Result<(), Refused> {
        let mut base = self.base().await;
        let old = self.shared.live();
        let read = || -> Result<_, ReloadError> {
            let (config, changes) = base.config.reload()?;
            let new = base.replaced_by(config);
            Ok((with_tls(new.joined())?, new, changes))
        };
        let (live, new, changes) = read().map_err(|error| {
            tracing::error!("{error}");
            tracing::warn!(
                "config file loading failed; the configuration in force stays as it was"
            );
            Refused::Reload
        })?;
        for key in &changes.ignored_until_restart {
            tracing::warn!("{key} has changed; that takes effect at the next start");
        }
        for note in &live.config.notes {
            tracing::warn!("{note}");
        }
        self.after_reload.reopen(&live.config.settings);
        self.put_in_force(&old, live);
        *base = new;
        self.ask_for_hosts(&base);
        Ok(())
    }

    /// `SET key = 'value'`.
    ///
    /// # Errors
    /// [`Refused::Set`], or [`Refused::TlsStays`]; the log says what is wrong.
    pub async fn set(&self, key: &str, value: &str) -> Result<(), Refused> {
        let of_tls = key.contains("_tls_") || key.contains("_tls13_");
        let mut base = self.base().await;
        let old = self.shared.live();
        let config = base.config.set(key, value).map_err(|error| {
            let phrase = if key.ends_with("tls13_ciphers") {
                "failed to set the TLSv1.3 cipher suites: "
            } else {
                ""
            };
            tracing::warn!("SET {key}: {phrase}{error}");
            if of_tls { Refused::TlsStays } else { Refused::Set }
        })?;
        let new = base.replaced_by(config);
        let as_before = |config: Config| {
            let crowd = Crowd::of(&config.userlist);
            Live { config: Arc::new(config), crowd, ..(*old).clone() }
        };
        let (live, applied) = if of_tls {
            match with_tls(new.joined()) {
                Ok(live) => (live, true),
                // As in pgbouncer: the next SET may bring what is missing, say the certificate after its key.
                Err(error) => {
                    tracing::warn!("SET {key}: {error}");
                    (as_before(new.joined()), false)
                }
            }
        } else {
            (as_before(new.joined()), true)
        };
        for note in live.config.notes.iter().filter(|note| !old.config.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        // What the log goes by may be among it.
        self.after_reload.reopen(&live.config.settings);
        self.put_in_force(&old, live);
        *base = new;
        self.ask_for_hosts(&base);
        if applied { Ok(()) } else { Err(Refused::TlsStays) }
    }

    pub(in crate::admin) fn put_in_force(&self, old: &Live, live: Live) {
        let settings = &live.config.settings;
        self.topology.reconfigure(entries(&live, &self.shared.tracked), pace(settings));
        let new_server_tls = old.config.settings.server_tls != settings.server_tls;
        let (config, server_tls) = (live.config.clone(), live.server_tls.clone());
        self.look_up_names(&live);
        self.shared.set_live(live);
        for service in self.shared.services.all() {
            if config.database(&service.database).is_none() {
                tracing::info!(
                    "dropping database '{}' as it does not exist anymore or inactive auto-database",
                    service.database
                );
                self.drop_service(&service);
                continue;
            }
            self.shared.services.reconfigure(&service, &config, &server_tls);
            if new_server_tls {
                service.pools().iter().for_each(|pool| pool.reconnect());
            }
        }
        self.shared.begin_minimum();
    }

    fn drop_service(&self, service: &Arc<Service>) {
        self.shared.services.remove(service);
        for client in self.shared.clients.iter() {
            if Arc::ptr_eq(&client.service, service) {
                client.holder.order(Order::DatabaseGone);
            }
        }
    }
}
