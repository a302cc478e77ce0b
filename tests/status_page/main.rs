//! The status page in a real browser: what it shows is what the console says, and everybody can use it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod browser;
#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use browser::Browser;
use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};

fn cluster(replicas: usize) -> Cluster {
    Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas)
}

fn setup(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 4)
        .setting("route_reads", "auto")
}

fn open(weir: &Weir) -> Browser {
    let mut browser = Browser::start();
    browser.look(1280, false);
    browser.open(&format!("http://{}/", weir.http()));
    looks(&mut browser, 1);
    browser
}

/// Waits until the page has been brought up to date so many times.
fn looks(browser: &mut Browser, times: u32) {
    let looks = "Number(document.documentElement.dataset.looks ?? 0)";
    let before = browser.eval(looks).as_f64().unwrap_or(0.0);
    let enough = before + f64::from(times);
    browser.wait(&format!("{looks} >= {enough}"));
}

/// Where pictures are left for people to look at.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/status_page").join(format!("{name}.png"))
}

/// Clients that read, each over its own connection, until told to stop.
fn with_traffic<T>(weir: &Weir, clients: usize, story: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..clients {
            let (stop, port) = (&stop, weir.port());
            scope.spawn(move || {
                let mut wire = Wire::tcp(port, "app", "app").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let sleep = ["0", "0.001", "0.004"][client % 3];
                    let _ = wire.query(&format!("SELECT pg_sleep({sleep})"));
                    let _ = wire.query("SELECT 1 FROM pg_class LIMIT 5");
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            });
        }
        // However the story ends the clients do, too.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        story()
    })
}

/// The text of a cell: the row that has these words, the column of this title.
fn cell(browser: &mut Browser, table: &str, words: &str, title: &str) -> String {
    browser.text(&format!(
        "(() => {{ const table = document.getElementById({table:?}); \
         const column = [...table.querySelectorAll('th')].findIndex((th) => th.textContent === {title:?}); \
         const row = [...table.querySelectorAll('tbody tr')].find((tr) => tr.textContent.includes({words:?})); \
         return row.children[column].textContent; }})()"
    ))
}

fn content(browser: &mut Browser, id: &str) -> String {
    browser.text(&format!("document.getElementById({id:?}).textContent"))
}

#[test]
fn what_the_page_shows_is_what_the_console_says() {
    let cluster = cluster(1);
    let weir = setup(&cluster).start();
    let mut clients: Vec<_> =
        (0..6).map(|_| Wire::tcp(weir.port(), "app", "app").unwrap()).collect();
    // Four hold all servers of the primary, one waits, one does nothing.
    let (holders, others) = clients.split_at_mut(4);
    holders.iter_mut().for_each(|client| {
        client.query("BEGIN; SELECT txid_current()").unwrap();
    });
    others[0].start("BEGIN; SELECT txid_current()").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    wait::until("replica", wait::DEADLINE, || weir.get("/replica").0 == 200);
    let mut browser = open(&weir);
    looks(&mut browser, 2);

    let pools = weir.console("SHOW POOLS");
    let row = pools.find("database", "app").unwrap();
    let said = |column| pools.get(row, column).to_owned();
    assert_eq!(cell(&mut browser, "pools", "app", "Clients"), said("cl_active"));
    assert_eq!(cell(&mut browser, "pools", "app", "Waiting"), said("cl_waiting"));
    let number = |column| said(column).parse::<u32>().unwrap();
    let (used, idle) =
        (number("sv_active") + number("sv_tested"), number("sv_idle") + number("sv_used"));
    assert_eq!(used, 4);
    let servers = cell(&mut browser, "pools", "app", "Servers");
    assert_eq!(servers, format!("{used} used, {idle} idle, of 8"));
    assert_eq!(content(&mut browser, "clients"), "6 of 100");
    let version = content(&mut browser, "version");
    assert!(weir.console("SHOW VERSION").one().contains(&version), "{version}");

    let topology = weir.console("SHOW TOPOLOGY");
    for row in 0..topology.rows.len() {
        let host = format!("{}:{}", topology.get(row, "host"), topology.get(row, "port"));
        let role = cell(&mut browser, "hosts", &host, "Role");
        assert!(role.ends_with(topology.get(row, "role")), "{host}: {role}");
        let shown = |browser: &mut Browser, title| cell(browser, "hosts", &host, title);
        assert_eq!(shown(&mut browser, "State"), topology.get(row, "state"));
        assert_eq!(shown(&mut browser, "Timeline"), topology.get(row, "timeline"));
        let lag = shown(&mut browser, "Lag");
        assert_eq!(lag.is_empty(), role.ends_with("primary"), "{host}: {lag}");
    }
    let events = weir.console("SHOW EVENTS");
    let shown = browser.eval("document.querySelectorAll('#events li').length");
    assert_eq!(shown, events.rows.len());
    let last = events.get(events.rows.len() - 1, "detail");
    let newest = browser.text("document.querySelector('#events li .detail').textContent");
    assert_eq!(newest, last);

    browser.eval("document.querySelector('summary').click()");
    browser.wait("document.querySelectorAll('#clients-table tbody tr').length === 6");
    assert_eq!(cell(&mut browser, "clients-table", "waiting", "Database"), "app");
    // One second and more of waiting is worth a warning that says what to do.
    browser.wait("document.getElementById('warnings').textContent.includes('raise pool_size')");
    assert_eq!(browser.complaints(), [""; 0]);
    let own = format!("http://{}/", weir.http());
    for url in browser.requests() {
        assert!(url.starts_with(&own) || url.starts_with("data:image/svg+xml,"), "{url}");
    }
}

