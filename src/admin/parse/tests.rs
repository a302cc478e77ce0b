use super::*;
use proptest::prelude::*;

fn database(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[track_caller]
fn refused(query: &str, message: &str) {
    assert_eq!(parse(query).unwrap_err().to_string(), message, "{query}");
}

#[track_caller]
fn invalid(query: &str) {
    refused(query, &format!("invalid command '{query}', use SHOW HELP;"));
}

#[test]
fn every_command_is_understood_in_either_case_with_and_without_semicolon() {
    let cases = [
        ("SHOW POOLS", Command::Show(Show::Pools)),
        ("RELOAD", Command::Reload),
        ("PAUSE", Command::Pause(None)),
        ("PAUSE app", Command::Pause(database("app"))),
        ("RESUME", Command::Resume(None)),
        ("RESUME app", Command::Resume(database("app"))),
        ("DISABLE app", Command::Disable("app".to_owned())),
        ("ENABLE app", Command::Enable("app".to_owned())),
        ("KILL", Command::Kill(None)),
        ("KILL app", Command::Kill(database("app"))),
        ("KILL_CLIENT 17", Command::KillClient(17)),
        ("RECONNECT", Command::Reconnect(None)),
        ("RECONNECT app", Command::Reconnect(database("app"))),
        ("WAIT_CLOSE", Command::WaitClose(None)),
        ("WAIT_CLOSE app", Command::WaitClose(database("app"))),
        ("SWITCHOVER PREPARE", Command::SwitchoverPrepare(None)),
        ("SWITCHOVER PREPARE app", Command::SwitchoverPrepare(database("app"))),
        ("SWITCHOVER DONE app", Command::SwitchoverDone(database("app"))),
        ("SUSPEND", Command::Suspend),
        ("HANDOVER", Command::HandOver),
        ("SHUTDOWN", Command::Shutdown(ShutdownMode::Immediate)),
        ("SHUTDOWN WAIT_FOR_SERVERS", Command::Shutdown(ShutdownMode::WaitForServers)),
        ("SHUTDOWN WAIT_FOR_CLIENTS", Command::Shutdown(ShutdownMode::WaitForClients)),
    ];
    for (query, command) in cases {
        assert_eq!(parse(query).as_ref(), Ok(&command));
        let loose = format!(" \t{}\r\n ; ", query.to_lowercase().replace(' ', " \n "));
        assert_eq!(parse(&loose).as_ref(), Ok(&command), "{loose:?}");
    }
}

#[test]
fn explain_route_takes_the_text_as_it_is() {
    let explained = |sql: &str| Ok(Command::ExplainRoute(sql.to_owned()));
    assert_eq!(parse("EXPLAIN ROUTE select 1;"), explained("select 1;"));
    assert_eq!(parse(" explain\nroute /* x */ begin"), explained("/* x */ begin"));
    invalid("EXPLAIN select 1");
    invalid("EXPLAIN");
    invalid("SWITCHOVER");
    invalid("SWITCHOVER NOW");
    invalid("SWITCHOVER PREPARE app now");
}

#[test]
fn a_name_keeps_its_case_and_may_be_quoted() {
    assert_eq!(parse("PAUSE App"), Ok(Command::Pause(database("App"))));
    assert_eq!(parse(r#"pause "my-db";"#), Ok(Command::Pause(database("my-db"))));
    assert_eq!(parse(r#"pause "a""b""#), Ok(Command::Pause(database("a\"b"))));
    assert_eq!(parse(r#"pause "a b;c""#), Ok(Command::Pause(database("a b;c"))));
    assert_eq!(parse(r#"pause "bücher""#), Ok(Command::Pause(database("bücher"))));
    assert_eq!(parse(r#"pause """#), Ok(Command::Pause(None)));
    assert_eq!(parse(r#""show" "Version""#), Ok(Command::Show(Show::Version)));
}

#[test]
fn select_is_another_word_for_show() {
    assert_eq!(parse("SELECT version"), Ok(Command::Show(Show::Version)));
    invalid("SELECT 1");
    invalid("SELECT version()");
}

#[test]
fn set_takes_a_word_or_a_string() {
    let set =
        |key: &str, value: &str| Ok(Command::Set { key: key.to_owned(), value: value.to_owned() });
    for query in [
        "SET max_client_conn = 50",
        "set max_client_conn=50;",
        "SET MAX_CLIENT_CONN TO 50",
        "SET max_client_conn to50",
        "SET max_client_conn TO '50'",
        r#"SET "max_client_conn" ="50" ;"#,
    ] {
        assert_eq!(parse(query), set("max_client_conn", "50"), "{query}");
    }
    assert_eq!(parse("SET a = 'it''s 2.5, or -1;'"), set("a", "it's 2.5, or -1;"));
    assert_eq!(parse("SET a = ''"), set("a", ""));
}

#[test]
fn set_of_what_is_not_a_word_needs_quotes() {
    for query in [
        "SET x=2.5",
        "SET x = -1",
        "SET x = a,b",
        "SET x = a b",
        "SET x =",
        "SET x = 'a';;",
        "SET x = 'a",
        "SET max_client_conn",
        "SET max_client_conn 5",
        "SETa=b",
        "SET = b",
        r#""SET" a = b"#,
    ] {
        invalid(query);
    }
}

#[test]
fn what_drivers_set_at_connect_is_ignored_kindly() {
    for query in ["SET client_encoding = 'utf8'", "set DateStyle TO ISO", "SET timezone='x'"] {
        assert!(matches!(parse(query), Ok(Command::SetIgnored(_))), "{query}");
    }
}

#[test]
fn anything_else_is_answered_with_the_query_as_it_came() {
    for query in [
        "",
        ";",
        " ",
        "-- hi",
        "/* x */ show version",
        "show/**/version",
        "FOO",
        "FOO;",
        "FOO bar;",
        "show version;;",
        "SHOW",
        "SHOW;",
        "SHOW foo",
        "SHOW versionx",
        "SHOW version 1",
        "SHOW 'version'",
        r#"show"version""#,
        "PAUSE a b",
        "PAUSE my-db",
        "PAUSE 'app'",
        r#"PAUSE "app"#,
        "RELOAD foo",
        "SUSPEND foo",
        "SHUTDOWN foo",
        "ABCDEFGHIJKLMNO",
        "PÄUSE",
    ] {
        invalid(query);
    }
}

#[test]
fn too_long_or_missing_parts_have_errors_of_their_own() {
    refused("ABCDEFGHIJKLMNOP", "bad arguments");
    refused(&format!("PAUSE {}", "a".repeat(64)), "bad arguments");
    assert!(parse(&format!("PAUSE {}", "a".repeat(63))).is_ok());
    refused(&format!("SET {} = 1", "a".repeat(64)), "bad arguments");
    refused(&format!("SET a = '{}'", "a".repeat(256)), "bad arguments");
    assert!(parse(&format!("SET a = '{}'", "a".repeat(255))).is_ok());
    refused(r#"SET "" = 1"#, "bad arguments");
    refused("DISABLE", "a database is required");
    refused("ENABLE;", "a database is required");
    refused("KILL_CLIENT", "invalid client pointer supplied");
    refused("KILL_CLIENT 0x", "invalid client pointer supplied");
    assert_eq!(parse("KILL_CLIENT 0x1f"), Ok(Command::KillClient(31)));
}

#[test]
fn who_may_only_look_may_show_and_set_what_is_ignored() {
    for query in ["SHOW POOLS", "SHOW HELP", "SHOW timezone", "SET timezone = 'x'"] {
        assert_eq!(parse(query).unwrap().needs(), Right::Stats, "{query}");
    }
    for query in ["SET a = 1", "PAUSE", "RELOAD", "KILL_CLIENT 1", "SHUTDOWN", "RECONNECT"] {
        assert_eq!(parse(query).unwrap().needs(), Right::Admin, "{query}");
    }
    assert!(Right::Admin > Right::Stats);
}

proptest! {
    #[test]
    fn no_query_breaks_the_parser_and_a_refusal_repeats_it(query in "(?s).{0,80}") {
        if let Err(ParseError::Invalid { query: found }) = parse(&query) {
            prop_assert_eq!(found, query);
        }
    }

    #[test]
    fn any_name_in_quotes_comes_out_as_it_is(name in "(?s).{1,15}") {
        let query = format!("PAUSE \"{}\"", name.replace('"', "\"\""));
        prop_assert_eq!(parse(&query), Ok(Command::Pause(Some(name))));
    }
}
