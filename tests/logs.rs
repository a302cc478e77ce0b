//! The log: JSON, the journal's severities, storms.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::process::Command;

use common::home::write_private;
use common::postgres::Setup;
use common::wait;
use common::weir::{Weir, run_pgweir_with};
use common::wire::Wire;
use serde_json::Value;

#[test]
fn with_log_format_json_each_line_is_an_object_that_names_client_and_address() {
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).setting("log_format", "json");
    let weir = setup.start();
    drop(Wire::tcp(weir.port(), "app", "app").unwrap().query("SELECT 1"));
    Wire::tcp(weir.port(), "app", "no\"where").err().unwrap();
    weir.wait_log("no such database");
    wait::until("the end of a client", wait::DEADLINE, || weir.log().contains("closing because"));
    let log = weir.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["time"].is_string() && line["pid"].is_number(), "{line}");
        assert!(["LOG", "WARNING", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
    }
    let of = |message: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().unwrap().contains(message));
        found.unwrap_or_else(|| panic!("{message}: {log}")).clone()
    };
    let login = of("login attempt: db=app");
    assert_eq!((&login["database"], &login["user"]), (&"app".into(), &"app".into()));
    assert!(login["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{login}");
    assert!(login["connection"].as_str().unwrap().starts_with("C-0x"), "{login}");
    let server_line = of("new connection to server");
    assert!(server_line["connection"].as_str().unwrap().starts_with("S-0x"));
    let refused = of("pooler error: no such database");
    assert_eq!((&refused["level"], &refused["database"]), (&"WARNING".into(), &"no\"where".into()));
    // A reload goes back to lines of text.
    let mut weir = weir;
    weir.change(|setup| setup.setting("log_format", "text"));
    weir.reload();
    weir.console("SHOW VERSION");
    weir.wait_log(" UTC [");
    // And a SET alone to JSON again.
    let lines = || weir.log().matches("{\"").count();
    let before = lines();
    weir.console("SET log_format = 'json'");
    weir.console("SHOW VERSION");
    wait::until("lines of JSON again", wait::DEADLINE, || lines() > before);
    weir.stop();
}

#[test]
fn of_a_storm_of_complaints_a_few_are_written_and_the_rest_is_counted() {
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).setting("log_rate_limit", "5");
    let weir = setup.start();
    let count = 200;
    for _ in 0..count {
        Wire::tcp(weir.port(), "app", "nowhere").err().unwrap();
    }
    let errors = |log: &str| -> u64 {
        let lines = log.lines().filter(|line| line.contains("pooler error: no such database"));
        lines
            .map(|line| match line.split_once("] WARNING and ") {
                Some((_, rest)) => rest.split(' ').next().unwrap().parse().unwrap(),
                None => 1,
            })
            .sum()
    };
    wait::until("each of them counted", wait::DEADLINE, || errors(&weir.log()) == count);
    assert!(weir.log().contains("more like this in one second (log_rate_limit)"));
    let ends = weir.log().matches("closing because: no such database").count();
    assert_eq!(ends as u64, count, "what happened is no complaint");
    weir.stop();
}

#[test]
fn on_the_journals_stream_each_line_begins_with_its_severity() {
    let home = common::home::Home::new();
    let dir = home.folder("weir");
    let (ini, stderr) = (dir.join("ini"), dir.join("stderr"));
    write_private(
        &ini,
        "[pgbouncer]\nlisten_addr = 192.0.2.1\nlisten_port = 1\nunix_socket_dir =\n",
    );
    let file = File::create(&stderr).unwrap();
    let meta = file.metadata().unwrap();
    let stream = format!("{}:{}", meta.st_dev(), meta.st_ino());
    let run = |stream: &str| {
        let file = File::create(&stderr).unwrap();
        run_pgweir_with(&home, |command: &mut Command| {
            command.arg(&ini).env("JOURNAL_STREAM", stream).stderr(file);
        });
        fs::read_to_string(&stderr).unwrap()
    };
    let said = run(&stream);
    assert!(said.starts_with("<6>"), "{said}");
    assert!(said.contains("\n<4>") && said.contains("\n<3>"), "{said}");
    let said = run("1:1");
    assert!(!said.contains("<6>") && said.contains(" LOG "), "{said}");
}
