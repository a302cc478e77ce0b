//! Pictures on a screen of ratatui's that is only memory.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::top::model::look::{Look, Show};
use crate::top::model::testing::look;
use crate::top::model::view::Key;

const PLAIN: Theme = Theme { colour: false, unicode: true };

fn whole(transactions: u32) -> Look {
    let stats = format!(
        "database total_xact_count total_query_count total_received total_sent total_xact_time total_query_time total_wait_time\n\
         app {transactions} {transactions} 0 0 {}000 {}000 0",
        transactions, transactions
    );
    let topology = format!(
        "database host port role state timeline lag_ms lag_bytes last_error xact_count\n\
         app pg1 5432 primary up 3 0 0 - 0\napp pg2 5432 replica up 3 40 100 - {transactions}"
    );
    look(&[
        (Show::Version, "version\nPgBouncer~1.25.2~(pgweir~0.1.0)"),
        (Show::State, "key value\nactive yes\npaused no"),
        (Show::Config, "key value\nmax_client_conn 100"),
        (Show::Lists, "list items\nused_clients 42"),
        (Show::Stats, &stats),
        (Show::Databases, "name host port pool_size current_connections\napp pg1,pg2 5432 20 7"),
        (
            Show::Pools,
            "database user cl_active cl_waiting sv_active sv_idle maxwait maxwait_us pool_mode\n\
             app ann 30 0 5 2 0 0 transaction\napp bob 9 3 40 0 2 0 transaction",
        ),
        (Show::Topology, &topology),
        (
            Show::Events,
            "time database host event timeline detail\n2026-11-24~11:54:53~UTC app pg1:5432 primary 3 was~replica",
        ),
    ])
}

struct Stage {
    model: Model,
    view: View,
    now: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
fn stage() -> Stage {
    let now = Instant::now();
    let mut model = Model::new("db:6432".into());
    model.saw(whole(0), now);
    let now = now + Duration::from_secs(2);
    model.saw(whole(2468), now);
    Stage { model, view: View::new(Duration::from_secs(2)), now }
}

impl Stage {
    fn terminal(&mut self, width: u16, height: u16, theme: Theme) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        self.view.resized(height);
        let Self { model, view, now } = self;
        terminal.draw(|frame| draw(frame, model, view, theme, *now)).unwrap();
        terminal
    }

    /// The screen's lines.
    fn lines(&mut self, width: u16, height: u16) -> Vec<String> {
        let terminal = self.terminal(width, height, PLAIN);
        let cells = terminal.backend().buffer().content();
        let line = |cells: &[ratatui::buffer::Cell]| {
            cells.iter().map(|cell| cell.symbol()).collect::<String>()
        };
        cells.chunks(usize::from(width)).map(|cells| line(cells).trim_end().to_owned()).collect()
    }
}

#[track_caller]
fn assert_line(lines: &[String], words: &[&str]) {
    let found = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?} in\n{}", lines.join("\n"));
}

#[test]
fn the_overview_fits_80_by_24_and_says_what_matters() {
    let lines = stage().lines(80, 24);
    assert_line(&lines[..1], &["pgweir top", "db:6432", "PgBouncer 1.25.2", "active", "every 2 s"]);
    assert_line(&lines[1..2], &["1 Overview", "2 Hosts", "3 Pools", "8 Events"]);
    assert!(!lines[1].contains("7 Reads"), "{}", lines[1]);
    assert_line(&lines, &["xact/s", "1,234", "per xact", "1.0 ms"]);
    assert_line(&lines, &["clients 42 of 100", "waiting 3", "servers busy 45", "on replicas 100%"]);
    assert_line(&lines, &["!3 clients wait in app/bob, the longest for 2.0 s"]);
    assert_line(&lines, &["pg1:5432", "primary", "up", "3"]);
    assert_line(&lines, &["pg2:5432", "replica", "40 ms", "1,234", "100%"]);
    assert_line(&lines, &["!app", "bob", "3", "2.0 s", "##########"]);
    assert_line(&lines, &["2026-11-24 11:54:53", "pg1:5432", "was replica"]);
    assert_line(&lines[23..], &["? keys", "q quit"]);
    let bob = lines.iter().position(|line| line.starts_with("!app") && line.contains("bob"));
    let ann = lines.iter().position(|line| line.contains("ann"));
    assert!(bob < ann, "those that wait are the first");
}

#[test]
fn a_large_screen_has_more_columns_and_panes() {
    let lines = stage().lines(200, 50);
    assert_line(&lines, &["xact/s", "per xact", "query/s", "wait "]);
    assert_line(&lines, &["database", "host", "behind"]);
    assert_line(&lines, &["─ Databases 1"]);
    assert_line(&lines, &["all 40 servers are in use: look for long transactions"]);
}

#[test]
fn every_size_can_be_drawn() {
    let mut stage = stage();
    for page in "12345678w?".chars() {
        stage.view.key(Key::Char(page), &stage.model);
        for (width, height) in [(1, 1), (39, 9), (40, 10), (41, 11), (80, 12), (300, 100)] {
            stage.lines(width, height);
        }
    }
    assert_line(&stage.lines(39, 5), &["too small"]);
}

