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
/// The first so many of these read each of their writes back, in a read-only transaction.
const READ_BACK: usize = 2;
/// Connections that ask who answers a read-only transaction, and how fresh that is.
const READERS: usize = 4;
/// All of them, and one that writes the pulse by which the readers are measured.
pub const CLIENTS: usize = WRITERS + READERS + 1;
/// So that the rows remain few enough to compare one by one.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than pgweir's failover_timeout: no answer within it means a hanging client.
const PATIENCE: Duration = Duration::from_secs(45);

/// For the person who watches.
pub const DESCRIPTION: &str = "8 numbered writers, 2 of which read what they wrote, and 4 readers";

/// An answered read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which reader.
    pub reader: usize,
    /// Which server answered: `address:port`.
    pub host: String,
    /// When it began to ask.
    pub asked: Instant,
    /// When the answer came.
    pub at: Instant,
    /// The last pulse that it saw.
    pub pulse: i64,
}

/// A writer's read of what it wrote.
#[derive(Clone, Copy, Debug)]
pub struct ReadBack {
    /// Who.
    pub writer: usize,
    /// The number of its last acknowledged write.
    pub wrote: i64,
    /// Whether it was there.
    pub seen: bool,
}

/// What our own connections saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Acknowledged writes: writer, number, when.
    pub acknowledged: Vec<(usize, i64, Instant)>,
    /// Writes that were answered by an error: nobody knows whether they were done.
    pub uncertain: Vec<(usize, i64)>,
    /// Answered reads.
    pub reads: Vec<Read>,
    /// Acknowledged pulses, in their order: number, when.
    pub pulses: Vec<(i64, Instant)>,
    /// What writers saw of their own writes.
    pub read_back: Vec<ReadBack>,
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
        self.pulses.extend(other.pulses);
        self.read_back.extend(other.read_back);
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
    /// How often each client was answered without an error: writers, readers, the pulse.
    answers: [AtomicU64; CLIENTS],
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
        let (stop, answers) = (AtomicBool::new(false), std::array::from_fn(|_| AtomicU64::new(0)));
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

    /// How often the readers were answered by now.
    pub fn reads(&self) -> u64 {
        let readers = self.shared.answers.iter().skip(WRITERS).take(READERS);
        readers.map(|count| count.load(Ordering::Relaxed)).sum()
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
    tasks.spawn(beat(shared.clone()));
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
    while let Some(mut client) = connect(&shared, &who, &mut seen).await {
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
                    if writer < READ_BACK
                        && !read_back(&mut client, &who, writer, seq, &mut seen).await
                    {
                        break;
                    }
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

/// Reads a write back; whether the connection can be used further. An error tells nothing.
async fn read_back(
    client: &mut Client,
    who: &str,
    writer: usize,
    wrote: i64,
    seen: &mut Seen,
) -> bool {
    let number = i32::try_from(writer).expect("few writers");
    match tokio::time::timeout(PATIENCE, last_write(client, number)).await {
        Ok(Ok(last)) => seen.read_back.push(ReadBack { writer, wrote, seen: last >= wrote }),
        Ok(Err(error)) => return seen.note(who, &error, client),
        Err(_) => {
            seen.hung += 1;
            return false;
        }
    }
    true
}

async fn last_write(client: &mut Client, writer: i32) -> Result<i64, tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    let sql = "SELECT COALESCE(max(seq), 0) FROM story WHERE writer = $1";
    let row = transaction.query_one(sql, &[&writer]).await?;
    transaction.commit().await?;
    Ok(row.get(0))
}

/// Writes one pulse after the other: how fresh a read is shows by which of them it sees.
async fn beat(shared: Arc<Shared>) -> Seen {
    let mut seen = Seen::default();
    let mut number = 0_i64;
    while let Some(client) = connect(&shared, "pulse", &mut seen).await {
        while shared.goes_on() {
            number += 1;
            let sql = "INSERT INTO pulse VALUES ($1)";
            match tokio::time::timeout(PATIENCE, client.execute(sql, &[&number])).await {
                Ok(Ok(_)) => {
                    seen.pulses.push((number, Instant::now()));
                    shared.answered(WRITERS + READERS);
                }
                Ok(Err(error)) if seen.note("pulse", &error, &client) => {}
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

/// Asks in read-only transactions who answers, and what the last pulse was.
async fn read(shared: Arc<Shared>, reader: usize) -> Seen {
    let who = format!("reader {reader}");
    let mut seen = Seen::default();
    while let Some(mut client) = connect(&shared, &who, &mut seen).await {
        while shared.goes_on() {
            let asked = Instant::now();
            match tokio::time::timeout(PATIENCE, who_answers(&mut client)).await {
                Ok(Ok((host, pulse))) => {
                    seen.reads.push(Read { reader, host, asked, at: Instant::now(), pulse });
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

async fn who_answers(client: &mut Client) -> Result<(String, i64), tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    let sql = "SELECT host(inet_server_addr()) || ':' || inet_server_port(), \
               (SELECT COALESCE(max(n), 0) FROM pulse)";
    let row = transaction.query_one(sql, &[]).await?;
    transaction.commit().await?;
    Ok((row.get(0), row.get(1)))
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
