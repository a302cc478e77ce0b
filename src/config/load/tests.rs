use proptest::prelude::*;

use super::*;
use crate::config::model::SslMode;

fn refusal(text: &str) -> String {
    parse_text(text).expect_err("is refused").to_string()
}

fn settings(text: &str) -> Settings {
    parse_text(&format!("[pgbouncer]\n{text}")).expect("is well formed").settings
}

fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = parse_text("").expect("is well formed");
    assert_eq!(config.settings, Settings::default());
    assert!(config.databases.is_empty() && config.fallback.is_none() && config.notes.is_empty());
}

#[test]
fn a_later_line_for_a_key_wins() {
    assert_eq!(settings("listen_port=1\nlisten_port=0x10").listen_port, 16);
    let config = parse_text("[databases]\na=host=x\n[pgbouncer]\n[databases]\na=host=y").unwrap();
    assert_eq!(config.databases["a"].hosts[0].name(), "y");
}

#[test]
fn an_unknown_key_is_refused_with_place_and_nearest_name() {
    assert_eq!(
        refusal("[pgbouncer]\n\nlisten_prot = 1"),
        "unknown parameter: pgbouncer/listen_prot in configuration (parse_text:3); did you mean \"listen_port\"?"
    );
    assert!(refusal("[pgbouncer]\nwibble=1").ends_with("(parse_text:2)"));
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let users = write(&directory, "users", "\"ann\" \"x\"\nbob\n\"carl\"\n");
    let text = format!(
        "before = 1\n[pgbouncer]\npol_mode = x\nnonsense\nlisten_port = http\nauth_file = {}\n\
         auth_type = cert\n[database]\nswallowed = 1\n[databases]\n\
         a = host=x pool_size=many pool_mode=txn\nb = host=x,y port=1,2,3\npgbouncer = host=x\n\
         [users]\nann = pool_mode=x nobody=1\n[peers]\n0 = host=a\n%include nowhere.ini\n",
        users.display()
    );
    let examined = Config::examine(&write(&directory, "main.ini", &text));
    let told: Vec<String> = examined.problems.iter().map(ConfigError::to_string).collect();
    let words = [
        "before",
        "syntax error",
        "[database]",
        "nowhere.ini",
        "pol_mode",
        "listen_port",
        "auth_type=cert",
        "users:2",
        "users:3",
        "pool_size",
        "pool_mode of databases/a",
        "databases/b",
        "reserved",
        "pool_mode of users/ann",
        "nobody",
        "peer_id",
    ];
    assert_eq!(told.len(), words.len(), "{told:#?}");
    for (told, words) in told.iter().zip(words) {
        assert!(told.contains(words), "{words:?} is not in {told:?}");
    }
    assert_eq!(examined.config.userlist.users.len(), 1);
}

#[test]
fn a_bad_value_is_refused_with_place_and_what_is_allowed() {
    assert_eq!(
        refusal("[pgbouncer]\npool_mode = txn"),
        "invalid value \"txn\" for parameter pool_mode in configuration (parse_text:2); allowed: session, \
         transaction, statement"
    );
    assert!(
        refusal("[pgbouncer]\nquery_timeout=soon").contains("(parse_text:2); allowed: seconds")
    );
}

#[test]
fn a_setting_without_effect_is_noted_where_it_differs_from_the_default() {
    let text = "[pgbouncer]\ndns_zone_check_period = 60\npkt_buf = 0x1000\nsbuf_loopcnt=9\nsbuf_loopcnt=5\n\
                dns_max_ttl=15.0\njob_name=x";
    let config = parse_text(text).expect("is well formed");
    let notes: Vec<String> = config.notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "parse_text:2: dns_zone_check_period has no effect: names are looked up anew each dns_max_ttl, \
             whatever the zone's serial number",
            "parse_text:7: job_name has no effect: Windows only"
        ]
    );
}

#[test]
fn tls_for_clients_needs_key_and_certificate() {
    let error = refusal("[pgbouncer]\nclient_tls_sslmode=require\nclient_tls_key_file=k");
    assert_eq!(
        error,
        "To allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set."
    );
    let tls = settings("client_tls_sslmode=require\nclient_tls_key_file=k\nclient_tls_cert_file=c")
        .client_tls;
    assert_eq!(tls.mode, SslMode::Require);
}

#[test]
fn the_console_cannot_be_the_auth_dbname() {
    assert_eq!(
        refusal("[pgbouncer]\nauth_dbname=pgbouncer"),
        "cannot use the reserved \"pgbouncer\" database as an auth_dbname (parse_text:2)"
    );
}

#[test]
fn text_alone_can_include_nothing() {
    assert!(
        refusal("%include /etc/passwd")
            .starts_with("cannot read /etc/passwd (named at parse_text:1)")
    );
}

