//! `pgweir config`, and the pages that are made from the table of arguments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::Run;
use common::home::Home;
use common::weir::{binary, run_pgweir};
use serde_json::Value;

/// A file, another that it includes, and what `pgweir config` says of them.
fn config(options: &[&str]) -> (String, Run) {
    let home = Home::new();
    let more = home.file("more.ini", "[pgbouncer]\ndefault_pool_size = 7\npkt_buf = 8192\n");
    let users = home.file("users", "\"app\" \"hidden\"\n");
    let ini = format!(
        "[databases]\napp = host=pg1,pg2 port=5433 user=app password=hidden pool_size=-1 max_db_connections=0 \
         reserve_pool=2 discover_from='user=x password=hidden' target_session_attrs=read-write discover=repmgr\n\
         * = host=pg3 pool_mode=statement\n[users]\nann = query_timeout=5\n[peers]\n1 = host=pg1\n[pgbouncer]\n\
         pool_mode = session\n%include {}\npool_mode = transaction\npidfile = /run/x/weir.pid\nauth_file = {}\n\
         topology_user = app\npeer_id = 2\n\
         auth_ldap_options = ldapserver=x ldapbasedn=\"y\" ldapbindpasswd=hidden\n",
        more.display(),
        users.display()
    );
    let file = home.file("pgweir.ini", &ini).display().to_string();
    let run = run_pgweir(&[&["config"], options, &[&file]].concat());
    let text = run.ok().replace(&home.path().display().to_string(), "");
    assert!(!text.contains("hidden"), "a secret is in {text}");
    (text, run)
}

/// Value, default, where it comes from, the line, and what changes it.
fn row(all: &Value, section: &str, key: &str) -> [String; 5] {
    let rows = all["settings"].as_array().unwrap();
    let row = rows.iter().find(|row| row["section"] == section && row["key"] == key);
    let row = row.unwrap_or_else(|| panic!("{section}/{key} is not there"));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let place = match &row["place"] {
        Value::Null => "-".to_owned(),
        place => format!("{}:{}", place["file"].as_str().unwrap(), place["line"]),
    };
    [
        text(&row["value"]),
        text(&row["default"]),
        text(&row["from"]),
        place,
        text(&row["changed_by"]),
    ]
}

