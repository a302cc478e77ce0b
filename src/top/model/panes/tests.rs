//! What the panes make of the answers of pgweir, and of those of pgbouncers of several ages.

use std::time::{Duration, Instant};

use super::super::testing::look;
use super::rows::bar;
use super::*;

const STATS: &str = "database total_xact_count total_query_count total_received total_sent total_xact_time \
    total_query_time total_wait_time";

fn model(answers: &[(Show, &str)]) -> Model {
    let mut model = Model::new("here".into());
    model.look = look(answers);
    model
}

/// A line as `title=text`, without the empty ones.
fn line(grid: &Grid, at: usize) -> String {
    let cells = grid.columns.iter().zip(&grid.lines[at].cells);
    let named = cells.filter(|(_, cell)| !cell.text.is_empty());
    named
        .map(|(column, cell)| format!("{}={}", column.title, cell.text))
        .collect::<Vec<_>>()
        .join("|")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
fn hosts_have_role_timeline_lag_and_their_share() {
    let topology = |replica: u32| {
        format!(
            "database host port role state timeline lag_bytes lag_ms since last_error sv_active sv_idle xact_count\n\
             app pg1 5432 primary up 3 0 0 2026-11-24~11:54:53~UTC - 2 1 100\n\
             app pg2 5432 replica up 3 4096 1250 2026-11-24~11:54:53~UTC before 4 0 {replica}\n\
             app pg3 5432 unknown down - - - 2026-11-24~11:54:53~UTC refused 0 0 0"
        )
    };
    let start = Instant::now();
    let mut model = Model::new("here".into());
    model.saw(look(&[(Show::Topology, &topology(100))]), start);
    model.saw(look(&[(Show::Topology, &topology(120))]), start + Duration::from_secs(2));
    let grid = Pane::Hosts.grid(&model, None);
    let second = line(&grid, 1);
    assert_eq!(
        second,
        "database=app|host=pg2:5432|role=replica|state=up|tl=3|lag=1.2 s|behind=4.1 kB|busy=4|idle=0|xact/s=10|\
         share=100%|since=2026-11-24 11:54:53"
    );
    assert!(line(&grid, 2).ends_with("last error=refused"), "{}", line(&grid, 2));
    let marks: Vec<_> = grid.lines.iter().map(|line| line.mark).collect();
    assert_eq!(marks, [Mark::Plain, Mark::Plain, Mark::Bad]);
}

#[test]
fn a_pool_shows_its_use_and_the_console_is_none() {
    let model = model(&[
        (
            Show::Pools,
            "database user cl_active cl_waiting sv_active sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode\n\
             app ann 30 2 20 0 0 0 0 1 500000 transaction\n\
             app bob 1 0 1 3 1 0 0 0 0 transaction\n\
             old eve 0 0 0 0 0 0 0 0 0 session\n\
             pgbouncer pgbouncer 1 0 0 0 0 0 0 0 0 statement",
        ),
        (Show::Databases, "name pool_size\napp 20\nold 0"),
    ]);
    let grid = Pane::Pools.grid(&model, None);
    assert_eq!(
        line(&grid, 0),
        "database=app|user=ann|mode=transaction|clients=30|waiting=2|longest=1.5 s|busy=20|idle=0|size=20|\
         in use=##########"
    );
    assert_eq!(
        line(&grid, 1),
        "database=app|user=bob|mode=transaction|clients=1|waiting=0|longest=-|busy=1|idle=3|checked=1|size=20|\
         in use=#........."
    );
    assert_eq!(grid.lines.len(), 3);
    let marks: Vec<_> = grid.lines.iter().map(|line| line.mark).collect();
    assert_eq!(marks, [Mark::Bad, Mark::Plain, Mark::Quiet]);
}

#[test]
fn a_bar_is_full_only_when_all_is_in_use() {
    let bars = [0.0, 0.01, 0.5, 0.99, 1.0, 1.2].map(bar);
    assert_eq!(
        bars,
        ["..........", "#.........", "#####.....", "#########.", "##########", "##########"]
    );
}

#[test]
fn an_old_console_lacks_columns_and_panes_but_not_the_rest() {
    // pgbouncer 1.16 has neither ids nor sizes of users, and another column for cancels.
    let model = model(&[
        (
            Show::Pools,
            "database user cl_active cl_waiting cl_cancel_req sv_active sv_idle maxwait\napp ann 1 0 2 1 0 0",
        ),
        (
            Show::Clients,
            "type user database state addr port connect_time wait wait_us ptr\nC ann app active ::1 9 2026-11-24~11:54:53~CET 0 20 0x1",
        ),
    ]);
    assert_eq!(
        line(&Pane::Pools.grid(&model, None), 0),
        "database=app|user=ann|clients=1|waiting=0|longest=-|busy=1|idle=0|cancel=2"
    );
    let clients = Pane::Clients.grid(&model, None);
    assert_eq!(
        line(&clients, 0),
        "database=app|user=ann|state=active|wait=20 us|from=[::1]:9|since=2026-11-24 11:54:53"
    );
    assert_eq!(clients.lines[0].id, "0x1");
    let there: Vec<_> = Pane::ALL.into_iter().filter(|pane| pane.is_there(&model.look)).collect();
    assert_eq!(there, [Pane::Pools, Pane::Clients, Pane::Servers]);
}

#[test]
fn a_pool_has_its_clients_and_servers_alone() {
    let connections = "type user database state addr port id\n\
        C ann app active 10.0.0.1 1 1\nC bob app idle 10.0.0.1 2 2\nC ann forced idle 10.0.0.1 3 3\nC ann other idle 10.0.0.1 4 4";
    let model = model(&[
        (Show::Databases, "name force_user\napp -\nforced pool"),
        (Show::Clients, connections),
        (
            Show::Servers,
            "type user database state addr port id\nS ann app idle unix 5 5\nS pool forced used unix 5 6",
        ),
        (Show::Pools, "database user\napp ann\nforced pool"),
    ]);
    let ids = |pane: Pane, database: &str, user: &str| {
        let name = PoolName { database: database.into(), user: user.into() };
        let grid = pane.grid(&model, Some(&name));
        grid.lines.into_iter().map(|line| line.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Pane::Clients, "app", "ann"), ["1"]);
    assert_eq!(ids(Pane::Servers, "app", "ann"), ["5"]);
    assert_eq!(ids(Pane::Clients, "forced", "pool"), ["3"], "whatever their own names");
    assert_eq!(ids(Pane::Servers, "forced", "pool"), ["6"]);
    let pools = Pane::Pools.grid(&model, None);
    let name = PoolName::of_line(&model.look, &pools.lines[1]).unwrap();
    assert_eq!(name.database, "forced");
    assert!(name.row(&model.look).is_some());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
fn databases_show_rates_and_times() {
    let start = Instant::now();
    let mut model = Model::new("here".into());
    let databases = (
        Show::Databases,
        "name host port pool_size paused disabled current_connections max_connections\napp a,b 5432 20 0 0 3 0\nheld - 6432 20 1 0 0 9",
    );
    let stats = |row: &str| format!("{STATS}\n{row}");
    model.saw(look(&[databases, (Show::Stats, &stats("app 0 0 0 0 0 0 0"))]), start);
    let later = look(&[databases, (Show::Stats, &stats("app 100 200 5000 9000 100000 150000 0"))]);
    model.saw(later, start + Duration::from_secs(1));
    let grid = Pane::Databases.grid(&model, None);
    assert_eq!(
        line(&grid, 0),
        "database=app|xact/s=100|query/s=200|xact=1.0 ms|query=750 us|wait=0|in/s=5.0 kB|out/s=9.0 kB|servers=3|\
         host=a,b"
    );
    assert_eq!(line(&grid, 1), "database=held|servers=0|limit=9|state=paused");
}

#[test]
fn the_newest_event_is_the_first_and_a_record_has_every_column() {
    let model = model(&[(
        Show::Events,
        "time database host event timeline detail\n1~1~UTC app a:1 joined - named\n2~2~UTC app - no~primary - wait",
    )]);
    let grid = Pane::Events.grid(&model, None);
    assert_eq!(line(&grid, 0), "time=2 2|database=app|event=no primary|detail=wait");
    assert_eq!(grid.lines[0].mark, Mark::Bad);
    let row = record(Pane::Events, &model.look, &grid.lines[1].id).unwrap();
    assert_eq!(row.fields().count(), 6);
    assert_eq!(row.text("host"), Some("a:1"));
    assert!(record(Pane::Events, &model.look, "gone").is_none());
}
