//! Services that nobody uses are forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Service, Services, lock};
use crate::config::Config;

impl Services {
    /// A round of the janitor's over all pools. `stays`: whether connections may be opened that nobody asks for yet.
    pub fn sweep(&self, config: &Config, now: Instant, stays: bool) {
        for service in self.all() {
            let in_use = stays && service.is_in_use();
            service.pools().iter().for_each(|pool| pool.sweep(now, in_use));
            let limit = config.pool_idle_timeout(&service.database);
            let database = service.offer().database.clone();
            if database.user.is_some() && config.min_pool_size(&database) > 0 {
                // It stands ready for its first client, or tries to.
                continue;
            }
            if service.deserted_for(now) >= limit.unwrap_or(Duration::MAX) {
                self.forget(service);
            }
        }
    }

    /// A service that was made for somebody who has not shown who he is, and whose database has no entry of its own, came
    /// to nothing: it is forgotten at once, or strangers could make as many as they can think of names.
    pub fn was_in_vain(&self, service: Arc<Service>) {
        if !service.is_in_use() && service.pools().iter().all(|pool| pool.servers().is_empty()) {
            self.forget(service);
        }
    }

    /// Forgets a service that nobody uses, unless somebody is about to.
    fn forget(&self, service: Arc<Service>) {
        let key = (service.database.clone(), service.user.clone());
        drop(service);
        // Whoever finds a service holds it before he lets the entry go: if only the map does, nobody can.
        let forgotten = self.by_name.remove_if(&key, |_, kept| Arc::strong_count(kept) == 1);
        if let Some(((database, user), service)) = forgotten {
            lock(&service.following).cancel();
            tracing::info!("{database}/{user}: forgotten, as it has no clients and no servers");
            if !self.by_name.iter().any(|entry| entry.key().0 == database) {
                self.auto.remove(&database);
            }
        }
    }
}

impl Service {
    /// For how long it has had neither clients nor servers nor connections on their way.
    fn deserted_for(&self, now: Instant) -> Duration {
        let deserted = self.clients.load(Ordering::Relaxed) == 0
            && self.pools().iter().all(|pool| pool.is_deserted());
        let mut since = lock(&self.deserted);
        if !deserted {
            *since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*since.get_or_insert(now))
    }

    /// Whether `min_pool_size` counts: a client is there, or all clients share a server user.
    fn is_in_use(&self) -> bool {
        self.clients.load(Ordering::Relaxed) > 0 || self.offer.borrow().database.user.is_some()
    }
}