#[test]
fn load_reads_the_ini_file_its_includes_and_the_auth_file() {
    let directory = tempfile::tempdir().unwrap();
    let users = write(&directory, "users.txt", "\"ann\" \"pw\"\n");
    let more = write(&directory, "more.ini", "[databases]\napp = host=a\n");
    let main =
        format!("[pgbouncer]\nauth_file = {}\n%include {}\n", users.display(), more.display());
    let path = write(&directory, "main.ini", &main);
    let config = Config::load(&path).expect("is well formed");
    assert_eq!(config.directory(), directory.path());
    assert!(config.databases.contains_key("app"));
    assert_eq!(config.userlist.users["ann"].reveal(), "pw");
    assert!(!format!("{config:?}").contains("\"pw\""));
}

#[test]
fn a_missing_or_broken_auth_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users.txt");
    let path =
        write(&directory, "main.ini", &format!("[pgbouncer]\nauth_file={}", users.display()));
    let error = Config::load(&path).expect_err("is missing").to_string();
    assert!(error.contains(&format!("users.txt (named at {}:2)", path.display())), "{error}");
    std::fs::write(&users, "oops").unwrap();
    assert!(
        Config::load(&path).expect_err("is broken").to_string().starts_with("broken auth file")
    );
}

#[test]
fn hba_and_ident_files_are_read_if_auth_type_wants_them_and_set_reads_them_too() {
    let directory = tempfile::tempdir().unwrap();
    let hba = write(&directory, "hba", "local all all peer map=m\nwibble\nhost all all all cert");
    let ident = write(&directory, "ident", "m root ann\nm root");
    write(&directory, "users", "ann");
    let text = format!(
        "[pgbouncer]\nauth_hba_file={}\nauth_ident_file={}\nauth_type=",
        hba.display(),
        ident.display()
    );
    let load = |auth_type: &str| {
        Config::load(&write(&directory, "main.ini", &format!("{text}{auth_type}"))).unwrap()
    };
    let config = load("hba");
    assert_eq!(config.hba.rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [1, 3]);
    assert!(config.hba.maps.allows("m", "root", "ann"));
    let notes: Vec<_> = config.notes.iter().map(|note| (note.file.clone(), note.line)).collect();
    assert_eq!(notes, [(hba.clone(), 2), (hba.clone(), 3), (ident, 2)]);
    assert!(config.notes[1].sentence.contains("cert needs client_tls_ca_file"));

    let without = load("md5");
    assert!(without.hba.rules.is_empty() && without.notes.is_empty());
    let with = without.set("auth_type", "hba").expect("both files are named");
    assert_eq!((with.hba.rules.len(), with.notes.len()), (2, 3));
    let without = with.set("auth_type", "md5").expect("is allowed");
    assert!(without.hba.rules.is_empty() && without.notes.is_empty());
    let config = load("hba");
    std::fs::remove_file(&hba).unwrap();
    let error = config.reload().expect_err("a file is gone").to_string();
    assert!(error.contains(&format!("hba (named at {}:2)", config.path.display())), "{error}");
}

#[test]
fn cert_and_hba_need_their_other_settings() {
    let tls = "client_tls_key_file=k\nclient_tls_cert_file=c\nauth_type=cert\nclient_tls_sslmode=";
    for (text, missing) in [
        ("auth_type=cert".to_owned(), "auth_type=cert requires client_tls_sslmode=verify-full"),
        (format!("{tls}require"), "auth_type=cert requires client_tls_sslmode=verify-full"),
        (format!("{tls}verify-full"), "auth_type=cert requires client_tls_ca_file"),
        ("auth_type=hba".to_owned(), "auth_type=hba requires auth_hba_file"),
        ("auth_type=ldap".to_owned(), "auth_type=ldap requires auth_ldap_options"),
    ] {
        assert_eq!(refusal(&format!("[pgbouncer]\n{text}")), missing);
    }
    assert!(parse_text(&format!("[pgbouncer]\n{tls}verify-full\nclient_tls_ca_file=a")).is_ok());
    let error = parse_text("").unwrap().set("auth_type", "hba").expect_err("needs a file");
    assert_eq!(error.to_string(), "auth_type=hba requires auth_hba_file");
}

#[test]
fn a_message_about_ldap_options_has_no_password_in_it() {
    let options = "ldapserver=h ldapprefix=a ldapbinddn=b ldapbindpasswd=hush";
    let said = refusal(&format!("[pgbouncer]\nauth_ldap_options={options}"));
    assert!(said.contains("(parse_text:2)") && said.contains("ldapprefix and ldapbinddn together"));
    let config = parse_text("").unwrap();
    let refused = config.set("auth_ldap_options", options).expect_err("is refused").to_string();
    assert!(!said.contains("hush") && !refused.contains("hush"), "{said}\n{refused}");
}