#[test]
fn a_failover_is_seen_as_it_happens_and_where_reads_go() {
    let mut cluster = cluster(2);
    let weir = setup(&cluster).start();
    let mut browser = open(&weir);
    with_traffic(&weir, 9, || {
        looks(&mut browser, 6);
        let share = content(&mut browser, "went-share");
        let percent: f64 = share.split(' ').nth(4).and_then(|n| n.parse().ok()).expect(&share);
        assert!((20.0..=100.0).contains(&percent), "both replicas get reads: {share}");
        let rate: f64 = browser
            .text("document.querySelector('#chart-rate b').textContent.replaceAll(',', '')")
            .parse()
            .unwrap();
        assert!(rate > 10.0, "{rate}");
        browser.wait("document.querySelector('#chart-latency b').textContent.endsWith('s')");
        for (name, width, dark) in
            [("light", 1280, false), ("dark", 1280, true), ("phone", 390, false)]
        {
            browser.look(width, dark);
            browser.picture(&picture(name));
        }
        browser.look(1280, false);
        browser.eval("document.querySelector('#hosts tbody tr').dataset.same = 'yes'");
        cluster.primary_mut().kill(Signal::KILL);
        browser.wait(
            "document.querySelector('#warnings .error .what').textContent.startsWith('No primary')",
        );
        browser.wait("document.title.startsWith('(1)')");
        browser.picture(&picture("no-primary"));
        cluster.promote(1);
        browser.wait("document.querySelector('#events').textContent.includes('primary found')");
        browser.wait("!document.querySelector('#warnings .error')");
        let host = format!("127.0.0.1:{}", cluster.primary().port());
        assert_eq!(cell(&mut browser, "hosts", &host, "Role"), "◆ primary");
        assert_eq!(cell(&mut browser, "hosts", &host, "Timeline"), "2");
        let same = "document.querySelectorAll('#hosts tr[data-same]').length";
        assert_eq!(browser.eval(same), 1, "rows are changed, not made anew");
        looks(&mut browser, 3);
        browser.picture(&picture("after-failover"));
        browser.look(390, true);
        browser.picture(&picture("phone-dark"));
    });
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What has too little contrast: WCAG 2.2, 1.4.3 for text (4.5, large text 3), 1.4.11 for lines and fields (3).
const TOO_FAINT: &str = r#"(() => {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => numbers(colour).slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((a, b) => b - a); return (x + 0.05) / (y + 0.05); };
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (numbers(colour)[3] !== 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const faint = [];
    let looked = 0;
    for (const element of document.querySelectorAll("body *")) {
        const style = getComputedStyle(element), text = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!element.checkVisibility({ visibilityProperty: true })) continue;
        if (text && !["SCRIPT", "STYLE"].includes(element.tagName)) {
            looked++;
            const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
            const found = ratio(style.color, ground(element));
            if (found < (large ? 3 : 4.5)) faint.push(`${element.tagName}.${element.className} ${element.textContent}: ${found.toFixed(2)}`);
        }
        if (element.tagName === "polyline" && ratio(style.stroke, ground(element.parentElement)) < 3) faint.push(`line ${style.stroke}`);
        if (["INPUT", "SELECT"].includes(element.tagName) && ratio(style.borderColor, ground(element.parentElement)) < 3) {
            faint.push(`border of ${element.id}`);
        }
    }
    return { faint, looked };
})()"#;

#[test]
fn everything_on_it_can_be_read_in_light_and_dark_and_fits_a_phone() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let _client = Wire::tcp(weir.port(), "app", "app").unwrap();
    // An error and a warning are on the page, too.
    cluster.primary_mut().kill(Signal::KILL);
    let mut browser = open(&weir);
    browser.wait("document.querySelector('#warnings .error')");
    browser.eval("document.querySelector('summary').click()");
    looks(&mut browser, 2);
    for dark in [false, true] {
        for width in [1280, 390, 320] {
            browser.look(width, dark);
            let found = browser.eval(TOO_FAINT);
            assert_eq!(found["faint"], serde_json::json!([]), "{width} dark: {dark}");
            assert!(found["looked"].as_u64() > Some(50), "{found}");
            let over = browser.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(over.as_i64() <= Some(0), "{over} too wide for {width}");
        }
    }
}

/// What has the focus: an id or its words, and whether one sees that it has.
const FOCUS: &str = "(() => { const e = document.activeElement, s = getComputedStyle(e); \
    const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; \
    return `${e.id || e.textContent.trim() || e.getAttribute('aria-labelledby')}|${seen}`; })()";

