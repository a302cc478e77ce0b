use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::report::connections::{ClientState, Connection, Endpoint};
use crate::report::pools::{HostShare, PoolRow};
use crate::report::queries::QueryReport;
use crate::report::topology::HostRow;
use crate::session::queries::QueryRow;
use crate::topology::snapshot::Unfit;
use crate::worker::client::Replication;

/// A pooler with a primary and a replica, a pool, and some clients.
struct Fake {
    refuses: Option<&'static str>,
    token: Option<&'static str>,
    clusters: Vec<ClusterRow>,
    clients: u64,
}

impl Default for Fake {
    fn default() -> Self {
        let clusters = vec![cluster("app", vec![host("pg1", "primary"), host("pg2", "replica")])];
        Self { refuses: None, token: None, clusters, clients: 3 }
    }
}

fn host(name: &str, role: &'static str) -> HostRow {
    HostRow {
        servers_active: 0,
        servers_idle: 0,
        transactions: 0,
        database: "app".to_owned(),
        address: format!("{name}:5432"),
        host: name.to_owned(),
        port: 5432,
        role,
        state: "up",
        timeline: Some(3),
        lsn: Some(0x16_B374_D848),
        lag_bytes: Some(if role == "replica" { 5 << 20 } else { 0 }),
        lag: Some(Duration::from_millis(if role == "replica" { 2500 } else { 0 })),
        since: UNIX_EPOCH + Duration::from_millis(1_795_521_293_250),
        last_change: Some(format!("{role}, was unknown")),
        last_error: None,
        no_reads: Some(Unfit::Primary).filter(|_| role != "replica"),
    }
}

fn cluster(database: &str, hosts: Vec<HostRow>) -> ClusterRow {
    let primary = hosts.iter().find(|host| host.role == "primary");
    ClusterRow {
        database: database.to_owned(),
        primary: primary.map(|host| host.address.clone()),
        primary_missing: primary.is_none().then_some(Duration::from_secs(7)),
        switching_over: false,
        split_brain: false,
        needs_primary: true,
        no_primary: None,
        hosts,
    }
}

impl Source for Fake {
    fn readiness(&self) -> Result<(), String> {
        self.refuses.map_or(Ok(()), |why| Err(why.to_owned()))
    }
    fn token(&self) -> Option<SecretText> {
        self.token.map(|token| SecretText::new(token.to_owned()))
    }
    fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        None
    }
    fn version(&self) -> &'static str {
        "1.0"
    }
    fn uptime(&self) -> Duration {
        Duration::from_secs(60)
    }
    fn overview(&self) -> Overview {
        Overview { state: "active", clients: 3, clients_limit: 100, ..Overview::default() }
    }
    fn clusters(&self) -> Vec<ClusterRow> {
        self.clusters.clone()
    }
    fn pools(&self) -> Vec<PoolReport> {
        let share = |host: &str, transactions| HostShare {
            host: host.to_owned(),
            size: Some(20),
            transactions,
            queries: 2 * transactions,
            query_buckets: vec![transactions, transactions],
            ..HostShare::default()
        };
        let row = PoolRow { clients_active: 2, ..PoolRow::quiet("app", "alice", "transaction") };
        let hosts = vec![share("pg1:5432", 10), share("pg2:5432", 30)];
        vec![PoolReport { row, paused: false, hosts }]
    }
    fn clients(&self) -> Vec<ClientRow> {
        let row = |id| ClientRow {
            state: if id == 2 { ClientState::Waiting } else { ClientState::Idle },
            waits_for: None,
            connection: Connection {
                id,
                link: None,
                user: Some("alice".to_owned()),
                database: Some(if id == 3 { "other" } else { "app" }.to_owned()),
                replication: Replication::None,
                remote: Endpoint::Tcp { addr: "::1".to_owned(), port: 50_000 },
                local: Endpoint::Unknown,
                connect_time: UNIX_EPOCH,
                request_time: UNIX_EPOCH,
                wait: Duration::from_millis(1500),
                close_needed: false,
                remote_pid: 0,
                tls: String::new(),
                application_name: "psql".to_owned(),
                prepared_statements: 0,
            },
        };
        (1..=self.clients).map(row).collect()
    }
    fn events(&self) -> Vec<EventRow> {
        let row = |second, database: &str| EventRow {
            time: UNIX_EPOCH + Duration::from_secs(second),
            database: database.to_owned(),
            host: None,
            event: "no primary",
            timeline: None,
            detail: "clients that need one wait".to_owned(),
        };
        vec![row(1, "app"), row(2, "other"), row(3, "app")]
    }
    fn queries(&self) -> QueryReport {
        let row = |database: &str, calls| QueryRow {
            database: database.to_owned(),
            user: "alice".to_owned(),
            host: "pg1:5432".to_owned(),
            text: "select $1".to_owned(),
            calls,
            total_us: 3_000_000,
            p50_us: 250,
            p99_us: 2_500_000,
            ..QueryRow::default()
        };
        QueryReport { most: 10, rows: vec![row("app", 2), row("other", 1), row("app", 3)] }
    }
}

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

