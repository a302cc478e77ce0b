//! The load: connections of our own that remember what they were told, and pgbench.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

use crate::common::home::Home;
use crate::common::psql::{self, Login};
use crate::common::wait;

/// Connections that write numbered rows.
pub const WRITERS: usize = 8;
/// Connections that ask who answers a read-only transaction.
const READERS: usize = 4;
/// So that the rows remain few enough to compare one by one.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than pgweir's failover_timeout: no answer within it means a hanging client.
const PATIENCE: Duration = Duration::from_secs(45);

/// For the person who watches.
pub const DESCRIPTION: &str = "8 numbered writers and 4 readers";

/// What our own connections saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Acknowledged writes: writer, number, when.
    pub acknowledged: Vec<(usize, i64, Instant)>,
    /// Writes that were answered by an error: nobody knows whether they were done.
    pub uncertain: Vec<(usize, i64)>,
    /// Answered reads: reader, which server (`address:port`), when.
    pub reads: Vec<(usize, String, Instant)>,
    /// Errors by SQLSTATE and message.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke or could not be made.
    pub dropped: Vec<String>,
    /// Requests without an answer.
    pub hung: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.uncertain.extend(other.uncertain);
        self.reads.extend(other.reads);
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.dropped.extend(other.dropped);
        self.hung += other.hung;
    }

    /// Notes why a request failed. Whether the connection can be used further.
    fn note(&mut self, who: &str, error: &tokio_postgres::Error, client: &Client) -> bool {
        if let Some(error) = error.as_db_error() {
            let text = format!("{} {}", error.code().code(), error.message());
            *self.errors.entry(text).or_default() += 1;
        }
        if client.is_closed() {
            self.dropped.push(format!("{who}: {error}"));
        }
        !client.is_closed()
    }
}

/// What the clients share.
#[derive(Debug)]
struct Shared {
    port: u16,
    stop: AtomicBool,
    /// How often each writer, and each reader, was answered without an error.
    answers: [AtomicU64; WRITERS + READERS],
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn answered(&self, client: usize) {
        self.answers[client].fetch_add(1, Ordering::Relaxed);
    }
}

/// Our own connections at work.
pub struct Load {
    /// When it began.
    pub begun: Instant,
    shared: Arc<Shared>,
    thread: JoinHandle<Seen>,
}

impl Load {
    /// Starts them, on a thread of their own, against pgweir's port.
    pub fn start(port: u16) -> Self {
        let (stop, answers) = (AtomicBool::new(false), Default::default());
        let shared = Arc::new(Shared { port, stop, answers });
        let theirs = shared.clone();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drive(theirs))
        });
        Self { begun: Instant::now(), shared, thread }
    }

    /// Waits until each of them was answered so often from now on.
    #[track_caller]
    pub fn wait_answers(&self, times: u64, when: &str) {
        let count = || self.shared.answers.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = count();
        wait::until(&format!("{times} answers for each client {when}"), PATIENCE, || {
            count().iter().zip(&before).all(|(now, before)| *now >= before + times)
        });
    }

    /// Tells them to stop, and waits for what they have to tell.
    pub fn finish(self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load does not panic")
    }
}

async fn drive(shared: Arc<Shared>) -> Seen {
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(write(shared.clone(), writer));
    }
    for reader in 0..READERS {
        tasks.spawn(read(shared.clone(), reader));
    }
    let mut seen = Seen::default();
    while let Some(part) = tasks.join_next().await {
        seen.add(part.expect("the load does not panic"));
    }
    seen
}