#[test]
fn everything_can_be_reached_and_done_with_the_keyboard() {
    let cluster = cluster(1);
    let weir = setup(&cluster).start();
    let _client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut browser = open(&weir);
    browser.press("Tab");
    assert_eq!(browser.text(FOCUS), "Skip to the content|true");
    browser.press("Enter");
    assert_eq!(browser.text("document.activeElement.id"), "main");

    let mut stops = Vec::new();
    for _ in 0..60 {
        browser.press("Tab");
        let focus = browser.text(FOCUS);
        let (what, seen) = focus.rsplit_once('|').unwrap();
        if what.contains("/metrics") {
            assert_eq!(seen, "true");
            break; // the footer: all of the content lies behind
        }
        assert_eq!(seen, "true", "{what} has the focus and does not show it");
        stops.push(what.to_owned());
        if what == "Transactions/s" {
            let sorted = "[...document.querySelectorAll('#hosts th')].map((th) => th.getAttribute('aria-sort') ?? '-').join(' ')";
            assert_eq!(browser.text(sorted), "ascending - - - - - - - - -");
            browser.press("Enter");
            assert_eq!(browser.text(sorted), "- - - - - - - descending - -");
            browser.press("Enter");
            assert_eq!(browser.text(sorted), "- - - - - - - ascending - -");
            looks(&mut browser, 1);
            assert_eq!(browser.text(FOCUS), "Transactions/s|true", "it keeps the focus");
        }
        if what == "Clients" && stops.iter().filter(|stop| *stop == "Clients").count() == 2 {
            // The summary, behind the column of that name.
            browser.press("Enter");
            browser.wait("document.querySelector('#clients-table tbody tr')");
        }
    }
    for wanted in ["Host", "Role", "Lag", "Database", "p99", "Waiting", "which", "Application"] {
        assert!(stops.iter().any(|stop| stop == wanted), "{wanted} is not among {stops:?}");
    }
    // What assistive technology goes by.
    for (selector, count) in [("h1", 1), ("main", 1), ("html[lang=en]", 1), ("[role=status]", 1)] {
        let found = browser.eval(&format!("document.querySelectorAll({selector:?}).length"));
        assert_eq!(found, count, "{selector}");
    }
    let unlabelled =
        "[...document.querySelectorAll('svg[role=img]')].filter((s) => !s.ariaLabel).length";
    assert_eq!(browser.eval(unlabelled), 0);
}

#[test]
fn a_token_is_asked_for_kept_in_the_tab_and_asked_for_again_when_it_is_wrong() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("http_auth_token", "sesame").start();
    let mut browser = Browser::start();
    browser.look(1280, false);
    browser.open(&format!("http://{}/", weir.http()));
    browser.wait("document.activeElement.id === 'token'");
    assert_eq!(browser.eval("document.getElementById('main').hidden"), true);
    browser.picture(&picture("token"));
    let enter = |browser: &mut Browser, token: &str| {
        browser.eval(&format!("document.getElementById('token').value = {token:?}"));
        browser.press("Enter");
    };
    enter(&mut browser, "open");
    browser.wait("document.getElementById('refused').textContent === 'That is not the token.'");
    enter(&mut browser, "sesame");
    browser.wait("!document.getElementById('main').hidden");
    browser.wait("document.getElementById('state').textContent === 'active'");
    browser.call("Page.reload", serde_json::json!({}));
    browser.wait("document.getElementById('state').textContent === 'active'");
    assert_eq!(browser.eval("localStorage.length + document.cookie.length"), 0);
}

#[test]
fn it_pauses_while_nobody_looks_says_when_nothing_answers_and_what_names_contain_stays_text() {
    let server = Setup::new().start();
    let mut weir = Weir::setup().server(&server).start();
    let evil = "<img src=x onerror=document.title='gotcha'>";
    let _client = Wire::tcp_with(weir.port(), "app", "app", &[("application_name", evil)]).unwrap();
    let mut browser = open(&weir);
    browser.eval("document.querySelector('summary').click()");
    browser.wait("document.querySelector('#clients-table tbody tr')");
    assert_eq!(cell(&mut browser, "clients-table", "app", "Application"), evil);
    assert_eq!(browser.eval("document.querySelectorAll('#clients-table img').length"), 0);
    assert!(content(&mut browser, "hosts-none").contains("target_session_attrs"));

    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.eval(&hide(true));
    assert_eq!(content(&mut browser, "live"), "Paused while nobody looks");
    let asked = browser.requests().len();
    // Twice as long as it would have asked again.
    browser.eval("new Promise((done) => setTimeout(done, 4500))");
    assert!(
        browser.requests().len() <= asked + 4,
        "a look that had begun may end, no other begins"
    );
    browser.eval(&hide(false));
    browser.wait("document.getElementById('live').textContent === 'Live'");

    weir.signal(Signal::STOP);
    browser.wait("document.getElementById('live').textContent.startsWith('No answer')");
    weir.signal(Signal::CONT);
    browser.wait("document.getElementById('live').textContent === 'Live'");
}
