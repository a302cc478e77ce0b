//! A worker's thread, and what it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::deal::Next;
use super::doors::{self, Door};
use super::handover;
use super::handover::take::Carried;
use super::login::{self, Arrival};
use super::relay::{Exit, Relay};
use super::shared::{Registered, Seated, Shared};
use crate::metrics::LoginResult;
use crate::net::clock;
use crate::net::reactor::Reactor;

/// The calling thread's.
const OWN_ACCOUNT: &str = "/proc/thread-self/schedstat";

/// How many arrivals may be under way to one worker: beyond that, accepting waits.
const INBOX: usize = 1024;

/// What a worker is sent.
pub enum Job {
    /// A connection that another worker has just accepted.
    Accepted(Arrival),
    /// A client that moves here from another worker.
    Moved(Box<Client>),
    /// A client or a server connection of the process that we take over from.
    Carried(Box<Carried>),
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
    /// The system's account of its thread (proc(5)), once that runs and where there is one.
    account: Arc<OnceLock<File>>,
}

impl Worker {
    /// Gives it something to do.
    ///
    /// # Errors
    /// The job itself, if the worker has ended.
    pub async fn send(&self, job: Job) -> Result<(), Job> {
        self.jobs.send(job).await.map_err(|error| error.0)
    }

    /// As [`Self::send`], from a thread that may block.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_blocking(&self, job: Job) -> Result<(), Job> {
        self.jobs.blocking_send(job).map_err(|error| error.0)
    }

    /// How long it has worked since it was started: its CPU time, so that one who waits for a core that others use
    /// does not look busy. Where the system does not tell, how long it has not been asleep.
    pub fn busy(&self) -> Duration {
        let told = self.account.get().and_then(cpu_time);
        told.unwrap_or_else(|| self.metrics.worker_total_busy_duration(0))
    }
}

/// The first number of a `schedstat` file: nanoseconds on a core.
fn cpu_time(account: &File) -> Option<Duration> {
    let mut text = [0; 64];
    let len = account.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..len)?).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// All workers and how to end them.
pub struct Workers {
    workers: Vec<Worker>,
    threads: Vec<JoinHandle<()>>,
    next: Arc<Next>,
    stop: CancellationToken,
}

