//! How a client has to prove who it is: `auth_type`, or the first line of `auth_hba_file` that fits.

use std::fmt;
use std::net::IpAddr;

use super::client::Exchange;
use crate::config::hba::{Hba, HbaMethod, HbaRule, Origin, Transport};
use crate::config::{AuthType, Config, LdapOptions};
use crate::metrics::AuthFailure;

/// What is known of a client before it proves anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit<'a> {
    /// The user name it gave.
    pub user: &'a str,
    /// The database it asks for.
    pub database: &'a str,
    /// Whether it asks for physical replication, which is of no database.
    pub replication: bool,
    /// Where it comes from; `None`: the Unix-domain socket.
    pub address: Option<IpAddr>,
    /// Whether it uses TLS.
    pub tls: bool,
}

/// How a client has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// By an exchange of messages, or not at all.
    Exchange(Exchange),
    /// By its certificate.
    Certificate {
        /// The ident map.
        map: Option<&'a str>,
    },
    /// By who owns the process at the other end of the Unix-domain socket.
    Peer {
        /// The ident map.
        map: Option<&'a str>,
    },
    /// By a password that the directory confirms.
    Directory(&'a LdapOptions),
    /// By a password that PAM confirms.
    System,
}

/// It need not try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// No line fits.
    NoRule,
    /// The line that fits says `reject`.
    Rejected {
        /// Which.
        line: u32,
    },
    /// The line that fits has a method that cannot be used as it stands.
    Unusable {
        /// Which.
        line: u32,
        /// The method.
        method: &'static str,
    },
    /// `auth_type = ldap` without `auth_ldap_options`.
    NoDirectory,
}

impl TurnedAway {
    /// What the client is told: pgbouncer's texts.
    pub fn client_message(&self) -> &'static str {
        match self {
            Self::NoRule => "no authentication method is found",
            Self::Rejected { .. } => "login rejected",
            Self::Unusable { .. } | Self::NoDirectory => "bouncer config error",
        }
    }

    /// PostgreSQL's code: `invalid_authorization_specification`, or `config_file_error`.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::NoRule | Self::Rejected { .. } => "28000",
            Self::Unusable { .. } | Self::NoDirectory => "F0000",
        }
    }

    /// How it is counted.
    pub fn failure(&self) -> AuthFailure {
        AuthFailure::Hba
    }
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no line of auth_hba_file fits this client"),
            Self::Rejected { line } => write!(f, "rejected by line {line} of auth_hba_file"),
            Self::Unusable { line, method } => write!(
                f,
                "line {line} of auth_hba_file wants {method}, and cannot be used; `pgweir check` says why"
            ),
            Self::NoDirectory => f.write_str("auth_type=ldap requires auth_ldap_options"),
        }
    }
}

impl std::error::Error for TurnedAway {}

/// Decides how this client has to prove who it is.
///
/// # Errors
/// It is turned away before it could; see [`TurnedAway`].
pub fn way<'a>(config: &'a Config, visit: &Visit<'_>) -> Result<Way<'a>, TurnedAway> {
    let exchange = match config.settings.auth_type {
        AuthType::Any => Exchange::Any,
        AuthType::Trust => Exchange::Trust,
        AuthType::Plain => Exchange::Plain,
        AuthType::Md5 => Exchange::Md5,
        AuthType::ScramSha256 => Exchange::ScramSha256,
        AuthType::Cert => return Ok(Way::Certificate { map: None }),
        AuthType::Hba => return by_rule(&config.hba, visit),
        AuthType::Ldap => {
            let options = config.settings.auth_ldap_options.as_deref();
            return options.map(Way::Directory).ok_or(TurnedAway::NoDirectory);
        }
        AuthType::Pam => return Ok(Way::System),
    };
    Ok(Way::Exchange(exchange))
}

