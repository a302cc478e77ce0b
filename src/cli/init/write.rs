//! The text of a configuration for hosts that were looked at.

use std::fmt::Write;
use std::path::Path;

use crate::config::HostAddr;

/// A host that answered.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) host: String,
    pub(super) is_replica: bool,
    pub(super) version: String,
    pub(super) tls: bool,
}

/// All that the text is made of.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) hosts: &'a [HostAddr],
    pub(super) found: Vec<Found>,
    /// Host and why.
    pub(super) refused: &'a [(String, String)],
    pub(super) databases: &'a [String],
    pub(super) user: &'a str,
    pub(super) discover: Option<&'a str>,
    /// Connections that a host has for users, the least of all.
    pub(super) room: u32,
    /// Passwords are stored for SCRAM.
    pub(super) scram: bool,
    /// The user sees all that the monitors want to see.
    pub(super) may_monitor: bool,
    pub(super) folder: &'a Path,
    pub(super) users: &'a Path,
}

/// Connections that are left to others: monitors, migrations, an administrator's psql.
const SPARE: u32 = 5;
/// pgbouncer's default; more would not make a server faster.
const POOL_SIZE: u32 = 20;

impl Plan<'_> {
    /// Roles are followed where there are several hosts, or may be.
    fn follows(&self) -> bool {
        self.hosts.len() > 1 || self.discover.is_some()
    }

    /// Entries that have a pool at each host.
    fn entries(&self) -> usize {
        self.databases.len() * if self.follows() { 2 } else { 1 }
    }

    fn pool_size(&self) -> u32 {
        let entries = u32::try_from(self.entries()).unwrap_or(u32::MAX).max(1);
        (self.room.saturating_sub(SPARE) / entries).clamp(1, POOL_SIZE)
    }
}

/// The ini file.
pub(super) fn ini(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    // Into a String: nothing can go wrong.
    let _ = write_ini(&mut text, plan);
    text
}

fn write_ini(text: &mut String, plan: &Plan<'_>) -> std::fmt::Result {
    writeln!(text, "; Written by pgweir init, for what it found at")?;
    for Found { host, is_replica, version, tls } in &plan.found {
        let role = if *is_replica { "replica" } else { "primary" };
        let tls = if *tls { "with TLS" } else { "without TLS" };
        writeln!(text, ";   {host}: {role}, PostgreSQL {version}, {tls}")?;
    }
    for (host, why) in plan.refused {
        writeln!(text, ";   {host}: {}", why.replace(['\n', '\r'], " "))?;
    }
    writeln!(
        text,
        "; pgbouncer's dialect; docs/settings.md has every setting. pgweir check tells what is wrong with it.\n"
    )?;

    writeln!(text, "[databases]")?;
    if plan.follows() {
        writeln!(
            text,
            "; The primary is found among the hosts, and followed when another one is promoted."
        )?;
        writeln!(
            text,
            "; Transactions that say READ ONLY go to replicas; route_reads=auto sends single reads there, too."
        )?;
    }
    for name in plan.databases {
        write_entries(text, plan, name)?;
    }

    writeln!(text, "\n[pgbouncer]\n; Where clients connect. `*` is every address.")?;
    writeln!(text, "listen_addr = 127.0.0.1\nlisten_port = 6432\n")?;
    writeln!(text, "; How clients prove who they are, and the file with their names and secrets.")?;
    let auth_type = if plan.scram { "scram-sha-256" } else { "md5" };
    writeln!(text, "auth_type = {auth_type}\nauth_file = {}", plan.users.display())?;
    writeln!(
        text,
        "; Users that the file lacks can be looked up on the server (docs/check.md, auth_query):"
    )?;
    writeln!(text, ";auth_user = pgweir_auth\n")?;
    writeln!(
        text,
        "; A server goes back to its pool at the end of each transaction (or session, as pgbouncer's default is)."
    )?;
    writeln!(text, "pool_mode = transaction")?;
    writeln!(
        text,
        "; Server connections for each user of an entry, at each host. The smallest host has room for {}.",
        plan.room
    )?;
    writeln!(text, "default_pool_size = {}\nmax_client_conn = 1000\n", plan.pool_size())?;
    let all_tls = plan.found.iter().all(|found| found.tls);
    writeln!(
        text,
        "; TLS with the servers. verify-full needs server_tls_ca_file, and names in the certificates."
    )?;
    writeln!(text, "server_tls_sslmode = {}", if all_tls { "require" } else { "prefer" })?;
    writeln!(
        text,
        "; TLS with clients:\n;client_tls_sslmode = require\n;client_tls_key_file = {0}/server.key\n;client_tls_cert_file = {0}/server.crt\n",
        plan.folder.display()
    )?;
    if plan.follows() {
        writeln!(text, "; As whom the hosts are watched.")?;
        if !plan.may_monitor {
            writeln!(text, "; It should have: GRANT pg_monitor TO {}", plan.user)?;
        }
        writeln!(text, "topology_user = {}", plan.user)?;
        writeln!(
            text,
            "; How long clients wait for a new primary, and how far behind a replica may be."
        )?;
        writeln!(text, ";failover_timeout = 30\n;max_replica_lag = 10\n")?;
    }
    writeln!(text, "; Who may do everything on the console (database pgweir or pgbouncer).")?;
    writeln!(text, "admin_users = {}\n", plan.user)?;
    writeln!(text, "; Beside it is kept what must outlive a restart: which primary was the last.")?;
    writeln!(text, "pidfile = {}/pgweir.pid", plan.folder.display())?;
    writeln!(text, ";logfile = {}/pgweir.log", plan.folder.display())?;
    writeln!(
        text,
        "; /metrics for Prometheus, and the probes /healthz and /ready.\nhttp_listen = 127.0.0.1:9127"
    )
}

