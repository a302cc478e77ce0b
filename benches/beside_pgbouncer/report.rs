//! `benches/RESULTS.md`.

use std::fmt::Write;
use std::process::Command;

use crate::measure::{Measure, Outcome, Who};
use crate::options::Options;
use crate::targets::{self, Of, Target};
use crate::workloads::{self, Workload};

/// Where and with what it was measured.
pub(crate) struct Setting {
    /// `pgbouncer --version`, its first line.
    pub(crate) pgbouncer: String,
    /// PostgreSQL's version.
    pub(crate) postgres: String,
    /// The load before anything ran.
    pub(crate) load: f64,
    /// What this machine did not allow.
    pub(crate) limits: Vec<String>,
}

/// The whole file.
pub(crate) fn text(options: &Options, setting: &Setting, outcomes: &[Outcome]) -> String {
    let mut text = head(options, setting);
    text.push_str(&reached(outcomes));
    text.push_str(&limits(outcomes));
    text.push_str("\n## All figures\n\n");
    text.push_str(&figures(outcomes));
    let notes: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| {
            outcome.notes.iter().map(|note| format!("- {}: {note}\n", outcome.workload))
        })
        .collect();
    if !notes.is_empty() {
        write!(text, "\n## Notes\n\n{}", notes.concat()).unwrap();
    }
    text
}

fn head(options: &Options, setting: &Setting) -> String {
    let mut text = format!(
        "# Beside pgbouncer\n\n\
         Written by `make bench`. Medians of {rounds} alternating rounds of {seconds} s on one PostgreSQL with a pool of \
         {servers} servers; a ratio is the median of each round's own ratio. CPU is the pooler's own (utime + stime of \
         its process). pgweir runs with one worker unless it says all.\n\n\
         {date}, {cores} cores ({model}), Linux {kernel}, TCP with {tcp}, load {before:.1} before and {after:.1} after\n\n\
         - pgweir {own}\n- {bouncer}\n- {postgres}\n",
        rounds = options.rounds,
        seconds = options.seconds,
        servers = crate::poolers::SERVERS,
        date = output("date", &["-u", "+%Y-%m-%d"]),
        cores = cores(),
        model = cpu_model(),
        kernel = output("uname", &["-r"]),
        tcp = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap().trim(),
        before = setting.load,
        after = load(),
        own = env!("CARGO_PKG_VERSION"),
        bouncer = setting.pgbouncer,
        postgres = setting.postgres,
    );
    if setting.load > cores() as f64 / 2.0 {
        text.push_str(
            "- Other work ran on this machine: transactions per second and latency show that work as much as the poolers, \
             and CPU per transaction is that of small batches.\n",
        );
    }
    for limit in &setting.limits {
        writeln!(text, "- {limit}").unwrap();
    }
    text
}

/// How many tasks ran or wanted to, on average of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap()
}

/// How many cores there are for us.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |line| line.trim_start_matches(['\t', ' ', ':'])).to_owned()
}

/// The targets of the workloads that have run.
fn reached(outcomes: &[Outcome]) -> String {
    let mut rows = String::new();
    for target in targets::ALL {
        let outcome = outcomes.iter().find(|outcome| outcome.workload == target.workload);
        if let Some(outcome) = outcome {
            rows.push_str(&target_row(target, outcome));
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n## To reach\n\n| workload | figure | pgweir | pgbouncer | measured | to reach | |\n\
         |---|---|---|---|---|---|---|\n{rows}"
    )
}

/// What limits those that fall short of a target, with their profiles if there are any.
fn limits(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let short = |outcome: &&Outcome| targets::ALL.iter().any(|target| target.is_missed(outcome));
    for outcome in outcomes.iter().filter(short) {
        let known = targets::LIMITS.iter().find(|(workload, _)| *workload == outcome.workload);
        let limit = known.map_or("Not known.", |(_, limit)| limit);
        write!(text, "\n- **{}**: {limit}\n", outcome.workload).unwrap();
        for profile in &outcome.profiles {
            writeln!(text, "  - {profile}").unwrap();
        }
    }
    if text.is_empty() { text } else { format!("\n## What limits those that fall short\n{text}") }
}

fn target_row(target: &Target, outcome: &Outcome) -> String {
    let Target { workload, measure, of, .. } = *target;
    let (who, beside) = match of {
        Of::Value | Of::Ratio => (Who::Pgweir, Who::Pgbouncer),
        Of::AllWorkers => (Who::AllWorkers, Who::Pgbouncer),
        Of::Spread => (Who::AllWorkers, Who::Pgweir),
        Of::Explicit => (Who::Explicit, Who::Pgweir),
        Of::Auto => (Who::Auto, Who::Pgweir),
    };
    let what = match of {
        Of::Value | Of::Ratio => "",
        Of::AllWorkers => ", all workers",
        Of::Spread => ", all workers beside one",
        Of::Explicit => ", route_reads=explicit beside an entry that follows no roles",
        Of::Auto => ", route_reads=auto beside an entry that follows no roles",
    };
    let Some(measured) = target.measured(outcome) else {
        return format!(
            "| {workload} | {}{what} | | | not measured | {} | |\n",
            measure.title(),
            target.show_bound()
        );
    };
    let times = if of == Of::Value { "" } else { " ×" };
    format!(
        "| {workload} | {}{what} | {} | {} | **{measured:.2}{times}** | {} | {} |\n",
        measure.title(),
        show(outcome, who, measure),
        show(outcome, beside, measure),
        target.show_bound(),
        if target.reached(measured) { "reached" } else { "short" },
    )
}

fn figures(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| workload | figure | pgweir | pgbouncer | ratio | all workers | ratio |\n|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let what = workloads::ALL.iter().find(|workload| workload.name == outcome.workload);
        let what = what.map_or("", |workload| workload.what);
        for (number, measure) in outcome.measures(Who::Pgweir).into_iter().enumerate() {
            let name = format!("{}: {what}", outcome.workload);
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                if number == 0 { &name } else { "" },
                measure.title(),
                show(outcome, Who::Pgweir, measure),
                show(outcome, Who::Pgbouncer, measure),
                show_ratio(outcome, Who::Pgweir, measure),
                show(outcome, Who::AllWorkers, measure),
                show_ratio(outcome, Who::AllWorkers, measure),
            )
            .unwrap();
        }
    }
    text
}

fn show(outcome: &Outcome, who: Who, measure: Measure) -> String {
    outcome.value(who, measure).map_or_else(String::new, |value| measure.show(value))
}

fn show_ratio(outcome: &Outcome, who: Who, measure: Measure) -> String {
    let ratio = outcome.ratio(who, Who::Pgbouncer, measure);
    ratio.map_or_else(String::new, |ratio| format!("**{ratio:.2}**"))
}

/// One line about a finished workload, for who waits.
pub(crate) fn progress(workload: &Workload, outcome: &Outcome) -> String {
    let mut line = format!("{}:", workload.name);
    for measure in outcome.measures(Who::Pgweir) {
        write!(line, " {} {}", measure.title(), show(outcome, Who::Pgweir, measure)).unwrap();
        match outcome.ratio(Who::Pgweir, Who::Pgbouncer, measure) {
            Some(ratio) => write!(line, " ({ratio:.2} ×);").unwrap(),
            None => line.push(';'),
        }
    }
    line
}

fn output(command: &str, args: &[&str]) -> String {
    let out = Command::new(command).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned()
}

/// The first line of `pgbouncer --version`.
pub(crate) fn pgbouncer_version() -> String {
    output(crate::common::weir::pgbouncer().to_str().unwrap(), &["--version"])
}