#[test]
fn without_colour_the_words_and_signs_are_the_same() {
    let mut stage = stage();
    let coloured = stage.terminal(80, 24, Theme { colour: true, unicode: true });
    let plain = stage.terminal(80, 24, PLAIN);
    let (coloured, plain) = (coloured.backend().buffer(), plain.backend().buffer());
    let symbols = |buffer: &ratatui::buffer::Buffer| {
        buffer.content().iter().map(|cell| cell.symbol().to_owned()).collect::<String>()
    };
    assert_eq!(symbols(coloured), symbols(plain));
    assert!(coloured.content().iter().any(|cell| cell.fg == Color::Red));
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let ascii = stage.terminal(80, 24, Theme { colour: false, unicode: false });
    assert!(symbols(ascii.backend().buffer()).is_ascii());
}

#[test]
fn the_chosen_line_is_reversed_and_in_sight() {
    let mut stage = stage();
    let pools =
        (0..200).map(|at| format!("app user{at:03} 1 0 1 0 0 0 session")).collect::<Vec<_>>();
    let columns =
        "database user cl_active cl_waiting sv_active sv_idle maxwait maxwait_us pool_mode";
    stage.model.look = look(&[(Show::Pools, &format!("{columns}\n{}", pools.join("\n")))]);
    stage.view.key(Key::Char('3'), &stage.model);
    stage.view.key(Key::End, &stage.model);
    assert_line(&stage.lines(80, 24), &["user190"]);
    let terminal = stage.terminal(80, 24, PLAIN);
    let buffer = terminal.backend().buffer();
    let reversed =
        buffer.content().iter().filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    let text: String = reversed.map(|cell| cell.symbol()).collect();
    assert!(text.contains("user199"), "{text}");
}

#[test]
fn a_lost_connection_is_told_and_so_is_its_return() {
    let mut stage = stage();
    stage.model.lost("cannot reach db:6432: refused".into(), stage.now);
    stage.now += Duration::from_secs(7);
    let lines = stage.lines(80, 24);
    assert_line(&lines[..1], &["NO CONNECTION for 7 s"]);
    assert_line(&lines, &["!cannot reach db:6432: refused"]);
    assert_line(&lines, &["pg1:5432", "primary"]);
    stage.model.saw(whole(1), stage.now);
    assert_line(&stage.lines(80, 24), &["connected again after 7.0 s"]);
    stage.now += Duration::from_secs(6);
    assert_line(&stage.lines(80, 24)[..1], &["no answer for 6 s"]);
    stage.now += Duration::from_secs(60);
    assert!(!stage.lines(80, 24).join("\n").contains("connected again"));
}

#[test]
fn help_warnings_record_and_filter_have_their_words() {
    let mut stage = stage();
    stage.view.key(Key::Char('?'), &stage.model);
    assert_line(&stage.lines(80, 24), &["freeze, and go on"]);
    stage.view.key(Key::Escape, &stage.model);
    stage.view.key(Key::Char('w'), &stage.model);
    assert_line(&stage.lines(80, 24), &["   all 40 servers are in use"]);
    stage.view.key(Key::Char('2'), &stage.model);
    stage.view.key(Key::Enter, &stage.model);
    assert_line(&stage.lines(80, 24), &["timeline", "3"]);
    assert_line(&stage.lines(80, 24), &["last_error", "-"]);
    stage.view.key(Key::Char('3'), &stage.model);
    for key in "/nobody".chars() {
        stage.view.key(Key::Char(key), &stage.model);
    }
    let lines = stage.lines(80, 24);
    assert_line(&lines, &["none that the filter lets through"]);
    assert_line(&lines[23..], &["filter Pools: nobody_"]);
}

#[test]
fn what_others_have_written_cannot_move_the_cursor() {
    let evil = "a\u{1b}[2Jb\rc";
    assert_eq!(fitted(evil, 10, false, PLAIN), "a[2Jbc    ");
}

#[test]
fn texts_are_cut_and_filled_by_what_they_take_on_the_screen() {
    let fit = |text, width| fitted(text, width, false, PLAIN);
    assert_eq!(fit("abc", 5), "abc  ");
    assert_eq!(fit("abc", 3), "abc");
    assert_eq!(fit("abcd", 3), "ab…");
    assert_eq!(fit("日本語", 5), "日本…");
    assert_eq!(fit("日本", 4), "日本");
    assert_eq!(fit("abc", 0), "");
    assert_eq!(fitted("7", 3, true, PLAIN), "  7");
}

#[test]
fn lines_are_shared_so_that_nobody_starves() {
    assert_eq!(share(17, &[5, 4, 8]), [5, 4, 8]);
    assert_eq!(share(12, &[100, 4, 100]), [4, 4, 4]);
    assert_eq!(share(20, &[3, 100]), [3, 17]);
    assert_eq!(share(20, &[3, 4]), [3, 17], "the last one has what is left");
    assert_eq!(share(0, &[3, 4]), [0, 0]);
}
