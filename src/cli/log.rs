//! The log: lines as pgbouncer writes them, to stderr, to `logfile` and to syslog.
//!
//! `YYYY-MM-DD HH:MM:SS.mmm UTC [PID] LEVEL message`; a message of several lines goes on behind a tab.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use super::syslog::Syslog;
use crate::admin::control::Reopen;
use crate::admin::show::connection::timestamp_millis;
use crate::config::Settings;
use crate::net::clock;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Log {
    stderr: bool,
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
        let log =
            Arc::new(Self { stderr: !quiet, file: Mutex::new(file), syslog: Mutex::new(syslog) });
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

    fn write(&self, level: Level, text: &str, line: &str) {
        if let Some(syslog) = &mut *lock(&self.syslog) {
            syslog.write(level, text);
        }
        if self.stderr {
            let _ = io::stderr().write_all(line.as_bytes());
        }
        if let Some(file) = &mut *lock(&self.file) {
            let _ = file.write_all(line.as_bytes());
        }
    }
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
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "LOG",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "NOISE",
        };
        let text = message.0.replace('\n', "\n\t");
        let line = format!(
            "{} [{}] {level} {text}\n",
            timestamp_millis(clock::wall()),
            std::process::id()
        );
        self.log.write(*event.metadata().level(), &text, &line);
    }
}

/// Collects an event's message, and further fields behind it.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
