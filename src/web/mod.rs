//! The HTTP side: `/metrics` for Prometheus, the probes for whoever supervises or balances, JSON for programs, and a page for
//! people. docs/http.md says what each answers.
//!
//! It answers questions and changes nothing. What the answers are is a [`Source`]'s; how often and how much can be asked is
//! bounded here, because the port may be reached by people who mean no good:
//!
//! - `serve` — connections, their number and their patience
//! - `guard` — the bearer token, and what is open without it
//! - `probe` — `/healthz`, `/ready`, `/primary`, `/replica`
//! - `api` — the JSON and its schema
//! - `page` — the status page, self-contained
//! - `source` — the pooler as a [`Source`]
//!
//! All of it lives on a thread of its own: whatever happens here, the monitors' clock goes on.

mod api;
mod guard;
mod page;
mod probe;
mod serve;
mod source;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::serve::Door;
pub use self::source::Pooler;
use crate::config::SecretText;
use crate::metrics::Metrics;
use crate::report::connections::ClientRow;
use crate::report::events::EventRow;
use crate::report::overview::Overview;
use crate::report::pools::PoolReport;
use crate::report::queries::QueryReport;
use crate::report::topology::ClusterRow;

/// What the Prometheus text format calls itself.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long answers under way may take to go out once we are told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Where answers come from. What gathers rows may take milliseconds and is asked on a thread that may block, one question
/// at a time.
pub trait Source: Send + Sync {
    /// Whether new clients would be served; otherwise why not, in words for the operator.
    fn readiness(&self) -> Result<(), String>;
    /// What whoever asks must show; `None`: nothing.
    fn token(&self) -> Option<SecretText>;
    /// With what TLS is spoken over TCP; `None`: it is not.
    fn tls(&self) -> Option<Arc<rustls::ServerConfig>>;
    /// pgweir's version.
    fn version(&self) -> &'static str;
    /// For how long the process has been there.
    fn uptime(&self) -> Duration;
    /// The process as a whole.
    fn overview(&self) -> Overview;
    /// Entries that follow roles, with their hosts. Never blocks.
    fn clusters(&self) -> Vec<ClusterRow>;
    /// Pools with what each of their hosts does.
    fn pools(&self) -> Vec<PoolReport>;
    /// Clients in order of arrival.
    fn clients(&self) -> Vec<ClientRow>;
    /// What changed of late, oldest first.
    fn events(&self) -> Vec<EventRow>;
    /// What statements cost.
    fn queries(&self) -> QueryReport;
}

/// What is served.
#[derive(Clone)]
pub struct Web {
    /// Rendered by `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Sets the gauges from the state of pools, hosts and workers; called before each rendering,
    /// on a thread that may block.
    pub before_scrape: Arc<dyn Fn() + Send + Sync>,
    /// All else.
    pub source: Arc<dyn Source>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

/// Serves on a thread of its own until `stop` is cancelled; answers under way are then given two seconds.
///
/// # Errors
/// The system gives no thread, or no event queue for it. What happens later is logged.
pub fn start(doors: Vec<Door>, web: Web, stop: CancellationToken) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Questions are gathered one by one; one more thread for /metrics.
        .max_blocking_threads(2)
        .thread_name("http-gather")
        .build()?;
    thread::Builder::new().name("http".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(doors, web, stop)) {
            tracing::error!("http_listen: {error}");
        }
        runtime.shutdown_timeout(STOP_GRACE);
    })
}

async fn serve(doors: Vec<Door>, web: Web, stop: CancellationToken) -> io::Result<()> {
    let tasks = TaskTracker::new();
    let source = web.source.clone();
    let server = serve::Server::new(router(web), source, tasks.clone(), stop.clone());
    for door in doors {
        server.open(door)?;
    }
    stop.cancelled().await;
    tasks.close();
    let _ = tokio::time::timeout(STOP_GRACE, tasks.wait()).await;
    Ok(())
}

/// [`Web`], and the turn of who gathers.
#[derive(Clone)]
struct Asked {
    web: Web,
    /// One question at a time: however many ask, the workers keep their cores.
    turn: Arc<Semaphore>,
}

impl Asked {
    /// Gathers when it is this question's turn.
    async fn gather<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Web) -> T + Send + 'static,
    ) -> Result<T, Response> {
        // Never closed; an error would only lift the limit.
        let _turn = self.turn.acquire().await.ok();
        let web = self.web.clone();
        tokio::task::spawn_blocking(move || what(&web)).await.map_err(|error| {
            tracing::error!("an answer over http failed: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "this could not be gathered; see the log\n")
                .into_response()
        })
    }
}

fn router(web: Web) -> Router {
    let asked = Asked { web, turn: Arc::new(Semaphore::new(1)) };
    let guarded = Router::new()
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/topology", get(api::topology))
        .route("/api/v1/pools", get(api::pools))
        .route("/api/v1/clients", get(api::clients))
        .route("/api/v1/events", get(api::events))
        .route("/api/v1/queries", get(api::queries))
        .route_layer(from_fn_with_state(asked.clone(), guard::check));
    Router::new()
        .route("/", get(page::page))
        .route("/healthz", get(probe::health).options(probe::health))
        .route("/ready", get(probe::ready).options(probe::ready))
        .route("/primary", get(probe::primary).options(probe::primary))
        .route("/replica", get(probe::replica).options(probe::replica))
        .merge(guarded)
        .layer(map_response(harmless))
        .with_state(asked)
}

/// Nobody keeps an answer, and nobody takes it for something else.
async fn harmless(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn scrape(State(asked): State<Asked>) -> Response {
    // Thousands of series take milliseconds to render.
    let rendered = asked.gather(|web| {
        (web.before_scrape)();
        web.metrics.render()
    });
    match rendered.await {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(failed) => failed,
    }
}

#[cfg(test)]
mod tests;
