//! The console's tables as pgbouncer's exporter shows them to Prometheus (setting `metrics_compat`).
//!
//! The exporter asks the console; here the same rows are written without that detour, when `/metrics` is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::control::Control;
use super::gather;
use super::marks::Marks;
use super::show::databases::DatabaseRow;
use super::show::lists::ListRow;
use super::show::stats::Stats;
use super::show::version;
use crate::config::MetricsCompat;
use crate::metrics::exporter::Appendix;
use crate::metrics::{compat, process, text};
use crate::net::clock;
use crate::report;
use crate::report::connections::ClientRow;
use crate::report::pools::PoolRow;

/// Application names that are shown by themselves: what a client calls itself is its own invention.
const MOST_NAMES: usize = 100;

/// The application name of all others.
const OTHERS: &str = "(others)";

/// Writes them, as long as `metrics_compat` asks for it. `version` is pgweir's.
pub fn appendix(control: Arc<Control>, marks: Arc<Marks>, version: &'static str) -> Appendix {
    Box::new(move |out| {
        let settings = &control.shared.live().config.settings;
        if settings.metrics_compat == MetricsCompat::Off {
            return;
        }
        let mut page = Page { out };
        page.one("up", 1.0);
        let said = text::labels(&["version"], &[&version::line(version)]);
        page.rows("version_info", &[()], &[said], |()| 1.0);
        page.one("config_max_client_connections", settings.max_client_conn.into());
        let per_user = settings.max_user_connections.unwrap_or(0);
        page.one("config_max_user_connections", per_user.into());

        let (shared, now) = (&control.shared, clock::now());
        let databases = gather::databases(shared);
        let pools = report::pools::pools(shared, now);
        page.lists(&gather::lists_beside(shared, databases.len()));
        page.databases(&databases);
        let periods = marks.periods(&shared.services, now);
        let totals = periods.into_iter().map(|(name, period)| (name, period.current));
        page.stats(&totals.collect::<Vec<_>>());
        page.pools(&pools);
        page.clients(&report::connections::clients(shared, now));
        if let Some(process) = process::Reading::take() {
            page.process(&process);
        }
    })
}

struct Page<'a> {
    out: &'a mut String,
}

