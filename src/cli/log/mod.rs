//! The log: to stderr, to `logfile` and to syslog.
//!
//! - `line` — an event as a line, in pgbouncer's form or in JSON
//! - `storm` — when complaints come faster than anybody reads
//! - `syslog` — to the system's log

mod line;
mod storm;
mod syslog;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use self::line::Said;
use self::storm::Storm;
use self::syslog::Syslog;
use crate::admin::control::Reopen;
use crate::config::{LogFormat, Settings};
use crate::net::clock;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Log {
    stderr: bool,
    /// Standard error is the journal's (systemd.exec(5), `JOURNAL_STREAM`): lines begin with their severity there.
    journal: bool,
    json: AtomicBool,
    limit: AtomicU32,
    storm: Mutex<Storm<Identifier>>,
    file: Mutex<Option<File>>,
    syslog: Mutex<Option<Syslog>>,
}

impl Log {
    /// Begins to log, to `logfile` if there is one and to stderr unless `quiet`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn start(settings: &Settings, quiet: bool, more: u8) -> io::Result<Arc<Self>> {
        let file = settings.logfile.as_deref().map(open).transpose()?;
        let syslog = Syslog::of(settings)?;
        let log = Arc::new(Self {
            stderr: !quiet,
            journal: is_journal(),
            json: AtomicBool::new(false),
            limit: AtomicU32::new(0),
            storm: Mutex::new(Storm::new()),
            file: Mutex::new(file),
            syslog: Mutex::new(syslog),
        });
        log.follow(settings);
        let level = match settings.verbose.saturating_add(more) {
            0 => LevelFilter::INFO,
            1 | 2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let subscriber = Registry::default().with(Lines { log: log.clone(), level });
        // Fails only where a log was started before, in tests.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(log)
    }

    /// What a reload changes.
    fn follow(&self, settings: &Settings) {
        self.json.store(settings.log_format == LogFormat::Json, Ordering::Relaxed);
        self.limit.store(settings.log_rate_limit, Ordering::Relaxed);
    }

    fn write(&self, said: &Said) {
        if let Some(syslog) = &mut *lock(&self.syslog) {
            syslog.write(said.level, &said.text());
        }
        let now = clock::wall();
        let line = if self.json.load(Ordering::Relaxed) { said.json(now) } else { said.line(now) };
        if self.stderr {
            // One write, so that lines of several threads do not mix.
            let severity =
                if self.journal { format!("<{}>", said.severity()) } else { String::new() };
            let _ = io::stderr().write_all((severity + &line).as_bytes());
        }
        if let Some(file) = &mut *lock(&self.file) {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Tells what a storm has swallowed. To be called now and then, and with `all` at the end.
    pub(super) fn settle(&self, all: bool) {
        let swallowed = lock(&self.storm).over(clock::now(), all);
        for storm::Swallowed { more, example } in swallowed {
            let message =
                format!("and {more} more like this in one second (log_rate_limit): {example}");
            self.write(&Said { level: Level::WARN, of: None, message });
        }
    }
}

/// Whether standard error is the journal's.
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream == *format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: &Path) -> io::Result<File> {
    let open = OpenOptions::new().append(true).create(true).open(path);
    open.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("could not open logfile '{}': {error}", path.display()),
        )
    })
}

/// The log as a reload sees it.
#[derive(Debug)]
pub(super) struct Rotation(pub(super) Arc<Log>);

impl Reopen for Rotation {
    /// Opens the file anew, so that a rotated one is let go.
    fn reopen(&self, settings: &Settings) {
        self.0.follow(settings);
        match settings.logfile.as_deref().map(open).transpose() {
            Ok(file) => *lock(&self.0.file) = file,
            Err(error) => tracing::error!("{error}; the log goes on in the old file"),
        }
        match Syslog::of(settings) {
            Ok(syslog) => *lock(&self.0.syslog) = syslog,
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// Turns events into lines.
struct Lines {
    log: Arc<Log>,
    level: LevelFilter,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // What libraries have to say is for who debugs them.
        let ours = metadata.target().starts_with("pgweir");
        *metadata.level() <= self.level && (ours || self.level == LevelFilter::TRACE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let said = Said::by(event);
        if said.level <= Level::WARN {
            let kind = event.metadata().callsite();
            let limit = self.log.limit.load(Ordering::Relaxed);
            if !lock(&self.log.storm).admits(kind, limit, clock::now(), || said.text()) {
                return;
            }
        }
        self.log.write(&said);
    }
}