/// Inserts one number after the other; every number is tried once.
async fn write(shared: Arc<Shared>, writer: usize) -> Seen {
    let who = format!("writer {writer}");
    let number = i32::try_from(writer).expect("few writers");
    let mut seen = Seen::default();
    let mut seq = 0;
    while let Some(client) = connect(&shared, &who, &mut seen).await {
        let sql = "INSERT INTO story VALUES ($1, $2)";
        let statement = match client.prepare_typed(sql, &[Type::INT4, Type::INT8]).await {
            Ok(statement) => statement,
            Err(error) => {
                seen.note(&who, &error, &client);
                continue;
            }
        };
        while shared.goes_on() {
            seq += 1;
            let values: [&(dyn ToSql + Sync); 2] = [&number, &seq];
            match tokio::time::timeout(PATIENCE, client.execute(&statement, &values)).await {
                Ok(Ok(_)) => {
                    seen.acknowledged.push((writer, seq, Instant::now()));
                    shared.answered(writer);
                }
                Ok(Err(error)) => {
                    seen.uncertain.push((writer, seq));
                    if !seen.note(&who, &error, &client) {
                        break;
                    }
                }
                Err(_) => {
                    seen.uncertain.push((writer, seq));
                    seen.hung += 1;
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    seen
}

/// Asks in read-only transactions who answers.
async fn read(shared: Arc<Shared>, reader: usize) -> Seen {
    let who = format!("reader {reader}");
    let mut seen = Seen::default();
    while let Some(mut client) = connect(&shared, &who, &mut seen).await {
        while shared.goes_on() {
            match tokio::time::timeout(PATIENCE, who_answers(&mut client)).await {
                Ok(Ok(host)) => {
                    seen.reads.push((reader, host, Instant::now()));
                    shared.answered(WRITERS + reader);
                }
                Ok(Err(error)) if seen.note(&who, &error, &client) => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    seen.hung += 1;
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    seen
}

async fn who_answers(client: &mut Client) -> Result<String, tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    let sql = "SELECT host(inet_server_addr()) || ':' || inet_server_port()";
    let row = transaction.query_one(sql, &[]).await?;
    transaction.commit().await?;
    Ok(row.get(0))
}

/// A connection, or `None` when it is over. A refused one counts as dropped.
async fn connect(shared: &Shared, who: &str, seen: &mut Seen) -> Option<Client> {
    let config = format!("host=127.0.0.1 port={} user=app dbname=app password=secret", shared.port);
    while shared.goes_on() {
        match tokio_postgres::connect(&config, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Some(client);
            }
            Err(error) => seen.dropped.push(format!("{who}, login: {error}")),
        }
        tokio::time::sleep(PAUSE * 10).await;
    }
    None
}

/// pgbench, started again whenever its clients gave up: it ends a client at its first error.
pub struct Pgbench {
    thread: JoinHandle<BenchSeen>,
}

/// What pgbench saw.
#[derive(Debug, Default)]
pub struct BenchSeen {
    /// Transactions it counted.
    pub transactions: u64,
    /// Clients that it ended for an error, by the error's text.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke under it.
    pub dropped: u64,
}

impl Pgbench {
    /// Its own script, without the updates that everybody wants to make to the same rows.
    pub const WRITERS: &'static [&'static str] = &["-N", "-M", "prepared", "-c", "8", "-n"];
    /// A script of read-only transactions.
    pub const READERS: &'static [&'static str] = &["-f", "READ_ONLY", "-c", "8", "-n"];

    /// Starts it on a thread of its own.
    pub fn start(end: Instant, login: Login, args: &'static [&'static str]) -> Self {
        let thread = thread::spawn(move || run(end, &login, args));
        Self { thread }
    }

    /// Waits for the end.
    pub fn finish(self) -> BenchSeen {
        self.thread.join().expect("pgbench can be run")
    }
}

fn run(end: Instant, login: &Login, args: &[&str]) -> BenchSeen {
    let home = Home::new();
    let script = home.path().join("read-only.sql");
    let sql = "\\set aid random(1, 100000)\nBEGIN READ ONLY;\n\
               SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\nCOMMIT;\n";
    std::fs::write(&script, sql).unwrap();
    let script = script.display().to_string();
    let args: Vec<_> =
        args.iter().map(|arg| if *arg == "READ_ONLY" { script.as_str() } else { *arg }).collect();

    let mut seen = BenchSeen::default();
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return seen;
        }
        let time = left.to_string();
        let run = psql::pgbench(login, &[args.as_slice(), &["-T", &time]].concat());
        let count = run.stdout.lines().find_map(|line| {
            line.strip_prefix("number of transactions actually processed: ")?.parse::<u64>().ok()
        });
        seen.transactions += count.unwrap_or(0);
        for line in run.stderr.lines() {
            if line.contains("perhaps the backend died") || line.contains("connection to server") {
                seen.dropped += 1;
            } else if let Some((_, text)) = line.split_once("ERROR:  ") {
                *seen.errors.entry(text.to_owned()).or_default() += 1;
            }
        }
        if !run.status.success() {
            thread::sleep(PAUSE * 10); // a refusal must not make a busy loop
        }
    }
}
