//! A drop-in replacement answers as the original: some hundred conversations held with a real pgbouncer and with pgweir,
//! on the same files and the same server, and compared message by message.
//!
//! A *house* is one configuration and the conversations held under it; each area has a file of houses. What may
//! differ is listed in `differences.rs`, and nowhere else. A rule there that explains nothing any more fails the test.
//! Conversations about what came after the pgbouncer at hand (Debian's 1.18) are compared with what 1.25.2 said in
//! them, `recorded.json`.
//!
//! | variable | meaning |
//! |---|---|
//! | `PGWEIR_PGBOUNCER` | the pgbouncer to compare with; default the one on `PATH` |
//! | `PARITY` | holds only conversations with this in their name, and prints all that was said |
//! | `PARITY_RECORD` | writes `recorded.json` anew; takes a pgbouncer of 1.25 |
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock")]
#![allow(unreachable_pub, reason = "a test is no library")]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod console;
mod differences;
mod ends;
mod house;
mod limits;
mod logins;
mod modes;
mod startup;
mod talk;
mod timeouts;
mod tls;
mod transcript;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, thread};

use serde_json::Value;

use compare::{Used, compare};
use differences::{CODES, Class, RULES};
use house::{Ground, House, Recorded, Said, Version};
use transcript::Line;

/// Houses that are open at the same time: most of them wait for a timeout most of the time.
const AT_ONCE: usize = 6;

/// The pgbouncer that the class `Age` is about.
const OLD: Version = (1, 18);

fn houses() -> Vec<House> {
    let areas = [
        timeouts::houses(),
        limits::houses(),
        console::houses(),
        modes::houses(),
        logins::houses(),
        startup::houses(),
        tls::houses(),
        ends::houses(),
    ];
    areas.into_iter().flatten().collect()
}

#[test]
fn every_conversation_goes_as_with_pgbouncer_or_a_rule_says_why_not() {
    let Some(program) = common::weir::find_pgbouncer() else {
        eprintln!("SKIPPED: pgbouncer is not installed; `make setup` does what apt has");
        return;
    };
    let version = version(&program);
    let only = env::var("PARITY").ok();
    let mut houses = houses();
    if let Some(only) = &only {
        houses.iter_mut().for_each(|house| house.keep(only));
    }
    let names: Vec<_> = houses.iter().flat_map(House::names).map(str::to_owned).collect();
    let distinct: HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "two conversations of one name");

    let said = hold(houses, &Ground::new(version));
    if env::var_os("PARITY_RECORD").is_some() {
        return record(&said);
    }
    let (complaints, used) = judge(&said, version, only.is_some());
    let stale = if only.is_some() { String::new() } else { stale(&used, version) };
    let differ = complaints.matches("\n== ").count();
    eprintln!("{} conversations beside pgbouncer {version:?}", said.len());
    assert!(
        complaints.is_empty() && stale.is_empty(),
        "{differ} of {} conversations differ (- pgbouncer, + pgweir):\n{complaints}\n{stale}",
        said.len()
    );
}

/// Holds the conversations of all houses, several houses at once.
fn hold(mut houses: Vec<House>, ground: &Ground) -> Vec<Said> {
    houses.reverse();
    let (queue, said) = (Mutex::new(houses), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(house) = queue.lock().unwrap().pop() else { return };
                    let heard = house.hold(ground);
                    said.lock().unwrap().extend(heard);
                }
            });
        }
    });
    let mut said = said.into_inner().unwrap();
    said.sort_by(|left, right| left.name.cmp(&right.name));
    said
}

/// What no rule explains, and which rules were of use.
fn judge(said: &[Said], version: Version, show: bool) -> (String, Used) {
    let recorded = recorded();
    let (mut complaints, mut used) = (String::new(), Used::default());
    for Said { name, theirs, ours } in said {
        let theirs = theirs.as_ref().or_else(|| recorded.get(name));
        if show {
            print(name, "pgbouncer", theirs.map_or(&[], |lines| &lines[..]));
            print(name, "pgweir", ours);
        }
        let complaint = match theirs {
            Some(theirs) => compare(name, theirs, ours, &mut used),
            None => {
                format!("  pgbouncer {version:?} does not know of it, and nothing is recorded\n")
            }
        };
        if !complaint.is_empty() {
            let _ = write!(complaints, "\n== {name}\n{complaint}");
        }
    }
    (complaints, used)
}

fn print(name: &str, who: &str, lines: &[Line]) {
    eprintln!("---- {name}, {who}:");
    for line in lines {
        eprintln!("  {}", line.shown());
    }
}

/// Rules that explained nothing. Those of `Age` need the old one beside.
fn stale(used: &Used, version: Version) -> String {
    let mut stale = String::new();
    for (number, rule) in RULES.iter().enumerate() {
        for (which, change) in rule.changes.iter().enumerate() {
            let known = rule.class != Class::Age || version == OLD;
            if known && !used.changes.contains(&(number, which)) {
                let _ = writeln!(stale, "{:?} explains nothing any more by {change:?}", rule.what);
            }
        }
    }
    for (pattern, code) in CODES.iter().filter(|(pattern, _)| !used.codes.contains(pattern)) {
        let _ = writeln!(stale, "nobody was told {pattern:?} with SQLSTATE {code}");
    }
    stale
}

/// Major and minor number of a pgbouncer.
fn version(program: &Path) -> Version {
    let output = Command::new(program).arg("--version").output().unwrap().stdout;
    let output = String::from_utf8(output).unwrap();
    let numbers = output.strip_prefix("PgBouncer ").and_then(|rest| rest.split_whitespace().next());
    let mut numbers = numbers.unwrap_or_default().split('.').filter_map(|part| part.parse().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        panic!("{}: no version in {output:?}", program.display())
    };
    (major, minor)
}

// ---- what 1.25.2 said ----

fn recorded_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/recorded.json")
}

fn recorded() -> Recorded {
    let text = fs::read_to_string(recorded_file()).unwrap();
    let all: BTreeMap<String, Vec<Value>> = serde_json::from_str(&text).unwrap();
    let lines = |lines: Vec<Value>| lines.iter().map(Line::from_json).collect();
    all.into_iter().map(|(name, said)| (name, lines(said))).collect()
}

/// Writes down what a new pgbouncer said where the old one has nothing to say.
fn record(said: &[Said]) {
    let of_old: HashSet<_> = houses().iter().flat_map(|house| house.said_by(OLD)).collect();
    let new = said.iter().filter(|said| !of_old.contains(&said.name));
    let lines = |said: &Said| {
        let theirs = said.theirs.as_ref().expect("pgbouncer is too old for it");
        theirs.iter().map(Line::to_json).collect()
    };
    let all: BTreeMap<&str, Vec<Value>> = new.map(|said| (&said.name[..], lines(said))).collect();
    fs::write(recorded_file(), serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
}