#[test]
fn every_setting_has_its_value_its_default_and_its_line() {
    let (text, _) = config(&["--json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    for (section, key, expected) in [
        ("pgbouncer", "listen_port", ["6432", "6432", "default", "-", "restart"]),
        ("pgbouncer", "pool_mode", ["transaction", "session", "file", "/pgweir.ini:11", "reload"]),
        ("pgbouncer", "default_pool_size", ["7", "20", "file", "/more.ini:2", "reload"]),
        ("pgbouncer", "pkt_buf", ["4096", "4096", "file", "/more.ini:3", "restart"]),
        (
            "pgbouncer",
            "topology_state_file",
            ["/run/x/weir.topology", "-", "pidfile", "/pgweir.ini:12", "restart"],
        ),
        ("databases/app", "host", ["pg1,pg2", "/tmp", "file", "/pgweir.ini:2", "reload"]),
        ("databases/app", "dbname", ["app", "app", "default", "-", "reload"]),
        ("databases/app", "password", ["(not shown)", "-", "file", "/pgweir.ini:2", "reload"]),
        ("databases/app", "pool_size", ["7", "20", "default_pool_size", "/more.ini:2", "reload"]),
        ("databases/app", "reserve_pool_size", ["2", "0", "file", "/pgweir.ini:2", "reload"]),
        ("databases/app", "max_db_connections", ["0", "0", "max_db_connections", "-", "reload"]),
        (
            "databases/app",
            "pool_mode",
            ["transaction", "session", "pool_mode", "/pgweir.ini:11", "reload"],
        ),
        ("databases/*", "pool_mode", ["statement", "session", "file", "/pgweir.ini:3", "reload"]),
        ("users/ann", "query_timeout", ["5", "0", "file", "/pgweir.ini:5", "reload"]),
        ("users/ann", "transaction_timeout", ["0", "0", "transaction_timeout", "-", "reload"]),
        ("peers/1", "port", ["6432", "6432", "default", "-", "reload"]),
    ] {
        assert_eq!(row(&all, section, key), expected, "{section}/{key}");
    }
    let rows = all["settings"].as_array().unwrap();
    let no_effect: Vec<&Value> = rows.iter().filter(|row| !row["no_effect"].is_null()).collect();
    assert_eq!(no_effect.len(), 1, "{no_effect:?}");
}

#[test]
fn as_text_it_is_a_table_and_may_be_what_the_files_set_only() {
    let (text, _) = config(&["--set"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("setting "), "{text}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mode = lines.iter().find(|line| line.starts_with("pgbouncer/pool_mode")).unwrap();
    assert_eq!(
        words(mode),
        ["pgbouncer/pool_mode", "transaction", "session", "reload", "/pgweir.ini:11"]
    );
    let pkt_buf = lines.iter().find(|line| line.starts_with("pgbouncer/pkt_buf")).unwrap();
    assert!(pkt_buf.ends_with("/more.ini:3, no effect"), "{pkt_buf}");
    assert!(!text.contains("listen_port"), "{text}");
    assert!(config(&[]).0.contains("pgbouncer/listen_port"));
}

#[test]
fn a_file_with_faults_is_told() {
    let home = Home::new();
    let ini = home.file("pgweir.ini", "[pgbouncer]\nverbose = x\n").display().to_string();
    let run = run_pgweir(&["config", &ini]);
    assert!(run.failed().contains(":2: error: invalid value for verbose"), "{run:?}");
}

#[test]
fn the_man_pages_are_sound() {
    for page in
        [&["man"][..], &["man", "run"], &["man", "check"], &["man", "config"], &["man", "init"]]
    {
        let run = run_pgweir(page);
        let text = run.ok();
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{page:?}: {text}");
        let mut lint = Command::new("mandoc");
        lint.args(["-T", "lint", "-W", "error"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut lint) = lint.spawn() else {
            eprintln!("SKIPPED: mandoc is not installed; tools/setup.sh installs it");
            return;
        };
        lint.stdin.take().unwrap().write_all(run.stdout.as_bytes()).unwrap();
        let lint = lint.wait_with_output().unwrap();
        assert!(lint.status.success(), "{page:?}: {}", String::from_utf8_lossy(&lint.stdout));
    }
    assert!(run_pgweir(&["man"]).stdout.contains("pgweir\\-check(1)"));
    assert_eq!(run_pgweir(&["man", "nothing"]).status.code(), Some(2));
}

#[test]
fn the_completions_are_loaded_and_complete() {
    let home = Home::new();
    let program = binary(&home);
    for (shell, first) in
        [("bash", "_pgweir()"), ("zsh", "#compdef pgweir"), ("fish", "complete -c pgweir")]
    {
        assert!(run_pgweir(&["completions", shell]).ok().contains(first), "{shell}");
    }
    // As bash asks when somebody types this and presses the tabulator.
    let complete = |words: &[&str]| {
        let script = "eval \"$(\"$1\" completions bash)\"; shift; COMP_WORDS=(pgweir \"$@\"); \
                      COMP_CWORD=$#; _pgweir pgweir \"${COMP_WORDS[$#]}\" \"${COMP_WORDS[$#-1]}\"; \
                      printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut bash = Command::new("bash");
        let bash = bash.args(["--norc", "-c", script, "bash"]).arg(&program).args(words);
        let output = bash.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["ch"]), ["check"]);
    assert_eq!(complete(&["check", "--j"]), ["--json"]);
    assert_eq!(complete(&["init", "--discover", "pa"]), ["patroni"]);
}
