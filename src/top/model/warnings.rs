//! What is not as it should be, and what to do about it.

use super::figures::{bytes, count, time};
use super::grid::Mark;
use super::look::{CONSOLE, Look, Show};
use super::panes::LONG_US;
use super::table::Row;

/// A part of a limit from which on it is warned of.
const NEAR: f64 = 0.9;
/// How far behind a replica is one that must be told of, where `max_replica_lag` sets no limit: milliseconds.
const LATE: f64 = 10_000.0;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// [`Mark::Bad`]: somebody suffers. [`Mark::Warn`]: it may come to that.
    pub mark: Mark,
    /// What there is, with the numbers.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// All of them, those from which somebody suffers first.
pub fn warnings(look: &Look) -> Vec<Warning> {
    let mut all = Vec::new();
    state(look, &mut all);
    hosts(look, &mut all);
    pools(look, &mut all);
    limits(look, &mut all);
    all.sort_by_key(|warning| warning.mark != Mark::Bad);
    all
}

fn warning(mark: Mark, what: String, advice: impl Into<String>) -> Warning {
    Warning { mark, what, advice: advice.into() }
}

fn state(look: &Look, all: &mut Vec<Warning>) {
    let whole = look.state();
    if matches!(whole, "paused" | "suspended") {
        let what = format!("the pooler is {whole}: new transactions wait");
        all.push(warning(Mark::Bad, what, "RESUME lets them go on"));
    }
    for row in look.rows(Show::Databases) {
        let name = row.word("name");
        if row.number("paused") == Some(1.0) && whole != "paused" {
            let what = format!("{name} is paused: its clients wait");
            all.push(warning(Mark::Bad, what, format!("RESUME {name} lets them go on")));
        }
        if row.number("disabled") == Some(1.0) {
            let what = format!("{name} is disabled: nobody can log in");
            all.push(warning(Mark::Warn, what, format!("ENABLE {name} lets them in")));
        }
    }
}

fn hosts(look: &Look, all: &mut Vec<Warning>) {
    let limited = look.setting("max_replica_lag").is_some_and(|limit| limit != "0");
    for row in look.rows(Show::Topology) {
        let name = format!("{} ({}:{})", row.word("database"), row.word("host"), row.word("port"));
        if let Some(found) = host(row, &name, limited) {
            all.push(found);
        }
    }
    // The last word on each entry's primary.
    let mut told: Vec<&str> = Vec::new();
    for row in look.rows(Show::Events).rev() {
        let (database, event) = (row.word("database"), row.word("event"));
        let about = matches!(event, "no primary" | "primary found" | "split brain");
        if !about || told.contains(&database) {
            continue;
        }
        told.push(database);
        let still = look.rows(Show::Topology).any(|host| host.word("database") == database);
        let since = row.word("time");
        let found = match event {
            "no primary" if still => warning(
                Mark::Bad,
                format!("{database} has no primary since {since}: writes wait"),
                "promote a replica, or bring the primary back; they wait up to failover_timeout",
            ),
            "split brain" if still => warning(
                Mark::Bad,
                format!("{database}: several hosts say that they are the primary, since {since}"),
                "stop all but one of them; none is believed until then",
            ),
            _ => continue,
        };
        all.push(found);
    }
}

fn host(row: Row<'_>, name: &str, limited: bool) -> Option<Warning> {
    let error = || match row.text("last_error") {
        None | Some("") => String::new(),
        Some(error) => format!(": {error}"),
    };
    if row.word("role") == "deposed" {
        let what = format!("{name} is an old primary that still takes writes");
        return Some(warning(Mark::Bad, what, "stop it, and rebuild it as a replica (pg_rewind)"));
    }
    if row.text("state").is_some_and(|state| state != "up") {
        let what = format!("{name} is {}{}", row.word("state"), error());
        return Some(warning(
            Mark::Bad,
            what,
            "nothing is sent there until it answers; see its log",
        ));
    }
    let lag = row.number("lag_ms").filter(|lag| *lag > LATE);
    match (row.text("reads"), lag) {
        (Some(why), _) if why != "yes" && row.word("role") == "replica" => {
            let what = format!("{name} gets no reads: {why}");
            let advice = "reads go to other hosts; see pg_stat_replication on the primary";
            Some(warning(Mark::Warn, what, advice))
        }
        (_, Some(lag)) if !limited => {
            let behind = [Some(time(lag * 1e3)), row.number("lag_bytes").map(bytes)];
            let behind: Vec<_> = behind.into_iter().flatten().collect();
            let what = format!("{name} is {} behind the primary", behind.join(", "));
            let advice = "reads there are as old; max_replica_lag keeps them away";
            Some(warning(Mark::Warn, what, advice))
        }
        _ => None,
    }
}

