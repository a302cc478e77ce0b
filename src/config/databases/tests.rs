use std::time::Duration;

use super::super::parse_text;
use super::*;
use crate::config::ReplicaLag;

fn database(value: &str) -> Database {
    let config = parse_text(&format!("[databases]\napp = {value}")).expect("is well formed");
    Database::clone(&config.databases["app"])
}

fn refusal(value: &str) -> String {
    parse_text(&format!("[databases]\napp = {value}")).expect_err("is refused").to_string()
}

fn hosts(value: &str) -> Vec<String> {
    database(value).hosts.iter().map(HostAddr::to_string).collect()
}

#[test]
fn an_empty_entry_is_the_database_of_its_name_behind_the_unix_socket() {
    let database = database("");
    assert_eq!(database.dbname, "app");
    assert_eq!(database.hosts, [HostAddr::Unix { path: "/tmp".into(), port: 5432 }]);
}

#[test]
fn one_port_serves_all_hosts_or_each_has_its_own() {
    assert_eq!(hosts("host=a,b port=6000"), ["a:6000", "b:6000"]);
    assert_eq!(hosts("host=a,::1,/run port=1,2,3"), ["a:1", "[::1]:2", "/run:3"]);
    assert_eq!(hosts("host=@x,a"), ["@x:5432", "a:5432"]);
    assert!(refusal("host=a,b,c port=1,2").contains("has 3 hosts but 2 ports (parse_text:2)"));
}

#[test]
fn a_port_that_is_none_is_refused_as_pgbouncer_does() {
    for port in ["0", "http", "65536", "-1", "0x10"] {
        assert!(
            refusal(&format!("port={port}")).starts_with(&format!("invalid port: {port}")),
            "{port}"
        );
    }
}

#[test]
fn an_entry_without_host_needs_a_unix_socket_dir() {
    let error =
        parse_text("[databases]\napp=\n[pgbouncer]\nunix_socket_dir=").expect_err("is refused");
    assert!(error.to_string().contains("databases/app has no host (parse_text:2)"), "{error}");
}

