//! A drop-in replacement answers as the original: some hundred conversations held with a real pgbouncer and with pgweir,
//! on the same files and the same server, and compared message by message.
//!
//! A *house* is one configuration and the conversations held under it; each area has a file of houses. What may
//! differ is listed in `differences.rs`, and nowhere else. A rule there that explains nothing any more fails the test.
//! Where the pgbouncer at hand is older than the one that pgweir is measured by, what that one said is in `recorded.json`.
//!
//! | variable | meaning |
//! |---|---|
//! | `PGWEIR_PGBOUNCER` | the pgbouncer to compare with, 1.18 or 1.25; default the one on `PATH` |
//! | `PARITY` | holds only conversations with this in their name, and prints all that was said |
//! | `PARITY_RECORD` | a pgbouncer 1.25: writes `recorded.json` anew, beside one of 1.18 |
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock")]
#![allow(unreachable_pub, reason = "a test is no library")]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod console;
mod control;
mod differences;
mod ends;
mod house;
mod limits;
mod logins;
mod modes;
mod reload;
mod servers;
mod startup;
mod talk;
mod timeouts;
mod tls;
mod transcript;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, fs, thread};

use serde_json::Value;

use compare::{Used, compare};
use differences::{CODES, RULES, Rule};
use house::{Ground, House, Said, Version};
use transcript::Line;

/// Houses that are open at the same time: most of them wait for a timeout most of the time.
const AT_ONCE: usize = 6;

/// The pgbouncer that pgweir is measured by.
const NEW: Version = (1, 25);

/// What Debian 12 has.
const OLD: Version = (1, 18);

/// Transcripts by the name of their conversation.
type Recorded = BTreeMap<String, Vec<Line>>;

fn houses() -> Vec<House> {
    let areas = [
        timeouts::houses(),
        limits::houses(),
        console::houses(),
        control::houses(),
        servers::houses(),
        reload::houses(),
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
    let only = env::var("PARITY").ok();
    let houses = || {
        let mut houses = houses();
        let keep = |house: &mut House| house.keep(only.as_deref().unwrap_or_default());
        houses.iter_mut().for_each(keep);
        houses
    };
    let names: Vec<_> = houses().iter().flat_map(House::names).map(str::to_owned).collect();
    let distinct: HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "two conversations of one name");

    let ground = Ground::new(&program);
    let version = ground.version;
    if version != OLD && version != NEW {
        eprintln!(
            "SKIPPED: what may differ is known for pgbouncer {OLD:?} and {NEW:?}, not {version:?}"
        );
        return;
    }
    let postgres = ground.server.query("SHOW server_version_num").one().to_owned();
    if &postgres[..] < "140000" {
        eprintln!("SKIPPED: PostgreSQL {postgres} is too old for what the conversations are about");
        return;
    }
    let said = hold(houses(), &ground);
    if let Some(program) = env::var_os("PARITY_RECORD") {
        let new = hold(houses(), &Ground::new(Path::new(&program)));
        return record(&said, &new);
    }
    let (complaints, used) = judge(&said, version, only.is_some());
    let stale = if only.is_some() { String::new() } else { stale(&used) };
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
    let recorded = if version == NEW { Recorded::new() } else { recorded() };
    let (mut complaints, mut used) = (String::new(), Used::default());
    for Said { name, theirs, ours } in said {
        let by_new = recorded.get(name);
        let measure = by_new.or(theirs.as_ref());
        if show {
            print(name, "pgbouncer", measure.map_or(&[], |lines| &lines[..]));
            print(name, "pgweir", ours);
        }
        let mut complaint = match measure {
            Some(measure) => compare(name, measure, ours, &mut used),
            None => "  the old pgbouncer cannot, and nothing is recorded\n".to_owned(),
        };
        if let (Some(old), Some(new)) = (theirs, by_new)
            && !differ(old, new)
        {
            complaint.push_str("  recorded, though the old pgbouncer says the same\n");
        }
        if !complaint.is_empty() {
            let _ = write!(complaints, "\n== {name}\n{complaint}");
        }
    }
    (complaints, used)
}

/// Whether two pgbouncers said different things.
fn differ(old: &[Line], new: &[Line]) -> bool {
    let said = |line: &Line| (line.text.clone(), line.field('C').map(str::to_owned));
    !old.iter().map(said).eq(new.iter().map(said))
}

fn print(name: &str, who: &str, lines: &[Line]) {
    eprintln!("---- {name}, {who}:");
    for line in lines {
        eprintln!("  {}", line.shown());
    }
}

/// Rules that explained nothing.
fn stale(used: &Used) -> String {
    let mut stale = String::new();
    for (number, rule) in RULES.iter().enumerate() {
        for (which, change) in rule.changes.iter().enumerate() {
            if !used.changes.contains(&(number, which)) {
                let Rule { class, what, why, .. } = rule;
                let _ =
                    writeln!(stale, "{class:?} {what:?} ({why}): nothing is seen of {change:?}");
            }
        }
    }
    for (number, rule) in RULES.iter().enumerate() {
        for (which, on) in rule.on.iter().enumerate() {
            if !used.places.contains(&(number, which)) {
                let _ = writeln!(stale, "{:?}: nothing is seen of it in {on:?}", rule.what);
            }
        }
    }
    for (pattern, code) in CODES.iter().filter(|(pattern, _)| !used.codes.contains(pattern)) {
        let _ = writeln!(stale, "nobody was told {pattern:?} with SQLSTATE {code}");
    }
    stale
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

/// Writes down what the new pgbouncer said where the old one says something else, or cannot.
fn record(old: &[Said], new: &[Said]) {
    let mut all = BTreeMap::new();
    for (old, new) in old.iter().zip(new) {
        let said = new.theirs.as_ref().expect("pgbouncer is too old to be recorded");
        if old.theirs.as_ref().is_none_or(|old| differ(old, said)) {
            all.insert(&new.name, said.iter().map(Line::to_json).collect::<Vec<_>>());
        }
    }
    fs::write(recorded_file(), serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
}