fn web(fake: Fake) -> Web {
    Web { metrics: Metrics::new("1.0"), before_scrape: Arc::new(|| ()), source: Arc::new(fake) }
}

fn serve_it(web: Web) -> Served {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let thread = start(vec![Door::Tcp(listener)], web, stop.clone()).unwrap();
    Served { address, stop, thread }
}

/// Status, head in lower case, and body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = request.replace('\n', "\r\n");
    let head = format!("{request}\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, &format!("GET {path} HTTP/1.1")).await;
    (status, body)
}

async fn json_of(address: SocketAddr, path: &str) -> Value {
    let (status, body) = get(address, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn metrics_are_brought_up_to_date_and_rendered_as_prometheus_text() {
    let web = web(Fake::default());
    let metrics = Arc::clone(&web.metrics);
    let clients = Mutex::new(0_u32);
    let before_scrape = Arc::new(move || {
        let mut clients = clients.lock().unwrap();
        *clients += 1;
        metrics.process().clients.set(*clients);
    });
    let served = serve_it(Web { before_scrape, ..web });
    for expected in 1..=2 {
        let (status, head, body) = ask(served.address, "GET /metrics HTTP/1.1").await;
        assert_eq!(status, 200);
        assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8"));
        let line = format!("pgweir_clients {expected}");
        assert!(body.lines().any(|found| found == line), "no {line} in\n{body}");
    }
}

#[tokio::test]
async fn a_panic_while_rendering_is_an_error_500_and_the_next_scrape_works() {
    let first = AtomicBool::new(true);
    let before_scrape = Arc::new(move || {
        assert!(!first.swap(false, Ordering::Relaxed), "a panic, as the test wants it");
    });
    let served = serve_it(Web { before_scrape, ..web(Fake::default()) });
    assert_eq!(get(served.address, "/metrics").await.0, 500);
    assert_eq!(get(served.address, "/metrics").await.0, 200);
}

#[tokio::test]
async fn ready_says_why_not_while_health_only_says_that_we_live() {
    let served = serve_it(web(Fake { refuses: Some("paused"), ..Fake::default() }));
    assert_eq!(get(served.address, "/ready").await, (503, "not ready: paused\n".to_owned()));
    assert_eq!(get(served.address, "/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(get(served.address, "/primary").await.0, 503);
    let served = serve_it(web(Fake::default()));
    assert_eq!(get(served.address, "/ready").await, (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn probes_tell_by_their_status_whether_there_is_a_primary_and_a_replica_near_enough() {
    let late = cluster("late", vec![host("pg9", "replica")]);
    let mut clusters = Fake::default().clusters;
    clusters.push(late);
    let served = serve_it(web(Fake { clusters, ..Fake::default() }));
    for (path, status) in [
        ("/primary?database=app", 200),
        ("/primary?database=late", 503),
        ("/primary", 503), // not all have one
        ("/primary?database=nobody", 404),
        ("/replica", 200),
        ("/replica?lag=10MB", 200),
        ("/replica?lag=5242880", 200),
        ("/replica?lag=5242879", 503),
        ("/replica?lag=4MB", 503),
        ("/replica?lag=10s", 200),
        ("/replica?lag=2500ms&database=app", 200),
        ("/replica?lag=1s", 503),
        ("/replica?lag=much", 400),
    ] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let (found, _, body) = ask(served.address, &format!("{method} {path} HTTP/1.1")).await;
            assert_eq!(found, status, "{method} {path}: {body}");
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
    let (_, body) = get(served.address, "/primary").await;
    let expected = json!({ "ok": false, "role": "primary", "why": "late: no primary is known" });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn where_no_roles_are_followed_probes_for_a_role_say_so() {
    let served = serve_it(web(Fake { clusters: Vec::new(), ..Fake::default() }));
    let (status, body) = get(served.address, "/primary").await;
    assert!(status == 503 && body.contains("target_session_attrs"), "{status} {body}");
}

#[tokio::test]
async fn a_replica_whose_lag_is_not_known_is_not_near() {
    let unknown = HostRow { lag: None, lag_bytes: None, ..host("pg2", "replica") };
    let clusters = vec![cluster("app", vec![host("pg1", "primary"), unknown])];
    let served = serve_it(web(Fake { clusters, ..Fake::default() }));
    assert_eq!(get(served.address, "/replica").await.0, 200);
    assert_eq!(get(served.address, "/replica?lag=1GB").await.0, 503);
    assert_eq!(get(served.address, "/replica?lag=1h").await.0, 503);
}

#[tokio::test]
async fn with_a_token_only_the_probes_and_the_empty_page_are_open_and_probes_name_nobody() {
    let clusters = vec![cluster("hush", vec![host("pg2", "replica")])];
    let served = serve_it(web(Fake { token: Some("open sesame"), clusters, ..Fake::default() }));
    let guarded =
        ["/metrics", "/api/v1/status", "/api/v1/topology", "/api/v1/pools", "/api/v1/clients"];
    for path in guarded.into_iter().chain(["/api/v1/events", "/api/v1/queries"]) {
        for shown in ["", "\nAuthorization: Bearer open", "\nAuthorization: Basic open sesame"] {
            let (status, head, _) =
                ask(served.address, &format!("GET {path} HTTP/1.1{shown}")).await;
            assert_eq!(status, 401, "{path}{shown}");
            assert!(head.contains("www-authenticate: bearer"));
        }
        let request = format!("GET {path} HTTP/1.1\nAuthorization: Bearer open sesame");
        assert_eq!(ask(served.address, &request).await.0, 200, "{path}");
    }
    for path in ["/", "/healthz", "/ready", "/replica"] {
        assert_eq!(get(served.address, path).await.0, 200, "{path}");
    }
    let (_, body) = get(served.address, "/primary").await;
    assert!(body.contains("an entry: no primary is known") && !body.contains("hush"), "{body}");
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_a_question_405() {
    let served = serve_it(web(Fake::default()));
    assert_eq!(get(served.address, "/nothing").await.0, 404);
    assert_eq!(get(served.address, "/api/v1/pools?limit=many").await.0, 400);
    for method in ["POST", "DELETE", "PUT"] {
        let request = format!("{method} /api/v1/pools HTTP/1.1\nContent-Length: 0");
        assert_eq!(ask(served.address, &request).await.0, 405, "{method}");
    }
}

#[tokio::test]
async fn nothing_is_kept_or_guessed_and_the_page_may_run_nothing_but_its_own() {
    let served = serve_it(web(Fake::default()));
    for path in ["/", "/metrics", "/api/v1/status", "/healthz", "/nothing"] {
        let (_, head, _) = ask(served.address, &format!("GET {path} HTTP/1.1")).await;
        for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!head.contains("access-control-allow"), "no other site reads it");
    }
    let (_, head, _) = ask(served.address, "GET / HTTP/1.1").await;
    let policy = head.split("content-security-policy: ").nth(1).unwrap();
    let policy = policy.split("\r\n").next().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
}

/// The names of an object's fields.
fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What docs/http.md says of an answer: the rows of its table.
fn documented(part: &str) -> BTreeSet<&str> {
    let text = include_str!("../../docs/http.md");
    let section = text.split("\n### ").find(|section| section.starts_with(part)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.collect()
}

#[tokio::test]
async fn every_answer_has_the_fields_that_are_documented_and_no_other() {
    let served = serve_it(web(Fake::default()));
    let status = json_of(served.address, "/api/v1/status").await;
    let topology = json_of(served.address, "/api/v1/topology").await;
    let pools = json_of(served.address, "/api/v1/pools").await;
    let clients = json_of(served.address, "/api/v1/clients").await;
    let events = json_of(served.address, "/api/v1/events").await;
    let queries = json_of(served.address, "/api/v1/queries").await;
    let late = HostRow { no_reads: Some(Unfit::Undecided), ..host("pg2", "replica") };
    let clusters = vec![cluster("app", vec![host("pg1", "primary"), late])];
    let served = serve_it(web(Fake { clusters, ..Fake::default() }));
    let warned = json_of(served.address, "/api/v1/status").await;
    let cluster = &topology["databases"][0];
    for (part, found) in [
        ("`/api/v1/status`", &status),
        ("A warning", &warned["warnings"][0]),
        ("Totals", &status["totals"]),
        ("What a host does", &status["hosts"][0]),
        ("`/api/v1/topology`", &topology),
        ("A database that follows roles", cluster),
        ("A host of it", &cluster["hosts"][0]),
        ("`/api/v1/pools`", &pools),
        ("A pool", &pools["pools"][0]),
        ("A host of a pool", &pools["pools"][0]["hosts"][0]),
        ("`/api/v1/clients`", &clients),
        ("A client", &clients["clients"][0]),
        ("`/api/v1/events`", &events),
        ("An event", &events["events"][0]),
        ("`/api/v1/queries`", &queries),
        ("A statement", &queries["queries"][0]),
    ] {
        assert_eq!(fields(found), documented(part), "{part}");
    }
}

#[tokio::test]
async fn the_answers_say_what_the_pooler_says() {
    let served = serve_it(web(Fake::default()));
    let topology = json_of(served.address, "/api/v1/topology").await;
    let cluster = &topology["databases"][0];
    assert_eq!((&cluster["database"], &cluster["primary"]), (&json!("app"), &json!("pg1:5432")));
    let replica = &cluster["hosts"][1];
    assert_eq!(
        *replica,
        json!({
            "address": "pg2:5432", "host": "pg2", "port": 5432, "role": "replica", "state": "up",
            "fit_for_reads": true, "no_reads": null, "timeline": 3, "lsn": "16/B374D848", "lag_bytes": 5 << 20,
            "lag_seconds": 2.5, "since": 1_795_521_293.25, "last_change": "replica, was unknown",
            "last_error": null,
        })
    );
    let status = json_of(served.address, "/api/v1/status").await;
    let totals = &status["totals"];
    assert_eq!((&totals["transactions"], &totals["queries"]), (&json!(40), &json!(80)));
    assert_eq!(totals["query_buckets"], json!([40, 40]));
    assert_eq!(status["hosts"][1]["transactions"], 30);
    assert_eq!(status["bounds_seconds"][0], 0.0001);
    assert_eq!(status["warnings"], json!([]));
    let pools = json_of(served.address, "/api/v1/pools").await;
    assert_eq!(pools["pools"][0]["clients_active"], 2);
}

#[tokio::test]
async fn clients_come_page_by_page_each_once_and_can_be_chosen() {
    let served = serve_it(web(Fake { clients: 2500, ..Fake::default() }));
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/api/v1/clients?limit=900&after={after}");
        let page = json_of(served.address, &path).await;
        assert_eq!(page["total"], 2500);
        let clients = page["clients"].as_array().unwrap();
        seen.extend(clients.iter().map(|client| client["id"].as_u64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, (1..=2500).collect::<Vec<_>>());
    let unlimited = json_of(served.address, "/api/v1/clients?limit=1000000").await;
    assert_eq!(unlimited["clients"].as_array().unwrap().len(), 1000, "never more than that");
    let waiting = json_of(served.address, "/api/v1/clients?state=waiting").await;
    assert_eq!((&waiting["total"], &waiting["clients"][0]["id"]), (&json!(1), &json!(2)));
    assert_eq!(waiting["clients"][0]["address"], "[::1]:50000");
    let other = json_of(served.address, "/api/v1/clients?database=other&user=alice").await;
    assert_eq!((&other["total"], &other["next"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn events_come_newest_first_and_lists_can_be_cut() {
    let served = serve_it(web(Fake::default()));
    let times = |answer: &Value| -> Vec<f64> {
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["time"].as_f64().unwrap()).collect()
    };
    let all = json_of(served.address, "/api/v1/events").await;
    assert_eq!(times(&all), [3.0, 2.0, 1.0]);
    let some = json_of(served.address, "/api/v1/events?limit=1&offset=1&database=app").await;
    assert_eq!((times(&some), &some["total"]), (vec![1.0], &json!(2)));
    let queries = json_of(served.address, "/api/v1/queries?limit=1&database=app").await;
    assert_eq!((&queries["most"], &queries["total"]), (&json!(10), &json!(2)));
    assert_eq!(queries["queries"].as_array().unwrap().len(), 1);
    let first = &queries["queries"][0];
    assert_eq!((&first["mean_seconds"], &first["p50_seconds"]), (&json!(1.5), &json!(0.00025)));
    let none = json_of(served.address, "/api/v1/events?offset=99").await;
    assert_eq!(times(&none), [0.0; 0]);
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_ends_the_thread() {
    let served = serve_it(web(Fake::default()));
    let mut kept_alive = TcpStream::connect(served.address).await.unwrap();
    kept_alive.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    kept_alive.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");

    served.stop.cancel();
    tokio::task::spawn_blocking(|| served.thread.join().unwrap()).await.unwrap();
    let mut rest = Vec::new();
    kept_alive.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"alive\n"));
    assert!(TcpStream::connect(served.address).await.is_err(), "still listening");
}

#[tokio::test]
async fn a_peer_that_never_finishes_its_request_does_not_hold_up_the_stop() {
    let served = serve_it(web(Fake::default()));
    let mut stuck = TcpStream::connect(served.address).await.unwrap();
    stuck.write_all(b"GET /healthz HTT").await.unwrap();
    // Answered after it, so the stuck one has been accepted too.
    assert_eq!(get(served.address, "/healthz").await.0, 200);
    served.stop.cancel();
    let ended = tokio::task::spawn_blocking(|| served.thread.join().unwrap());
    tokio::time::timeout(STOP_GRACE * 5, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused() {
    let served = serve_it(web(Fake::default()));
    for request in [
        format!("GET /{} HTTP/1.1", "a".repeat(60_000)),
        format!("GET /healthz HTTP/1.1\nCookie: {}", "a".repeat(60_000)),
        format!("GET /healthz HTTP/1.1{}", "\nA: b".repeat(1000)),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // It may be closed before all of it is sent.
        let _ = stream.write_all(request.replace('\n', "\r\n").as_bytes()).await;
        let _ = stream.write_all(b"\r\nHost: test\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(served.address, "/healthz").await.0, 200);
}