#[test]
fn every_key_of_an_entry_finds_its_field() {
    let found = database(
        "host=h dbname=d user=u password='p w' pool_size=7 pool_mode=statement auth_user=au \
         auth_query='select 1, $1' auth_dbname=ad connect_query='select 2' load_balance_hosts=disable \
         target_session_attrs=prefer-standby timezone=UTC datestyle=ISO client_encoding=UTF8 \
         application_name=x timezone=CET",
    );
    assert_eq!(found.hosts, [HostAddr::Tcp { host: "h".to_owned(), port: 5432 }]);
    assert_eq!((found.dbname.as_str(), found.user.as_deref()), ("d", Some("u")));
    assert_eq!(found.password.as_ref().map(SecretText::reveal), Some("p w"));
    assert_eq!((found.pool_size, found.pool_mode), (Some(Some(7)), Some(PoolMode::Statement)));
    assert_eq!(
        (found.auth_user.as_deref(), found.auth_dbname.as_deref()),
        (Some("au"), Some("ad"))
    );
    assert_eq!(found.auth_query.as_deref(), Some("select 1, $1"));
    assert_eq!(found.connect_query.as_deref(), Some("select 2"));
    assert_eq!(found.load_balance_hosts, LoadBalanceHosts::Disable);
    assert_eq!(found.target_session_attrs, Some(TargetSessionAttrs::PreferStandby));
    let parameters = [
        ("datestyle", "ISO"),
        ("client_encoding", "UTF8"),
        ("application_name", "x"),
        ("timezone", "CET"),
    ];
    assert_eq!(found.server_parameters, parameters.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn how_reads_are_spread_is_said_per_entry() {
    let found = database(
        "host=a,b route_reads=auto causal_reads=session replica_fallback=error max_replica_lag=16MB \
         weight=1,3 zone=x,y",
    );
    assert_eq!(found.route_reads, Some(RouteReads::Auto));
    assert_eq!(found.causal_reads, Some(CausalReads::Session));
    assert_eq!(found.replica_fallback, Some(ReplicaFallback::Error));
    assert_eq!(found.max_replica_lag, Some(Some(ReplicaLag::Bytes(16 << 20))));
    assert_eq!((found.weights, found.zones), (vec![1, 3], vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(database("max_replica_lag=0").max_replica_lag, Some(None));
    assert!(refusal("host=a,b weight=1").contains("as many values as host= has names, which is 2"));
    assert!(refusal("host=a weight=x").contains("a whole number from 0 to 1000 for each host"));
    assert!(refusal("max_replica_lag=1TB").contains("WAL such as 16MB"));
}

#[test]
fn a_pool_size_of_zero_is_no_limit_and_a_negative_one_inherits() {
    assert_eq!(database("pool_size=0").pool_size, Some(None));
    assert_eq!(database("pool_size=-1").pool_size, None);
    assert!(
        refusal("pool_size=many").contains("\"many\" for parameter pool_size of databases/app")
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let error = refusal("hots=a");
    assert!(
        error
            .starts_with("unrecognized connection parameter: hots in databases/app (parse_text:2)"),
        "{error}"
    );
    assert!(error.ends_with("did you mean \"host\"?"), "{error}");
}

#[test]
fn the_consoles_names_are_reserved() {
    for name in RESERVED {
        let error = parse_text(&format!("[databases]\n{name} = host=a")).expect_err("is refused");
        assert!(error.to_string().starts_with(&format!("database name \"{name}\" is reserved")));
        // As in pgbouncer: who needs it is refused at login.
        let config = parse_text(&format!("[databases]\napp = auth_dbname={name}"));
        let notes = config.expect("is well formed").notes;
        assert!(notes.len() == 1 && notes[0].to_string().contains("is the console"), "{notes:?}");
    }
}

#[test]
fn a_followed_entry_needs_somebody_to_watch_its_hosts_as() {
    let entry = "[databases]\napp = host=a,b target_session_attrs=read-write";
    let error = parse_text(entry).expect_err("is refused").to_string();
    assert!(error.contains("add topology_user = NAME to [pgbouncer], or user=NAME"), "{error}");
    for login in
        [" user=u", " auth_user=u", "\n[pgbouncer]\nauth_user=u", "\n[pgbouncer]\ntopology_user=u"]
    {
        assert!(parse_text(&format!("{entry}{login}")).is_ok(), "{login}");
    }
}

#[test]
fn limits_of_an_entry_inherit_when_zero_or_negative_and_counts_only_when_negative() {
    let own = database(
        "min_pool_size=0 reserve_pool=3 max_db_connections=4 max_db_client_connections=5 \
         server_lifetime=60",
    );
    assert_eq!((own.min_pool_size, own.reserve_pool_size), (Some(0), Some(3)));
    assert_eq!((own.max_db_connections, own.max_db_client_connections), (Some(4), Some(5)));
    assert_eq!(own.server_lifetime, Some(Duration::from_secs(60)));
    let waits = |value: &str| database(&format!("query_wait_timeout={value}")).query_wait_timeout;
    assert_eq!(waits("7"), Some(Some(Duration::from_secs(7))));
    assert_eq!((waits("0"), waits("-1")), (Some(None), None));
    for nothing in ["0", "-1"] {
        let heir = database(&format!(
            "max_db_connections={nothing} max_db_client_connections={nothing} \
             server_lifetime={nothing} min_pool_size=-1 reserve_pool_size=-1"
        ));
        assert_eq!(heir, database(""));
    }
    assert!(refusal("server_lifetime=0.5").contains("allowed: a whole number"));
}

#[test]
fn a_name_has_at_most_sixty_three_bytes() {
    let name = "n".repeat(63);
    assert!(parse_text(&format!("[databases]\n{name} =")).is_ok());
    assert!(parse_text(&format!("[databases]\n{name}n =")).is_err());
}

#[test]
fn the_fallback_takes_the_clients_name_unless_it_has_a_dbname() {
    let config = parse_text("[databases]\n* = host=a").expect("is well formed");
    let found = config.database("shop").expect("falls back");
    assert_eq!((found.name.as_str(), found.dbname.as_str()), ("shop", "shop"));
    let config = parse_text("[databases]\n* = host=a dbname=all").expect("is well formed");
    assert_eq!(config.database("shop").expect("falls back").dbname, "all");
    assert!(config.databases.is_empty());
}

#[test]
fn a_syntax_error_names_the_entry_and_not_the_password() {
    let error = refusal("password=a secret");
    assert!(
        error.starts_with("syntax error in connection string of databases/app (parse_text:2)"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_host_that_is_named_twice_is_one_where_roles_are_followed() {
    let found =
        database("host=a,b,a,c weight=1,2,3,4 zone=u,v,w,x target_session_attrs=any user=u");
    let hosts: Vec<_> = found.hosts.iter().map(HostAddr::name).collect();
    assert_eq!((hosts.join(","), found.weights), ("a,b,c".to_owned(), vec![1, 2, 4]));
    assert_eq!(found.zones, ["u", "v", "x"]);
    assert_eq!(database("host=a,a").hosts.len(), 2, "pgbouncer's list stays as it is");
}
