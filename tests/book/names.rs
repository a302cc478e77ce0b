//! What looks like a setting, a metric or a command is one.

use std::collections::BTreeSet;

use pgweir::admin::parse;
use pgweir::config::settings;
use pgweir::config::{databases, users};

use crate::common::weir::run_pgweir;
use crate::pages;

/// Words with an underscore that are others'. (What begins with `pg_` is PostgreSQL's.)
const OTHERS: &[&str] = &[
    // PostgreSQL and libpq
    "channel_binding",
    "default_transaction_read_only",
    "extra_float_digits",
    "force_custom_plan",
    "ignore_system_indexes",
    "log_min_error_statement",
    "max_connections",
    "max_standby_streaming_delay",
    "pam_unix",
    "plan_cache_mode",
    "reserved_connections",
    "search_path",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_standby_names",
    "xact_start",
    // columns and states of the console, and fields of JSON, that the text speaks of
    "active_cancel_req",
    "bounds_seconds",
    "changed_by",
    "cl_active",
    "cl_waiting",
    "last_change",
    "last_error",
    "no_effect",
    "own_writes",
    "sv_active",
    "sv_idle",
    "sv_login",
    "sv_tested",
    "sv_used",
    "waiting_cancel_req",
    "waits_for",
    "xact_count",
    // an entry in examples
    "shop_read",
    // Pgpool-II, pgdog, pgbouncer's repository
    "delegate_ip",
    "failover_command",
    "follow_primary_command",
    "max_pool",
    "memory_cache_enabled",
    "num_init_children",
    "pcp_attach_node",
    "pgbouncer_1_25_2",
    "pgdog_role",
    "statement_level_load_balance",
    // pg_auto_failover, Prometheus
    "autoctl_node",
    "credentials_file",
    "scrape_configs",
];

/// Whether it is written as settings are: `max_client_conn`.
fn is_name(word: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    word.contains('_') && word.split('_').all(is_part)
}

/// The names in a piece of code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_./-@%".contains(c);
    code.split(move |c| !is_of_word(c)).filter(|word| is_name(word))
}

/// What is pgweir's, or PostgreSQL's.
fn is_known(word: &str, known: &BTreeSet<String>) -> bool {
    let series = ["_bucket", "_sum", "_count"].iter().filter_map(|end| word.strip_suffix(end));
    word.starts_with("pg_") || series.chain([word]).any(|name| known.contains(name))
}

/// Settings, and the metrics of docs/metrics.md, which is made from the source.
fn known() -> BTreeSet<String> {
    let settings = settings::all().map(|setting| setting.key);
    let entries = databases::KEYS.into_iter().chain(users::KEYS);
    let metrics = pages::page(&pages::root().join("docs/metrics.md")).code();
    let metrics = metrics.iter().flat_map(|code| words(code));
    settings.chain(entries).chain(metrics).map(str::to_owned).collect()
}

#[test]
fn every_name_in_code_font_is_a_setting_a_metric_or_is_listed_as_somebody_elses() {
    let known = known();
    let mut unknown = BTreeSet::new();
    let mut unused: BTreeSet<&str> = OTHERS.iter().copied().collect();
    let mut count = 0;
    for page in pages::all() {
        for code in page.code() {
            for word in words(&code) {
                count += 1;
                unused.remove(word);
                if !is_known(word, &known) && !OTHERS.contains(&word) {
                    unknown.insert(format!("{}: {word}", page.name));
                }
            }
        }
    }
    assert_eq!(unknown, BTreeSet::new());
    assert_eq!(unused, BTreeSet::new(), "these are named nowhere any more");
    assert!(count > 300, "only {count} names found");
}

/// A command of the console as the books have it: `SHOW POOLS, CLIENTS, …` is several.
fn console_commands(code: &str) -> Vec<String> {
    let is_show = code.strip_prefix("SHOW ").filter(|rest| rest.contains(", "));
    let commands = match is_show {
        Some(list) => list.split(", ").map(|name| format!("SHOW {name}")).collect(),
        None => vec![code.to_owned()],
    };
    let is_command = |code: &String| {
        let first = code.split(' ').next().unwrap_or_default();
        ["SHOW", "SWITCHOVER"].contains(&first) && code != first && !code.ends_with('…')
    };
    commands.into_iter().filter(is_command).collect()
}

#[test]
fn every_command_of_the_console_in_code_font_is_understood() {
    /// pgcat's, answered outside of the console; and what is PostgreSQL's or a client's to see.
    const ELSEWHERE: [&str; 4] =
        ["SHOW SERVER ROLE", "SHOW pgweir.route", "SHOW pgweir.lsn", "SHOW pgweir.min_lsn"];
    let mut count = 0;
    for page in pages::all() {
        for code in page.code() {
            for command in console_commands(&code) {
                count += 1;
                let is_known = parse::parse(&command).is_ok();
                assert!(is_known || ELSEWHERE.contains(&&*command), "{}: {command}", page.name);
            }
        }
    }
    assert!(count > 20, "only {count} commands found");
}

/// What is said of `pgweir` on a command line, in the text and in blocks: a subcommand with its options.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut lines = Vec::new();
    for page in pages::all() {
        let blocks = page.blocks().into_iter().map(|block| block.text);
        let indented = page.text.lines().filter_map(|line| line.strip_prefix("    "));
        let texts: Vec<String> =
            blocks.chain(indented.map(str::to_owned)).chain(page.code()).collect();
        for line in texts.iter().flat_map(|text| text.lines()) {
            let line = format!(" {line}");
            let Some((_, rest)) = line.rsplit_once(" pgweir ") else { continue };
            let end = rest.find(['|', ';', '#', '>', '&']).unwrap_or(rest.len());
            let words = rest[..end].split_whitespace().map(str::to_owned).collect();
            lines.push((page.name.clone(), words));
        }
    }
    lines
}

#[test]
fn every_subcommand_and_option_in_the_book_exists() {
    let mut seen = BTreeSet::new();
    for (page, words) in command_lines() {
        let is_subcommand = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase());
        let Some(subcommand) = words.first().filter(is_subcommand) else { continue };
        let help = run_pgweir(&[subcommand, "--help"]);
        assert!(help.status.success(), "{page}: pgweir {subcommand}: {help:?}");
        for option in words.iter().filter(|word| word.starts_with("--")) {
            let option = option.trim_end_matches([']', '`', ')', ',']).split('=').next().unwrap();
            assert!(help.stdout.contains(option), "{page}: pgweir {subcommand} {option}");
        }
        seen.insert(subcommand.clone());
    }
    for subcommand in ["check", "config", "init", "man", "completions"] {
        assert!(seen.contains(subcommand), "{subcommand} is nowhere in the book");
    }
}
