//! A service goes on under another configuration, or with other credentials, or not at all.

use std::sync::Arc;

use super::offering::forced_credentials;
use super::{Service, Services, lock};
use crate::auth::credentials::Credentials;
use crate::config::Config;
use crate::server::Tls;
use crate::worker::offer::Offer;

impl Services {
    /// A login brought credentials: if they are new, the next server connections use them.
    pub(super) fn renew(
        &self,
        service: &Service,
        config: &Config,
        tls: &Tls,
        credentials: Credentials,
    ) {
        {
            let mut known = lock(&service.credentials);
            // A login by certificate or trust shows nothing that a server could be shown; what others showed stays.
            let weaker = credentials == Credentials::ScramSecret
                && matches!(*known, Credentials::ScramKeys(_) | Credentials::Password(_));
            if *known == credentials || credentials == Credentials::Nothing || weaker {
                return;
            }
            *known = credentials.clone();
        }
        let offer = service.offer();
        for (pool, rules) in offer.pools.iter().zip(self.rules(
            config,
            tls,
            &offer.database,
            &service.user,
            &credentials,
        )) {
            pool.set_rules(rules);
        }
    }

    /// Brings a service to a new configuration, its pools as far as they go on.
    pub fn reconfigure(&self, service: &Arc<Service>, config: &Config, tls: &Tls) {
        let _one_at_a_time = lock(&self.reconfiguring);
        let old = service.offer();
        let Some(database) = config.database(&service.database) else {
            return self.remove(service);
        };
        let credentials = match &database.user {
            Some(user) if *user == service.user => forced_credentials(config, &database, user),
            _ => lock(&service.credentials).clone(),
        };
        *lock(&service.credentials) = credentials.clone();
        let new = self.make_offer(config, tls, &database, &service.user, &credentials, Some(&old));
        let gone: Vec<_> = old
            .pools
            .iter()
            .filter(|pool| !new.pools.iter().any(|kept| Arc::ptr_eq(pool, kept)))
            .cloned()
            .collect();
        service.offer.send_replace(Arc::new(new));
        service.startups.clear();
        for pool in gone {
            pool.retire();
            lock(&service.retired).push(pool);
        }
        std::mem::replace(&mut *lock(&service.following), self.stop.child_token()).cancel();
        self.follow(service);
    }

    /// A database entry is gone: its pools close, its clients are told.
    pub fn remove(&self, service: &Arc<Service>) {
        self.by_name.remove(&(service.database.clone(), service.user.clone()));
        lock(&service.following).cancel();
        let old = service.offer();
        for pool in service.pools() {
            pool.remove();
        }
        service.offer.send_modify(|offer| {
            *offer = Arc::new(Offer {
                database: old.database.clone(),
                mode: old.mode,
                max_prepared_statements: old.max_prepared_statements,
                prepare_unnamed: old.prepare_unnamed,
                realm: old.realm,
                failover_timeout: old.failover_timeout,
                bounds: old.bounds,
                reset_always: old.reset_always,
                pools: Vec::new(),
                tracking: None,
                removed: true,
            });
        });
    }
}
