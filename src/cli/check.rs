//! `pgweir check FILE`: what is wrong with the files, and with the hosts of the entries that follow roles.
//!
//! One line for each finding, on standard output what is as it should be, on standard error what is not. The hosts are
//! asked once, as the monitors would ask them.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::admin::{control, discovery};
use crate::config::{Config, KnownHosts, TargetSessionAttrs};
use crate::metrics::Metrics;
use crate::session::parameters::Tracked;
use crate::topology::{self, HostView, Role, Snapshot};
use crate::worker::shared::Live;

/// Does it.
pub(super) fn check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("pgweir: {error}");
            return ExitCode::FAILURE;
        }
    };
    for note in &config.notes {
        println!("{note}");
    }
    let live = match control::with_tls(config) {
        Ok(live) => live,
        Err(error) => {
            eprintln!("pgweir: {error}");
            return ExitCode::FAILURE;
        }
    };
    let follows = live.config.databases.values().chain(&live.config.fallback);
    let follows = follows.filter(|database| database.target_session_attrs.is_some()).count();
    if follows > 0 && control::state_file(&live.config).is_none() {
        println!(
            "topology_state_file: none, and no pidfile to put it beside; after a restart an old primary may be taken for the \
             primary until another one is seen"
        );
    }
    let well = follows == 0 || hosts(&live);
    if well {
        let entries = live.config.databases.len() + usize::from(live.config.fallback.is_some());
        println!("{}: ok, {entries} database entries", path.display());
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks the hosts; whether all is well with them.
fn hosts(live: &Live) -> bool {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pgweir: {error}");
            return false;
        }
    };
    let settings = &live.config.settings;
    let tracked = Tracked::new(&settings.track_extra_parameters);
    let mut known = KnownHosts::default();
    let mut well = true;
    for source in discovery::sources(&live.config, live, &tracked) {
        let (entries, by) = (source.entries.join(", "), source.discover.name());
        let asked = topology::discover::ask_once(&source, settings.topology_timeout);
        match runtime.block_on(asked) {
            Ok(hosts) => {
                let names: Vec<_> = hosts.iter().map(|host| host.addr.to_string()).collect();
                println!("{entries}: discover={by} names {}", names.join(", "));
                known.found.extend(source.entries.into_iter().map(|entry| (entry, hosts.clone())));
            }
            Err(why) => {
                eprintln!("{entries}: discover={by}: {why}");
                well = false;
            }
        }
    }
    let live = &Live { config: Arc::new(live.config.with_hosts(&known)), ..live.clone() };
    let pace = control::pace(settings);
    let entries = control::entries(live, &tracked);
    let looked = topology::look_once(entries, pace, Metrics::new(super::VERSION));
    for (database, attrs, snapshot) in runtime.block_on(looked) {
        for host in &snapshot.hosts {
            well &= tell(&database, host);
        }
        if let Some(problem) = missing(attrs, &snapshot) {
            eprintln!("{database}: {problem}");
            well = false;
        }
    }
    well
}

/// Says what a host is; whether it is as it should be.
fn tell(database: &str, host: &HostView) -> bool {
    let in_order = host.up && host.role != Role::Deposed && host.role != Role::Unknown;
    if !in_order {
        let why = host.last_error.as_deref().unwrap_or("it is not known what it is");
        // Most errors begin with the host's name.
        let name = host.addr.to_string();
        let named = if why.contains(&name) { String::new() } else { format!("{name}: ") };
        eprintln!("{database}: {named}{why}");
        return false;
    }
    let timeline = match host.timeline {
        Some(timeline) => format!("timeline {timeline}"),
        None => {
            "timeline not known (GRANT pg_monitor TO the role that topology_user names)".to_owned()
        }
    };
    println!("{database}: {} is {}, {timeline}", host.addr, host.role.name());
    true
}

/// What is wrong with an entry although its hosts answer.
fn missing(attrs: TargetSessionAttrs, snapshot: &Arc<Snapshot>) -> Option<&'static str> {
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    let up = snapshot.hosts.iter().any(|host| host.up);
    match attrs {
        _ if !up => Some("no host can be used"),
        Primary | ReadWrite if snapshot.split_brain => {
            Some("several hosts say that they are the primary on one timeline; see split_brain")
        }
        Primary | ReadWrite if snapshot.primary.is_none() => {
            Some("no primary among its hosts: is the one that is promoted named in host=?")
        }
        Standby | ReadOnly if snapshot.replicas().next().is_none() => {
            Some("no standby among its hosts that is fit for reads")
        }
        Any | PreferStandby | Primary | ReadWrite | Standby | ReadOnly => None,
    }
}