fn pools(look: &Look, all: &mut Vec<Warning>) {
    let sizes = look.pool_sizes();
    for row in look.rows(Show::Pools) {
        let value = |column| row.number(column).unwrap_or(0.0);
        let (waiting, used) = (value("cl_waiting"), value("sv_active"));
        let longest = value("maxwait") * 1e6 + value("maxwait_us");
        let (database, user) = (row.word("database"), row.word("user"));
        if waiting <= 0.0 || database == CONSOLE {
            continue;
        }
        let entry = look.find(Show::Databases, "name", database);
        if entry.is_some_and(|row| row.number("paused") == Some(1.0)) {
            continue; // said already
        }
        let mark = if longest >= LONG_US { Mark::Bad } else { Mark::Warn };
        let who = match waiting {
            1.0 => "1 client waits".to_owned(),
            more => format!("{} clients wait", count(more)),
        };
        let what = format!("{who} in {database}/{user}, the longest for {}", time(longest));
        let advice = match sizes.of(database, user) {
            Some(size) if used >= size => format!(
                "all {} servers are in use: look for long transactions (Enter on the pool), or raise pool_size",
                count(size)
            ),
            _ if used + value("sv_idle") + value("sv_used") <= 0.0 => {
                "it has no server connection: the log says why none can be opened".to_owned()
            }
            _ => "see max_db_connections, max_user_connections, and the primary's state".to_owned(),
        };
        all.push(warning(mark, what, advice));
    }
}

