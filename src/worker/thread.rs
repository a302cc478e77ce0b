//! A worker's thread, and what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::login;
pub use super::login::{Accepted, Arrival};
use super::relay::{Exit, Relay};
use super::shared::{Registered, Seated, Shared};
use crate::metrics::LoginResult;
use crate::net::clock;
use crate::net::reactor::Reactor;

/// How many arrivals may be under way to one worker: beyond that, accepting waits.
const INBOX: usize = 1024;

/// What a worker is sent.
pub enum Job {
    /// A connection that was just accepted.
    Accepted(Arrival),
    /// A client that moves here from another worker.
    Moved(Box<Client>),
}

/// A logged-in client and what keeps its place.
pub struct Client {
    pub(super) relay: Relay,
    pub(super) registered: Registered,
    pub(super) place: Seated,
}

/// A worker, seen from outside.
#[derive(Clone)]
pub struct Worker {
    /// Its number.
    pub index: usize,
    jobs: mpsc::Sender<Job>,
    metrics: tokio::runtime::RuntimeMetrics,
}

impl Worker {
    /// Gives it something to do.
    ///
    /// # Errors
    /// The job itself, if the worker has ended.
    pub async fn send(&self, job: Job) -> Result<(), Job> {
        self.jobs.send(job).await.map_err(|error| error.0)
    }

    /// How long it has not been asleep since it was started.
    pub fn busy(&self) -> std::time::Duration {
        self.metrics.worker_total_busy_duration(0)
    }
}

/// All workers and how to end them.
pub struct Workers {
    workers: Vec<Worker>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system's: no thread, no epoll.
    pub fn start(count: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut workers, mut threads, mut inboxes) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (jobs, inbox) = mpsc::channel(INBOX);
            workers.push(Worker { index, jobs, metrics: runtime.metrics() });
            inboxes.push((runtime, inbox));
        }
        for (index, (runtime, inbox)) in inboxes.into_iter().enumerate() {
            let context = Context {
                index,
                shared: shared.clone(),
                workers: workers.clone(),
                stop: stop.clone(),
            };
            let thread =
                std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                    Reactor::worker(index).enter();
                    runtime.block_on(run(context, inbox));
                })?;
            threads.push(thread);
        }
        Ok(Self { workers, threads, stop })
    }

    /// The workers.
    pub fn all(&self) -> &[Worker] {
        &self.workers
    }

    /// Ends all of them; clients that are still there are told so.
    pub fn stop(self, shared: &Shared) {
        shared.order_all(crate::pool::holder::Order::Shutdown);
        self.stop.cancel();
        for thread in self.threads {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

struct Context {
    index: usize,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    stop: CancellationToken,
}

/// How long the last clients of a worker may take to end.
const LAST_MOMENT: std::time::Duration = std::time::Duration::from_millis(500);

async fn run(context: Context, mut inbox: mpsc::Receiver<Job>) {
    let context = Arc::new(context);
    let tasks = TaskTracker::new();
    loop {
        let job = tokio::select! {
            job = inbox.recv() => job,
            () = context.stop.cancelled() => None,
        };
        match job {
            Some(Job::Accepted(arrival)) => {
                // The login has a future of its own, so that the long-lived one stays small.
                let login = Box::pin(login::welcome(context.shared.clone(), arrival));
                tasks.spawn(arrive(context.clone(), login));
            }
            Some(Job::Moved(client)) => {
                tasks.spawn(go_on(context.clone(), client));
            }
            None => break,
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(LAST_MOMENT, tasks.wait()).await;
}

async fn arrive(context: Arc<Context>, login: Pin<Box<impl Future<Output = Option<Box<Client>>>>>) {
    let Some(client) = login.await else { return };
    context.shared.metrics.process().login(LoginResult::Ok);
    live(context, client).await;
}

/// A client that comes from another worker.
async fn go_on(context: Arc<Context>, mut client: Box<Client>) {
    if client.relay.bring_here().is_ok() {
        live(context, client).await;
    }
}

/// A client's life on this worker.
async fn live(context: Arc<Context>, mut client: Box<Client>) {
    let info = client.registered.info().clone();
    info.worker.store(
        u32::try_from(context.index).unwrap_or(u32::MAX),
        std::sync::atomic::Ordering::Relaxed,
    );
    let exit = client.relay.run().await;
    let reason = match exit {
        Exit::Move(to) => {
            let Some(worker) = context.workers.get(usize::from(to)) else { return };
            // Boxed, as it is seldom needed and would be the largest part of what every client keeps.
            let _ = Box::pin(worker.send(Job::Moved(client))).await;
            return;
        }
        Exit::Terminated => "client close request".to_owned(),
        Exit::Gone(None) => "client unexpected eof".to_owned(),
        Exit::Gone(Some(error)) => format!("client unexpected eof ({error})"),
        Exit::Refused(reason) => {
            login::log_error(&context.shared, &info.label(), &reason);
            reason
        }
    };
    if context.shared.live().config.settings.log_disconnections {
        let age = clock::now().saturating_duration_since(info.accepted).as_secs();
        tracing::info!("{} closing because: {reason} (age={age}s)", info.label());
    }
    drop(client.place);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Every client keeps this for as long as it is there, in a task that tokio pads to a multiple of 128 bytes.
    #[test]
    fn what_lives_as_long_as_a_client_holds_nothing_that_is_soon_over() {
        assert!(size_of_future(live) <= 96, "{} bytes", size_of_future(live));
        assert!(size_of_future(go_on) <= 128, "{} bytes", size_of_future(go_on));
    }
}