fn write_entries(text: &mut String, plan: &Plan<'_>, name: &str) -> std::fmt::Result {
    let Some(key) = quoted_key(name) else {
        return writeln!(
            text,
            "; {name:?} cannot be written as a key here; give it another name, with dbname="
        );
    };
    let hosts: Vec<String> = plan.hosts.iter().map(HostAddr::name).collect();
    let ports: Vec<String> = plan.hosts.iter().map(|host| host.port().to_string()).collect();
    let same = ports.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    let ports = if same { ports.first().cloned().unwrap_or_default() } else { ports.join(",") };
    let hosts = format!("host={} port={ports} dbname={}", hosts.join(","), quoted_value(name));
    if !plan.follows() {
        return writeln!(text, "{key} = {hosts}");
    }
    let discover = plan.discover.map(|by| format!(" discover={by}")).unwrap_or_default();
    writeln!(text, "{key} = {hosts} target_session_attrs=read-write{discover}")?;
    // A name of its own, unless there is a database of that name.
    let reads = format!("{name}_read");
    match quoted_key(&reads).filter(|_| !plan.databases.contains(&reads) && reads.len() <= MAX_NAME)
    {
        Some(key) => writeln!(
            text,
            "; The same for clients that only read:\n{key} = {hosts} target_session_attrs=prefer-standby{discover}"
        ),
        None => Ok(()),
    }
}

/// PostgreSQL's own limit, in bytes.
const MAX_NAME: usize = 63;

/// A key as the dialect has it; `None`: it cannot have it.
fn quoted_key(name: &str) -> Option<String> {
    if name.contains(['\'', '\n', '\r']) || ["pgbouncer", "pgweir", "*"].contains(&name) {
        return None;
    }
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    Some(if name.chars().all(is_bare) { name.to_owned() } else { format!("'{name}'") })
}

fn quoted_value(value: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_whitespace() && c != '\'';
    match !value.is_empty() && value.chars().all(is_plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "''")),
    }
}

/// The `auth_file`.
pub(super) fn userlist(plan: &Plan<'_>, password: Option<&str>) -> String {
    let user = plan.user.replace('"', "\"\"");
    let line = match password {
        Some(password) => format!("\"{user}\" \"{}\"", password.replace('"', "\"\"")),
        None => format!(";\"{user}\" \"PASSWORD\""),
    };
    format!(
        "; Users who may log in: \"name\" \"secret\". A secret is a plain password, or what PostgreSQL keeps:\n\
         ; SELECT rolname, rolpassword FROM pg_authid. A quote within a word is doubled.\n\
         ; A plain password can log in to any server. Keep this file readable by pgweir alone (0600).\n\
         {line}\n;\"app\" \"PASSWORD\"\n"
    )
}

/// What was done, and what is to be done next.
pub(super) fn told(plan: &Plan<'_>, output: &Path, kept: bool, has_password: bool) -> String {
    let mut lines = Vec::new();
    for Found { host, is_replica, version, .. } in &plan.found {
        let role = if *is_replica { "replica" } else { "primary" };
        lines.push(format!("{host}: {role}, PostgreSQL {version}"));
    }
    for (host, why) in plan.refused {
        lines.push(format!("{host}: {why}"));
    }
    lines.push(format!("wrote {}", output.display()));
    let users = plan.users.display();
    match (kept, has_password) {
        (true, _) => lines.push(format!("{users} is there already and stays as it is")),
        (false, true) => {
            lines.push(format!("wrote {users} (mode 0600) with the user {}", plan.user))
        }
        (false, false) => lines.push(format!("wrote {users} (mode 0600); put the users into it")),
    }
    if plan.found.iter().all(|found| found.is_replica) {
        lines.push("there is no primary among these hosts: add it to host=".to_owned());
    }
    if plan.follows() && !plan.may_monitor {
        lines.push(format!("on the server: GRANT pg_monitor TO {}", plan.user));
    }
    lines.push(format!("next: pgweir check {0}; pgweir {0}\n", output.display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_text;

    #[test]
    fn odd_names_can_be_read_back() {
        let hosts = [HostAddr::new("pg1", 5432), HostAddr::new("pg2", 5433)];
        let databases =
            ["app", "odd name", "it's", "pgweir", "app_read", "naïve"].map(str::to_owned);
        let mut plan = Plan {
            hosts: &hosts,
            found: Vec::new(),
            refused: &[("pg2:5433".to_owned(), "two\nlines".to_owned())],
            databases: &databases,
            user: "watcher",
            discover: Some("patroni"),
            room: 97,
            scram: true,
            may_monitor: false,
            folder: Path::new("/etc/pgweir"),
            users: Path::new("/etc/pgweir/userlist.txt"),
        };
        let text = ini(&plan);
        let config = parse_text(&text).unwrap();
        let names: Vec<&str> = config.databases.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "app",
                "app_read",
                "app_read_read",
                "naïve",
                "naïve_read",
                "odd name",
                "odd name_read"
            ]
        );
        assert_eq!(config.databases["odd name"].dbname, "odd name");
        assert_eq!(config.databases["app"].hosts, hosts);
        assert_eq!(config.settings.default_pool_size, Some(7));
        assert!(text.contains("GRANT pg_monitor TO watcher"));
        assert_eq!(config.notes, []);
        plan.hosts = &hosts[..1];
        plan.discover = None;
        let alone = parse_text(&ini(&plan)).unwrap();
        assert_eq!(alone.databases["app"].target_session_attrs, None);
    }
}