impl Page<'_> {
    /// A metric without labels.
    fn one(&mut self, name: &str, value: f64) {
        self.rows(name, &[()], &[String::new()], |()| value);
    }

    /// A metric with a sample for each row, under the labels in the same place.
    fn rows<T>(&mut self, name: &str, rows: &[T], labels: &[String], value: impl Fn(&T) -> f64) {
        // A name that is not in the table is a slip, which tests/metrics.rs finds.
        let Some(metric) = compat::find(name).filter(|_| !rows.is_empty()) else { return };
        text::head(self.out, metric.name, metric.kind, metric.help);
        for (row, labels) in rows.iter().zip(labels) {
            text::line(self.out, metric.name, labels, value(row));
        }
    }

    fn lists(&mut self, lists: &ListRow) {
        for (name, count) in [
            ("databases", lists.databases),
            ("users", lists.users),
            ("pools", lists.pools),
            ("free_clients", lists.free_clients),
            ("used_clients", lists.used_clients),
            ("login_clients", lists.login_clients),
            ("free_servers", lists.free_servers),
            ("used_servers", lists.used_servers),
            ("cached_dns_names", lists.dns_names),
            ("cached_dns_zones", lists.dns_zones),
            ("in_flight_dns_queries", lists.dns_queries),
        ] {
            self.one(name, count as f64);
        }
    }

    fn databases(&mut self, rows: &[DatabaseRow]) {
        let labels = |row: &DatabaseRow| {
            let port = row.port.to_string();
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            let (host, user) = (optional(&row.host), optional(&row.force_user));
            let mode = row.pool_mode.unwrap_or_default();
            let values = [&row.name, host.as_str(), &port, &row.database, &user, mode];
            text::labels(compat::DATABASE, &values)
        };
        let labels: Vec<_> = rows.iter().map(labels).collect();
        type Column = fn(&DatabaseRow) -> f64;
        let columns: [(&str, Column); 6] = [
            ("databases_pool_size", |row| row.pool_size.into()),
            ("databases_reserve_pool", |row| row.reserve_pool_size.into()),
            ("databases_max_connections", |row| row.max_connections.into()),
            ("databases_current_connections", |row| row.current_connections.into()),
            ("databases_paused", |row| u8::from(row.paused).into()),
            ("databases_disabled", |row| u8::from(row.disabled).into()),
        ];
        for (name, column) in columns {
            self.rows(name, rows, &labels, column);
        }
    }

    fn stats(&mut self, rows: &[(String, Stats)]) {
        let name = |(name, _): &(String, Stats)| text::labels(compat::STATS, &[name.as_str()]);
        let labels: Vec<_> = rows.iter().map(name).collect();
        let seconds = |us: u64| us as f64 / 1e6;
        type Column = fn(&Stats) -> u64;
        let counts: [(&str, Column); 9] = [
            ("queries_pooled_total", |stats| stats.queries),
            ("queries_total", |stats| stats.queries),
            ("sql_transactions_pooled_total", |stats| stats.transactions),
            ("server_assignments_total", |stats| stats.server_assignments),
            ("received_bytes_total", |stats| stats.received_bytes),
            ("sent_bytes_total", |stats| stats.sent_bytes),
            ("client_parses_total", |stats| stats.client_parses),
            ("server_parses_total", |stats| stats.server_parses),
            ("binds_total", |stats| stats.binds),
        ];
        for (name, column) in counts {
            let value = |(_, stats): &(String, Stats)| column(stats) as f64;
            self.rows(&format!("stats_totals_{name}"), rows, &labels, value);
        }
        let times: [(&str, Column); 3] = [
            ("queries_duration_seconds_total", |stats| stats.query_us),
            ("server_in_transaction_seconds_total", |stats| stats.transaction_us),
            ("client_wait_seconds_total", |stats| stats.wait_us),
        ];
        for (name, column) in times {
            let value = |(_, stats): &(String, Stats)| seconds(column(stats));
            self.rows(&format!("stats_totals_{name}"), rows, &labels, value);
        }
    }

    fn pools(&mut self, rows: &[PoolRow]) {
        let labels = |row: &PoolRow| text::labels(compat::POOL, &[&row.database, &row.user]);
        let labels: Vec<_> = rows.iter().map(labels).collect();
        type Column = fn(&PoolRow) -> u32;
        let columns: [(&str, Column); 11] = [
            ("client_active_connections", |row| row.clients_active),
            ("client_waiting_connections", |row| row.clients_waiting),
            ("client_active_cancel_connections", |row| row.cancels_active),
            ("client_waiting_cancel_connections", |row| row.cancels_waiting),
            ("server_active_connections", |row| row.servers_active),
            ("server_active_cancel_connections", |row| row.servers_active_cancel),
            ("server_being_canceled_connections", |row| row.servers_being_canceled),
            ("server_idle_connections", |row| row.servers_idle),
            ("server_used_connections", |row| row.servers_used),
            ("server_testing_connections", |row| row.servers_tested),
            ("server_login_connections", |row| row.servers_login),
        ];
        for (name, column) in columns {
            self.rows(&format!("pools_{name}"), rows, &labels, |row| column(row).into());
        }
        // Whole seconds, as SHOW POOLS has them: alerts compare with 0.
        let waited = |row: &PoolRow| row.max_wait.as_secs() as f64;
        self.rows("pools_client_maxwait_seconds", rows, &labels, waited);
    }

    fn clients(&mut self, rows: &[ClientRow]) {
        let groups: Vec<_> = grouped(rows).into_iter().collect();
        let labels: Vec<_> =
            groups.iter().map(|(labels, _)| text::labels(compat::CLIENT, labels)).collect();
        self.rows("client_connections", &groups, &labels, |(_, count)| (*count).into());
    }

    fn process(&mut self, process: &process::Reading) {
        self.one("process_cpu_seconds_total", process.cpu_seconds);
        self.one("process_open_fds", process.open_fds);
        self.one("process_max_fds", process.max_fds);
        self.one("process_resident_memory_bytes", process.resident_bytes);
        self.one("process_virtual_memory_bytes", process.virtual_bytes);
        self.one("process_virtual_memory_max_bytes", process.virtual_max_bytes);
        self.one("process_start_time_seconds", process.start_time);
    }
}

/// How many clients there are by database, user, application name and state; the rarer names in one.
fn grouped(rows: &[ClientRow]) -> BTreeMap<[&str; 4], u32> {
    let mut names: HashMap<&str, u32> = HashMap::new();
    for row in rows {
        *names.entry(&row.connection.application_name).or_default() += 1;
    }
    let mut by_count: Vec<_> = names.into_iter().collect();
    by_count.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    let rare: HashMap<&str, ()> =
        by_count.iter().skip(MOST_NAMES).map(|(name, _)| (*name, ())).collect();
    let mut groups = BTreeMap::new();
    for row in rows {
        let connection = &row.connection;
        let name = connection.application_name.as_str();
        let name = if rare.contains_key(name) { OTHERS } else { name };
        // In pgbouncer's words, as SHOW CLIENTS has them.
        let database = connection.database.as_deref().unwrap_or("(nodb)");
        let user = connection.user.as_deref().unwrap_or("(nouser)");
        *groups.entry([database, user, name, row.state.name()]).or_default() += 1;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::show::connection::testing::example;
    use super::*;
    use crate::report::connections::ClientState;

    fn client(name: &str) -> ClientRow {
        let mut connection = example();
        connection.application_name = name.to_owned();
        ClientRow { state: ClientState::Idle, waits_for: None, connection }
    }

    #[test]
    fn only_so_many_names_that_clients_give_themselves_are_shown() {
        let mut rows: Vec<_> =
            (0..MOST_NAMES + 7).map(|i| client(&format!("once-{i:03}"))).collect();
        rows.extend([client("often"), client("often")]);
        let groups = grouped(&rows);
        assert_eq!(groups.len(), MOST_NAMES + 1);
        assert_eq!(groups.get(&["app", "alice", "often", "idle"]), Some(&2));
        assert_eq!(groups.get(&["app", "alice", OTHERS, "idle"]), Some(&8));
    }
}
