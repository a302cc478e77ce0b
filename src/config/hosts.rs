//! The hosts that entries really have: those of the file, or those that were found in their place, and all addresses of
//! names that have several.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::model::{Config, Database, FoundHost, HostAddr};

/// What is known of hosts beyond the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHosts {
    /// By the entry's name (`*` for the fallback): the hosts that its cluster manager names, at least one.
    pub found: BTreeMap<String, Vec<FoundHost>>,
    /// The addresses of names.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl Config {
    /// The same with what is known of hosts. `self` is to be as the file has it.
    pub fn with_hosts(&self, known: &KnownHosts) -> Self {
        let apply = |name: &String, database: &Arc<Database>| match database.target_session_attrs {
            Some(_) => Arc::new(known.apply(name, database)),
            None => database.clone(),
        };
        let databases = self.databases.iter();
        let databases = databases.map(|(name, database)| (name.clone(), apply(name, database)));
        let fallback = self.fallback.as_ref().map(|database| apply(&database.name, database));
        Self { databases: databases.collect(), fallback, ..self.clone() }
    }
}

/// A host with what the entry says of it.
struct Placed {
    addr: HostAddr,
    weight: u32,
    zone: String,
}

impl KnownHosts {
    fn apply(&self, name: &str, database: &Database) -> Database {
        let named = database.hosts.iter().enumerate().map(|(index, addr)| Placed {
            addr: addr.clone(),
            weight: database.weights.get(index).copied().unwrap_or(1),
            zone: database.zones.get(index).cloned().unwrap_or_default(),
        });
        let mut hosts: Vec<Placed> = named.collect();
        if let Some(found) = self.found.get(name).filter(|_| database.discover.is_some()) {
            let place = |found: &FoundHost| {
                let named = hosts.iter().find(|host| host.addr == found.addr);
                let weight = named.map_or(1, |host| host.weight);
                Placed {
                    addr: found.addr.clone(),
                    weight: if found.reads { weight } else { 0 },
                    zone: named.map(|host| host.zone.clone()).unwrap_or_default(),
                }
            };
            hosts = found.iter().map(place).collect();
        }
        let hosts: Vec<Placed> = hosts.into_iter().flat_map(|host| self.spread(host)).collect();
        let mut database = Database {
            weights: hosts.iter().map(|host| host.weight).collect(),
            zones: hosts.iter().map(|host| host.zone.clone()).collect(),
            hosts: hosts.into_iter().map(|host| host.addr).collect(),
            ..database.clone()
        };
        database.drop_doubles();
        database
    }

    /// A host for each address, if its name has several.
    fn spread(&self, host: Placed) -> Vec<Placed> {
        let HostAddr::Tcp { host: name, port } = &host.addr else { return vec![host] };
        match self.addresses.get(name) {
            Some(addresses) if addresses.len() > 1 => {
                let of = |ip: &IpAddr| Placed {
                    addr: HostAddr::Resolved { name: name.clone(), ip: *ip, port: *port },
                    weight: host.weight,
                    zone: host.zone.clone(),
                };
                addresses.iter().map(of).collect()
            }
            _ => vec![host],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_text;
    use super::*;

    const LOGIN: &str = "[pgbouncer]\ntopology_user=u\n[databases]\n";

    fn shown(database: &Database) -> Vec<String> {
        let zones = database.zones.iter().map(String::as_str).chain(std::iter::repeat(""));
        let hosts = database.hosts.iter().zip(&database.weights).zip(zones);
        hosts.map(|((host, weight), zone)| format!("{host} {weight} {zone}")).collect()
    }

    fn found(names: &[(&str, bool)]) -> Vec<FoundHost> {
        let host = |(name, reads): &(&str, bool)| FoundHost {
            addr: HostAddr::new(name, 5432),
            reads: *reads,
        };
        names.iter().map(host).collect()
    }

    #[test]
    fn hosts_that_were_found_take_the_place_of_the_entrys_own_and_keep_what_it_says_of_them() {
        let text = "a = host=x,y weight=3,4 zone=u,v target_session_attrs=any discover=patroni\n\
                    b = host=x,y target_session_attrs=any\nc = host=x,y";
        let config = parse_text(&format!("{LOGIN}{text}")).unwrap();
        let hosts = found(&[("y", true), ("z", true), ("w", false)]);
        let of = |name: &str| (name.to_owned(), hosts.clone());
        let known = KnownHosts { found: ["a", "b", "c"].map(of).into(), ..KnownHosts::default() };
        let config = config.with_hosts(&known);
        assert_eq!(shown(&config.databases["a"]), ["y:5432 4 v", "z:5432 1 ", "w:5432 0 "]);
        for name in ["b", "c"] {
            let hosts: Vec<_> = config.databases[name].hosts.iter().map(HostAddr::name).collect();
            assert_eq!(hosts, ["x", "y"], "{name} discovers nothing");
        }
    }

    #[test]
    fn a_name_with_several_addresses_is_several_hosts_and_with_one_it_stays_a_name() {
        let text = "a = host=x,y weight=3,4 target_session_attrs=any\nb = host=x\n* = host=x target_session_attrs=any";
        let config = parse_text(&format!("{LOGIN}{text}")).unwrap();
        let ips =
            |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let addresses =
            [("x".to_owned(), ips(&["10.0.0.1", "fe80::1"])), ("y".to_owned(), ips(&["10.0.0.3"]))];
        let known = KnownHosts { addresses: addresses.into(), ..KnownHosts::default() };
        let config = config.with_hosts(&known);
        let expected = ["x(10.0.0.1):5432 3 ", "x(fe80::1):5432 3 ", "y:5432 4 "];
        assert_eq!(shown(&config.databases["a"]), expected);
        assert_eq!(config.databases["b"].hosts, [HostAddr::new("x", 5432)], "as pgbouncer");
        assert_eq!(config.fallback.map(|database| database.hosts.len()), Some(2));
    }
}