fn by_rule<'a>(hba: &'a Hba, visit: &Visit<'_>) -> Result<Way<'a>, TurnedAway> {
    let rule = first_match(hba, visit).ok_or(TurnedAway::NoRule)?;
    let line = rule.line;
    match &rule.method {
        HbaMethod::Reject => Err(TurnedAway::Rejected { line }),
        HbaMethod::Unusable { method, .. } => Err(TurnedAway::Unusable { line, method }),
        HbaMethod::Trust => Ok(Way::Exchange(Exchange::Trust)),
        HbaMethod::Password => Ok(Way::Exchange(Exchange::Plain)),
        HbaMethod::Md5 => Ok(Way::Exchange(Exchange::Md5)),
        HbaMethod::ScramSha256 => Ok(Way::Exchange(Exchange::ScramSha256)),
        HbaMethod::Peer { map } => Ok(Way::Peer { map: map.as_deref() }),
        HbaMethod::Cert { map } => Ok(Way::Certificate { map: map.as_deref() }),
        HbaMethod::Ldap(options) => Ok(Way::Directory(options)),
    }
}

/// The first line that fits.
pub fn first_match<'a>(hba: &'a Hba, visit: &Visit<'_>) -> Option<&'a HbaRule> {
    hba.rules.iter().find(|rule| {
        fits_transport(rule.transport, visit)
            && fits_origin(rule.origin, visit.address)
            && fits_database(rule, visit)
            && (rule.users.all || rule.users.names.contains(visit.user))
    })
}

fn fits_transport(transport: Transport, visit: &Visit<'_>) -> bool {
    match transport {
        Transport::Local => visit.address.is_none(),
        Transport::Host => visit.address.is_some(),
        Transport::HostSsl => visit.address.is_some() && visit.tls,
        Transport::HostNoSsl => visit.address.is_some() && !visit.tls,
    }
}

fn fits_origin(origin: Origin, address: Option<IpAddr>) -> bool {
    // A socket that listens on both families says ::ffff:10.1.2.3 of an IPv4 client.
    let address = address.map(|address| address.to_canonical());
    match (origin, address) {
        (Origin::Any, _) => true,
        (Origin::V4 { network, mask }, Some(IpAddr::V4(address))) => {
            address.to_bits() & mask == network
        }
        (Origin::V6 { network, mask }, Some(IpAddr::V6(address))) => {
            address.to_bits() & mask == network
        }
        _ => false,
    }
}

