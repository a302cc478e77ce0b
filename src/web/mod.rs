//! The HTTP side: `/metrics` for Prometheus, `/healthz` and `/ready` for whoever supervises us.
//!
//! It answers questions and changes nothing. What the answers are comes in with [`Web`]: the
//! metrics, a closure that brings the gauges up to date, and one that says whether we are ready.
//!
//! The port is meant for a trusted network, yet a stuck or hostile peer must not use up the
//! process: connections are few ([`listener`]), and an idle one is closed.

mod listener;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the Prometheus text format calls itself.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long answers under way may take to go out once we are told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What is served.
#[derive(Clone)]
pub struct Web {
    /// Rendered by `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Sets the gauges from the state of pools, hosts and workers; called before each rendering,
    /// on a thread that may block.
    pub before_scrape: Arc<dyn Fn() + Send + Sync>,
    /// Whether new clients would be served; otherwise why not, in words for the operator.
    pub readiness: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

/// Serves until `stop` is cancelled; answers under way are then given [`STOP_GRACE`].
///
/// # Errors
/// The listener cannot be used (any more). A single connection's errors stay its own.
pub async fn serve(listener: TcpListener, web: Web, stop: CancellationToken) -> io::Result<()> {
    let serving = axum::serve(listener::Limited::new(listener), router(web))
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let out_of_patience = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        result = serving => result,
        () = out_of_patience => Ok(()),
    }
}

fn router(web: Web) -> Router {
    Router::new()
        .route("/", get(async || "pgweir\n\n/metrics  /healthz  /ready\n"))
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "alive\n"))
        .route("/ready", get(ready))
        .with_state(web)
}

async fn scrape(State(web): State<Web>) -> Response {
    // Thousands of series take milliseconds to render; the topology monitor lives on this runtime.
    let rendered = tokio::task::spawn_blocking(move || {
        (web.before_scrape)();
        web.metrics.render()
    });
    match rendered.await {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!("could not render /metrics: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be rendered; see the log\n")
                .into_response()
        }
    }
}

async fn ready(State(web): State<Web>) -> Response {
    match (web.readiness)() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    }

    async fn start(web: Web) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, web, stop.clone()));
        Served { address, stop, task }
    }

    fn quiet() -> Web {
        Web {
            metrics: Metrics::new("1.0"),
            before_scrape: Arc::new(|| ()),
            readiness: Arc::new(|| Ok(())),
        }
    }

    /// Status line, headers in lower case, and body.
    async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn metrics_are_brought_up_to_date_and_rendered_as_prometheus_text() {
        let web = quiet();
        let metrics = Arc::clone(&web.metrics);
        let clients = Mutex::new(0_u32);
        let before_scrape = Arc::new(move || {
            let mut clients = clients.lock().unwrap();
            *clients += 1;
            metrics.process().clients.set(*clients);
        });
        let served = start(Web { before_scrape, ..web }).await;
        for expected in 1..=2 {
            let (status, head, body) = request(served.address, "GET", "/metrics").await;
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
        let served = start(Web { before_scrape, ..quiet() }).await;
        assert_eq!(request(served.address, "GET", "/metrics").await.0, 500);
        assert_eq!(request(served.address, "GET", "/metrics").await.0, 200);
    }

    #[tokio::test]
    async fn ready_says_why_not_while_health_only_says_that_we_live() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let readiness = Arc::new(move || match asked.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no primary known for app".to_owned()),
        });
        let served = start(Web { readiness, ..quiet() }).await;

        let (status, _, body) = request(served.address, "GET", "/ready").await;
        assert_eq!((status, &*body), (503, "not ready: no primary known for app\n"));
        let (status, _, body) = request(served.address, "GET", "/healthz").await;
        assert_eq!((status, &*body), (200, "alive\n"));

        ready.store(true, Ordering::Relaxed);
        let (status, _, body) = request(served.address, "GET", "/ready").await;
        assert_eq!((status, &*body), (200, "ready\n"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_404_and_what_is_not_a_question_405() {
        let served = start(quiet()).await;
        assert_eq!(request(served.address, "GET", "/primary").await.0, 404);
        assert_eq!(request(served.address, "POST", "/metrics").await.0, 405);
        assert_eq!(request(served.address, "HEAD", "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn cancelling_closes_idle_connections_and_ends_the_server() {
        let served = start(quiet()).await;
        let mut kept_alive = TcpStream::connect(served.address).await.unwrap();
        kept_alive.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        kept_alive.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");

        served.stop.cancel();
        tokio::time::timeout(STOP_GRACE / 2, served.task).await.unwrap().unwrap().unwrap();
        let mut rest = Vec::new();
        kept_alive.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"alive\n"));
        assert!(TcpStream::connect(served.address).await.is_err(), "still listening");
    }

    #[tokio::test]
    async fn a_peer_that_never_finishes_its_request_does_not_hold_up_the_stop() {
        let served = start(quiet()).await;
        let mut stuck = TcpStream::connect(served.address).await.unwrap();
        stuck.write_all(b"GET /healthz HTT").await.unwrap();
        // Answered after it, so the stuck one has been accepted too.
        assert_eq!(request(served.address, "GET", "/healthz").await.0, 200);
        served.stop.cancel();
        tokio::time::timeout(STOP_GRACE * 5, served.task).await.unwrap().unwrap().unwrap();
    }
}