impl Workers {
    /// Starts `count` threads, the first of which keeps the doors: each until its token is cancelled.
    ///
    /// # Errors
    /// The system's: no thread, no epoll.
    pub fn start(
        count: usize,
        doors: Vec<(Door, CancellationToken)>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let (stop, next) = (CancellationToken::new(), Arc::new(Next::default()));
        let (mut workers, mut threads, mut inboxes) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (jobs, inbox) = mpsc::channel(INBOX);
            let (metrics, account) = (runtime.metrics(), Arc::default());
            workers.push(Worker { index, jobs, metrics, account });
            inboxes.push((runtime, inbox));
        }
        // Set once, here.
        let _ = shared.handover.workers.set(workers.clone());
        let mut doors = Some(doors);
        for (index, (runtime, inbox)) in inboxes.into_iter().enumerate() {
            let context = Context {
                index,
                shared: shared.clone(),
                workers: workers.clone(),
                next: next.clone(),
                tasks: TaskTracker::new(),
                stop: stop.clone(),
            };
            let doors = doors.take().unwrap_or_default();
            let account = workers.get(index).map(|worker| worker.account.clone());
            let thread =
                std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                    Reactor::worker(index).enter();
                    if let (Some(account), Ok(file)) = (account, File::open(OWN_ACCOUNT)) {
                        let _ = account.set(file);
                    }
                    runtime.block_on(run(Arc::new(context), doors, inbox));
                })?;
            threads.push(thread);
        }
        Ok(Self { workers, threads, next, stop })
    }

    /// The workers.
    pub fn all(&self) -> &[Worker] {
        &self.workers
    }

    /// Where new clients go.
    pub fn next(&self) -> &Arc<Next> {
        &self.next
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

/// What the tasks of a worker know.
pub(super) struct Context {
    index: usize,
    pub(super) shared: Arc<Shared>,
    workers: Vec<Worker>,
    next: Arc<Next>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Context {
    /// Takes in a client that was accepted here, or gives it to the worker whose turn it is.
    pub(super) async fn deal(self: &Arc<Self>, arrival: Arrival) {
        let next = self.next.index();
        match self.workers.get(next).filter(|_| next != self.index) {
            None => self.take_in(arrival),
            Some(worker) => drop(worker.send(Job::Accepted(arrival)).await),
        }
    }

    /// Begins a client's life here.
    fn take_in(self: &Arc<Self>, arrival: Arrival) {
        // The login has a future of its own, so that the long-lived one stays small.
        let login = Box::pin(login::welcome(self.shared.clone(), arrival));
        self.tasks.spawn(arrive(self.clone(), login));
    }
}

/// How long the last clients of a worker may take to end.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// A timer that becomes the next to expire costs a worker a wake-up of itself (tokio writes to its eventfd), and every
/// login has one. While there is another that expires sooner, they cost nothing.
const SOONER: Duration = Duration::from_secs(10);

async fn run(
    context: Arc<Context>,
    doors: Vec<(Door, CancellationToken)>,
    mut inbox: mpsc::Receiver<Job>,
) {
    let tasks = &context.tasks;
    for (door, until) in doors {
        tasks.spawn(doors::keep(door, context.clone(), until));
    }
    let mut sooner = tokio::time::interval(SOONER);
    loop {
        let job = tokio::select! {
            job = inbox.recv() => job,
            () = context.stop.cancelled() => None,
            _ = sooner.tick() => continue,
        };
        match job {
            Some(Job::Accepted(mut arrival)) => {
                if arrival.socket.move_here().is_ok() {
                    context.take_in(arrival);
                }
            }
            Some(Job::Moved(client)) => {
                tasks.spawn(go_on(context.clone(), client));
            }
            Some(Job::Carried(carried)) => {
                if let Some(client) = handover::take::take_in(&context.shared, *carried) {
                    tasks.spawn(go_on(context.clone(), client));
                }
            }
            None => break,
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(LAST_MOMENT, tasks.wait()).await;
}

async fn arrive(context: Arc<Context>, login: Pin<Box<impl Future<Output = Option<Box<Client>>>>>) {
    let Some(client) = login.await else { return };
    let process = context.shared.metrics.process();
    process.login(LoginResult::Ok);
    let accepted = client.registered.info().accepted;
    process.login_time.record(clock::now().saturating_duration_since(accepted));
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
        Exit::Leave => {
            if let Err(client) = context.shared.handover.give(client)
                && let Some(worker) = context.workers.get(context.index)
            {
                let _ = Box::pin(worker.send(Job::Moved(client))).await;
            }
            return;
        }
        Exit::Terminated => "client close request".to_owned(),
        // TLS has a word of its own for who leaves without taking leave.
        Exit::Gone(Some(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "client unexpected eof".to_owned()
        }
        Exit::Gone(None) => "client unexpected eof".to_owned(),
        Exit::Gone(Some(error)) => format!("client unexpected eof ({error})"),
        Exit::Refused(reason) => {
            login::log_error(&context.shared, &info.label(), &reason);
            reason
        }
    };
    if context.shared.live().config.settings.log_disconnections {
        let age = clock::now().saturating_duration_since(info.accepted).as_secs();
        tracing::info!(of = %info.label(), "closing because: {reason} (age={age}s)");
    }
    drop(client.place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_cpu_time_is_told_to_other_threads_and_does_not_grow_while_it_sleeps() {
        let (ready, wait) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let account = File::open(OWN_ACCOUNT).unwrap();
            let mut sum = 0_u64;
            while cpu_time(&account).unwrap() < Duration::from_millis(20) {
                sum = sum.wrapping_add(std::hint::black_box(sum));
            }
            ready.send(account).unwrap();
            let _ = ended.recv();
        });
        let account = wait.recv().unwrap();
        let worked = cpu_time(&account).unwrap();
        assert!(worked >= Duration::from_millis(20));
        let own = File::open(OWN_ACCOUNT).unwrap();
        let before = cpu_time(&own).unwrap();
        while cpu_time(&own).unwrap() < before + Duration::from_millis(20) {}
        assert!(cpu_time(&account).unwrap() < worked + Duration::from_millis(20));
        drop(end);
        thread.join().unwrap();
    }

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