fn fits_database(rule: &HbaRule, visit: &Visit<'_>) -> bool {
    let databases = &rule.databases;
    if visit.replication {
        return databases.replication;
    }
    databases.all
        || (databases.same_user && visit.database == visit.user)
        || databases.names.contains(visit.database)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::hba;

    fn rules(text: &str) -> Hba {
        let mut none = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        hba::parse(text, Path::new("hba"), Default::default(), &mut none).0
    }

    fn local<'a>(user: &'a str, database: &'a str) -> Visit<'a> {
        Visit { user, database, replication: false, address: None, tls: false }
    }

    fn from<'a>(address: &str, visit: Visit<'a>) -> Visit<'a> {
        Visit { address: Some(address.parse().expect("an address")), ..visit }
    }

    /// The number of the line that decides; 0: none.
    fn line(text: &str, visit: Visit<'_>) -> u32 {
        first_match(&rules(text), &visit).map_or(0, |rule| rule.line)
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "host all ann all reject\nhost all all all trust\nhost all all all md5";
        assert_eq!(line(text, from("10.0.0.1", local("ann", "app"))), 1);
        assert_eq!(line(text, from("10.0.0.1", local("bob", "app"))), 2);
        assert_eq!(line(text, local("bob", "app")), 0);
    }

    #[test]
    fn the_kind_of_connection_must_fit() {
        let text = "local all all md5\nhostssl all all all md5\nhostnossl all all all md5\n";
        let tcp = from("::1", local("ann", "app"));
        assert_eq!(line(text, local("ann", "app")), 1);
        assert_eq!(line(text, Visit { tls: true, ..tcp }), 2);
        assert_eq!(line(text, tcp), 3);
        for tls in [true, false] {
            assert_eq!(line("host all all all md5", Visit { tls, ..tcp }), 1);
        }
    }

    #[test]
    fn databases_fit_by_name_by_the_users_name_or_all() {
        let text = "local app all md5\nlocal sameuser all md5\nlocal \"all\" all md5";
        assert_eq!(line(text, local("ann", "app")), 1);
        assert_eq!(line(text, local("ann", "ann")), 2);
        assert_eq!(line(text, local("ann", "all")), 3);
        assert_eq!(line(text, local("ann", "App")), 0);
    }

    #[test]
    fn physical_replication_fits_only_its_own_word() {
        let text = "local all all md5\nlocal app all md5\nlocal \"replication\" all md5\nlocal replication all md5";
        let visit = Visit { replication: true, ..local("ann", "app") };
        assert_eq!(line(text, visit), 4);
        assert_eq!(line("local replication all md5", local("ann", "replication")), 0);
    }

    #[test]
    fn addresses_fit_their_network_and_family() {
        let text =
            "host all all 10.1.0.0/16 md5\nhost all all fe80::/10 md5\nhost all all ::/0 md5";
        let visit = local("ann", "app");
        assert_eq!(line(text, from("10.1.255.3", visit)), 1);
        assert_eq!(line(text, from("::ffff:10.1.2.3", visit)), 1, "IPv4 by way of an IPv6 socket");
        assert_eq!(line(text, from("10.2.0.1", visit)), 0);
        assert_eq!(line(text, from("febf::1", visit)), 2);
        assert_eq!(line(text, from("fec0::1", visit)), 3);
    }

    #[test]
    fn each_method_leads_its_way_and_who_is_turned_away_is_told_pgbouncers_words() {
        let decide = |method: &str| {
            let text = format!("# first\nlocal all all {method}");
            by_rule(&rules(&text), &local("ann", "app")).map(|way| format!("{way:?}"))
        };
        for (method, way) in [
            ("trust", "Exchange(Trust)"),
            ("password", "Exchange(Plain)"),
            ("md5", "Exchange(Md5)"),
            ("scram-sha-256", "Exchange(ScramSha256)"),
            ("peer", "Peer { map: None }"),
            ("peer map=m", "Peer { map: Some(\"m\") }"),
            ("cert map=m", "Certificate { map: Some(\"m\") }"),
        ] {
            assert_eq!(decide(method).as_deref(), Ok(way));
        }
        for (method, text, code, line) in [
            ("reject", "login rejected", "28000", "line 2"),
            ("ldap ldapserver=x", "bouncer config error", "F0000", "line 2"),
            ("wibble", "no authentication method is found", "28000", "no line"),
        ] {
            let away = decide(method).expect_err("is turned away");
            assert_eq!((away.client_message(), away.sqlstate()), (text, code));
            assert!(away.to_string().contains(line), "{away}");
        }
    }

    prop_compose! {
        fn any_rule()(
            transport in prop::sample::select(vec!["local", "host", "hostssl", "hostnossl"]),
            database in prop::sample::select(vec!["all", "sameuser", "replication", "a", "b,all", "u,\"all\""]),
            user in prop::sample::select(vec!["all", "u", "v", "u,v"]),
            address: u32,
            length in 0..=32_u32,
        ) -> String {
            let origin = match transport {
                "local" => String::new(),
                _ => format!("{}/{length}", Ipv4Addr::from(address)),
            };
            format!("{transport} {database} {user} {origin} md5")
        }
    }

    prop_compose! {
        fn any_visit()(
            user in prop::sample::select(vec!["u", "v", "a"]),
            database in prop::sample::select(vec!["a", "u", "all", "replication"]),
            replication: bool, tls: bool, near: bool,
            address in prop::option::of(any::<u32>()),
        ) -> Visit<'static> {
            // Half of them from where lines are likely to fit.
            let address = address.map(|bits| if near { bits & 0xff } else { bits });
            let address = address.map(|bits| IpAddr::V4(bits.into()));
            Visit { user, database, replication, address, tls }
        }
    }

    proptest! {
        /// A file decides as its lines do one by one: by the first that would fit alone.
        #[test]
        fn a_file_decides_as_its_first_line_that_fits_alone(
            lines in prop::collection::vec(any_rule(), 0..8), visit in any_visit(),
        ) {
            let alone = lines.iter().position(|text| line(text, visit) == 1);
            let expected = alone.map_or(0, |index| index + 1);
            prop_assert_eq!(line(&lines.join("\n"), visit) as usize, expected);
        }

        #[test]
        fn an_ipv4_client_fits_the_same_lines_through_an_ipv6_socket(
            lines in prop::collection::vec(any_rule(), 0..8), visit in any_visit(),
        ) {
            let mapped = visit.address.map(|address| match address {
                IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
            let text = lines.join("\n");
            prop_assert_eq!(line(&text, visit), line(&text, Visit { address: mapped, ..visit }));
        }
    }
}