#[test]
fn a_reload_keeps_what_is_read_at_start_only_and_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(&directory, "main.ini", "[pgbouncer]\nunix_socket_dir=/run\n[databases]\na=");
    let old = Config::load(&path).unwrap();
    write(
        &directory,
        "main.ini",
        "[pgbouncer]\nunix_socket_dir=/x\npool_mode=transaction\n[databases]\na=",
    );
    let (new, changes) = old.reload().unwrap();
    assert_eq!(changes.ignored_until_restart, ["unix_socket_dir"]);
    assert_eq!(new.settings.unix_socket_dir, old.settings.unix_socket_dir);
    assert_eq!(new.databases, old.databases);
    assert_eq!(new.settings.pool_mode.name(), "transaction");
    write(&directory, "main.ini", "[pgbouncer]\nunix_socket_dir=/x\nwibble=1");
    assert!(old.reload().is_err());
}

#[test]
fn set_changes_one_setting_in_a_copy() {
    let config = parse_text("").unwrap();
    let new = config.set("pool_mode", "statement").expect("is allowed");
    assert_eq!(new.settings.pool_mode.name(), "statement");
    assert_eq!(config.settings.pool_mode.name(), "session");
}

#[test]
fn set_accepts_and_ignores_what_is_read_at_start_only_or_has_no_effect() {
    let config = parse_text("").unwrap();
    for (key, value) in [("listen_port", "1"), ("pkt_buf", "8kB")] {
        assert_eq!(config.set(key, value).expect("is accepted").settings, config.settings);
    }
}

#[test]
fn set_refuses_unknown_keys_bad_values_and_what_does_not_fit() {
    let text = "[databases]\na=host=x target_session_attrs=any\n[pgbouncer]\ntopology_user=t";
    let config = parse_text(text).unwrap();
    let refusal =
        |key: &str, value: &str| config.set(key, value).expect_err("is refused").to_string();
    assert_eq!(
        refusal("pol_mode", "x"),
        "unknown parameter: pgbouncer/pol_mode; did you mean \"pool_mode\"?"
    );
    assert!(
        refusal("pool_mode", "x")
            .starts_with("invalid value \"x\" for parameter pool_mode; allowed")
    );
    assert!(refusal("listen_port", "x").starts_with("invalid value"));
    assert!(refusal("client_tls_sslmode", "require").starts_with("To allow TLS connections"));
    assert!(refusal("topology_user", "").contains("databases/a has target_session_attrs"));
    assert!(
        refusal("auth_file", "/nowhere/users.txt").starts_with("cannot read /nowhere/users.txt")
    );
}

#[test]
fn the_sample_files_load() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let users = etc.join("userlist.txt.example");
    let sample = std::fs::read_to_string(etc.join("pgweir.ini")).unwrap();
    assert!(sample.contains("/etc/pgweir/userlist.txt"));
    let directory = tempfile::tempdir().unwrap();
    let text = sample.replace("/etc/pgweir/userlist.txt", &users.display().to_string());
    let config = Config::load(&write(&directory, "pgweir.ini", &text)).expect("the sample loads");
    assert!(!config.databases.is_empty() && !config.userlist.users.is_empty());
    assert_eq!(config.notes, [], "the sample asks for nothing that has no effect");
}

#[test]
fn every_key_that_the_sample_shows_in_a_comment_would_be_taken() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let sample = std::fs::read_to_string(etc.join("pgweir.ini")).unwrap();
    // `;key = value` is an example; `; text` is a remark.
    let examples: Vec<String> = sample
        .lines()
        .map(|line| match line.strip_prefix(';') {
            Some(example) if !example.is_empty() && !example.starts_with(' ') => example.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let config = parse_text(&examples.join("\n")).expect("every example is allowed");
    assert_eq!(config.notes, []);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[(pgbouncer|databases|users|peers)\\]\n)?([ -~\n'=é]|host=|%include |port=){0,80}") {
        let _ = parse_text(&text);
    }

    #[test]
    fn what_is_shown_can_be_read_back(
        port: u16, size in 0..1000u32, wait in 0..100_000u32, mode in 0..0o7777u32,
    ) {
        let wait = f64::from(wait) / 1000.0;
        let one = settings(&format!(
            "listen_port={port}\ndefault_pool_size={size}\nquery_wait_timeout={wait}\nunix_socket_mode=0{mode:o}"
        ));
        let lines: Vec<String> = one
            .shown()
            .into_iter()
            .map(|(key, value, _, _)| format!("{key} = {}", value.unwrap_or_default()))
            .collect();
        prop_assert_eq!(settings(&lines.join("\n")), one);
    }
}