fn limits(look: &Look, all: &mut Vec<Warning>) {
    let most = look.setting("max_client_conn").and_then(|text| text.parse::<f64>().ok());
    if let (Some(most), Some(used)) = (most, look.count("used_clients"))
        && most > 0.0
        && used >= most * NEAR
    {
        let what = format!("{} of {} client connections are taken", count(used), count(most));
        let mark = if used >= most { Mark::Bad } else { Mark::Warn };
        all.push(warning(mark, what, "raise max_client_conn, or find who opens so many (Clients)"));
    }
    for row in look.rows(Show::Databases) {
        let name = row.word("name");
        let full = |used: &str, most: &str| {
            let (used, most) = (row.number(used)?, row.number(most)?);
            (most > 0.0 && used >= most).then(|| count(most))
        };
        if let Some(most) = full("current_connections", "max_connections") {
            let what = format!("{name} has all {most} server connections that it may have");
            all.push(warning(Mark::Warn, what, "raise max_db_connections if the server bears it"));
        }
        if let Some(most) = full("current_client_connections", "max_client_connections") {
            let what =
                format!("{name} has all {most} clients that it may have: others are refused");
            all.push(warning(Mark::Bad, what, "raise max_db_client_connections"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::look;
    use super::*;

    fn told(answers: &[(Show, &str)]) -> Vec<String> {
        let all = warnings(&look(answers));
        all.iter()
            .map(|found| format!("{} {} => {}", found.mark.sign(), found.what, found.advice))
            .collect()
    }

    const CALM: [(Show, &str); 6] = [
        (Show::State, "key value\nactive yes\npaused no\nsuspended no"),
        (
            Show::Databases,
            "name pool_size paused disabled max_connections current_connections\napp 20 0 0 0 5",
        ),
        (
            Show::Pools,
            "database user cl_waiting sv_active maxwait maxwait_us\napp ann 0 5 0 0\npgbouncer pgbouncer 1 0 9 0",
        ),
        (
            Show::Topology,
            "database host port role state lag_ms lag_bytes last_error\napp a 1 primary up 0 0 -\napp b 2 replica up 120 8 was~down",
        ),
        (Show::Events, "time database event\n1 app no~primary\n2 app primary~found"),
        (Show::Config, "key value\nmax_client_conn 100\nmax_replica_lag 0"),
    ];

    fn told_with(show: Show, text: &str) -> Vec<String> {
        let mut answers = CALM.to_vec();
        answers.retain(|(known, _)| *known != show);
        answers.push((show, text));
        told(&answers)
    }

    #[test]
    fn nothing_is_said_where_all_is_well_or_nothing_known() {
        assert_eq!(told(&CALM), [""; 0]);
        assert_eq!(told(&[]), [""; 0]);
    }

    #[test]
    fn waiting_clients_are_told_of_with_the_limit_that_holds_them() {
        let pool = |row| {
            told_with(
                Show::Pools,
                &format!("database user cl_waiting sv_active sv_idle maxwait maxwait_us\n{row}"),
            )
        };
        assert_eq!(
            pool("app ann 3 40 0 2 500000"),
            [
                "! 3 clients wait in app/ann, the longest for 2.5 s => all 40 servers are in use: look for long \
              transactions (Enter on the pool), or raise pool_size"
            ]
        );
        assert!(pool("app ann 1 0 0 0 200000")[0].starts_with(
            "~ 1 client waits in app/ann, the longest for 200 ms => it has no server"
        ));
        assert!(pool("app ann 1 3 0 0 200000")[0].contains("max_db_connections"));
    }

    #[test]
    fn hosts_that_are_down_late_or_deposed_are_told_of() {
        let columns = "database host port role state lag_ms lag_bytes last_error";
        let text = format!(
            "{columns}\napp a 1 deposed up - - -\napp b 2 unknown down - - refused\napp c 3 replica up 11000 2000000 -"
        );
        let told = told_with(Show::Topology, &text);
        assert!(told[0].starts_with("! app (a:1) is an old primary"), "{told:?}");
        assert!(told[1].starts_with("! app (b:2) is down: refused => "), "{told:?}");
        assert!(
            told[2].starts_with("~ app (c:3) is 11 s, 2.0 MB behind the primary => reads there"),
            "{told:?}"
        );
        let text = format!("{columns} reads\napp c 3 replica up 11000 8 - 11.0~s~behind");
        let told = told_with(Show::Topology, &text);
        assert_eq!(
            told,
            [
                "~ app (c:3) gets no reads: 11.0 s behind => reads go to other hosts; see pg_stat_replication on the primary"
            ]
        );
        // As far behind as it may be.
        let mut strict = CALM.to_vec();
        strict.retain(|(show, _)| !matches!(show, Show::Config | Show::Topology));
        strict.push((Show::Config, "key value\nmax_replica_lag 60"));
        let text = format!("{columns} reads\napp c 3 replica up 11000 8 - yes");
        strict.push((Show::Topology, &text));
        assert_eq!(self::told(&strict), [""; 0]);
    }

    #[test]
    fn a_missing_primary_is_the_last_event_about_it() {
        let event = |events| told_with(Show::Events, &format!("time database event\n{events}"));
        assert!(
            event("1 app primary~found\n2 app no~primary\n3 app down")[0]
                .starts_with("! app has no primary since 2")
        );
        assert!(event("1 app no~primary\n2 app split~brain")[0].contains("several hosts"));
        assert_eq!(event("1 gone no~primary"), [""; 0], "an entry that is not there any more");
    }

    #[test]
    fn pauses_and_limits_are_told_of() {
        let paused = told_with(Show::State, "key value\nactive no\npaused yes\nsuspended no");
        assert!(paused[0].starts_with("! the pooler is paused"), "{paused:?}");
        let databases = "name paused disabled max_connections current_connections\nfull 0 0 5 5\nstill 1 0 0 0\noff 0 1 0 0";
        let told = told_with(Show::Databases, databases);
        assert!(told[0].starts_with("! still is paused"), "{told:?}");
        assert!(told[1].starts_with("~ off is disabled"), "{told:?}");
        assert!(told[2].starts_with("~ full has all 5 server connections"), "{told:?}");
        let lists = told_with(Show::Lists, "list items\nused_clients 95");
        assert!(lists[0].starts_with("~ 95 of 100 client connections"), "{lists:?}");
    }
}
