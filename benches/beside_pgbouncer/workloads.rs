//! Which workloads there are.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::echo::{self, Echo, Mode};
use crate::measure::Sample;
use crate::options::Options;
use crate::pgbench::{self, Spec};
use crate::poolers::{Group, Pooler};
use crate::streams::{self, Stream};
use crate::{idle as idle_clients, syscalls};

/// One way to use a pooler, measured in rounds.
pub(crate) struct Workload {
    /// As `ONLY` and the tables name it.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
    /// Which poolers it needs.
    pub(crate) group: Group,
    kind: Kind,
}

enum Kind {
    Pgbench(Spec),
    Echo { mode: Mode, clients: Option<usize> },
    Stream(Stream),
    Syscalls(Spec),
    Idle { tls: bool },
}

const fn pgbench(name: &'static str, what: &'static str, group: Group, spec: Spec) -> Workload {
    Workload { name, what, group, kind: Kind::Pgbench(spec) }
}

const fn echo(
    name: &'static str,
    what: &'static str,
    mode: Mode,
    clients: Option<usize>,
) -> Workload {
    Workload { name, what, group: Group::Echo, kind: Kind::Echo { mode, clients } }
}

const fn plain(name: &'static str, what: &'static str, kind: Kind) -> Workload {
    Workload { name, what, group: Group::Plain, kind }
}

const fn idle(name: &'static str, what: &'static str, group: Group, tls: bool) -> Workload {
    Workload { name, what, group, kind: Kind::Idle { tls } }
}

/// All of them; those of a group stand together.
pub(crate) const ALL: &[Workload] = &[
    echo("echo-50", "echoing server, Query, 50 clients", Mode::Simple, Some(50)),
    echo("echo-simple", "echoing server, Query, hundreds of clients", Mode::Simple, None),
    echo("echo-extended", "echoing server, unnamed statement", Mode::Extended, None),
    echo("echo-prepared", "echoing server, named statement", Mode::Prepared, None),
    pgbench("simple", "pgbench -S, 50 clients", Group::Plain, Spec::new("simple", 50)),
    pgbench("extended", "the same with -M extended", Group::Plain, Spec::new("extended", 50)),
    pgbench("prepared", "the same with -M prepared", Group::Plain, Spec::new("prepared", 50)),
    pgbench("many", "pgbench -S, 500 clients", Group::Plain, Spec::new("simple", 500)),
    pgbench("one", "pgbench -S, one client", Group::Plain, Spec::new("simple", 1)),
    plain(
        "syscalls",
        "pgbench -S, 50 clients, under strace",
        Kind::Syscalls(Spec::new("simple", 50)),
    ),
    plain("result", "100 MB in rows of 10 KB", Kind::Stream(Stream::LongRows)),
    plain("result-short", "100 MB in rows of 100 bytes", Kind::Stream(Stream::ShortRows)),
    plain(
        "copy-out",
        "COPY TO STDOUT, 100 MB in lines of 100 bytes",
        Kind::Stream(Stream::CopyOut),
    ),
    plain("copy-in", "COPY FROM STDIN, 100 MB in messages of 8 KB", Kind::Stream(Stream::CopyIn)),
    pgbench(
        "routing",
        "pgbench -S, 50 clients: an entry that follows roles beside one that does not",
        Group::Routing,
        Spec::new("simple", 50),
    ),
    pgbench(
        "routing-prepared",
        "the same with -M prepared",
        Group::Routing,
        Spec::new("prepared", 50),
    ),
    pgbench("tls", "pgbench -S in TLS, 20 clients", Group::Tls, Spec::new("simple", 20).tls()),
    pgbench(
        "login",
        "pgbench -S -C with SCRAM, 20 clients",
        Group::Scram,
        Spec::new("simple", 20).connect(),
    ),
    pgbench(
        "login-tls",
        "the same in TLS",
        Group::TlsScram,
        Spec::new("simple", 20).connect().tls(),
    ),
    idle("idle", "thousands of clients that wait", Group::Idle, false),
    idle("idle-tls", "the same with TLS", Group::IdleTls, true),
];

impl Workload {
    /// How many rounds: what strace slows down, or needs a fresh process, is done once.
    pub(crate) fn rounds(&self, options: &Options) -> usize {
        match self.kind {
            Kind::Syscalls(_) | Kind::Idle { .. } => 1,
            Kind::Pgbench(_) | Kind::Echo { .. } | Kind::Stream(_) => options.rounds,
        }
    }

    /// Whether a round keeps the pooler busy, and is not watched already.
    pub(crate) fn can_be_profiled(&self) -> bool {
        !matches!(self.kind, Kind::Syscalls(_) | Kind::Idle { .. })
    }

    /// One round through one pooler. `None` if that pooler cannot do it. What the tables have no column for goes to
    /// `notes`.
    pub(crate) fn round(
        &self,
        pooler: &Pooler,
        ends: &Ends,
        options: &Options,
        notes: &mut Vec<String>,
    ) -> Option<Sample> {
        match self.kind {
            Kind::Pgbench(spec) => pgbench::round(pooler, spec, options.seconds),
            Kind::Echo { mode, clients } => {
                let load = echo::Load {
                    port: pooler.port(),
                    pid: pooler.pid(),
                    mode,
                    clients: clients.unwrap_or(options.echo_clients),
                    length: options.length(),
                };
                let sample = ends.echo.round(load);
                assert!(sample.is_some(), "{}: {:#?}", pooler.who.name(), pooler.pools());
                sample
            }
            Kind::Stream(stream) => Some(streams::round(pooler, stream, options.length())),
            Kind::Syscalls(spec) => {
                let (sample, note) = syscalls::round(pooler, spec, options.seconds)?;
                notes.push(note);
                Some(sample)
            }
            Kind::Idle { tls } => {
                let config = tls.then_some(&ends.tls);
                Some(idle_clients::round(pooler, options.idle, config, options.length()))
            }
        }
    }
}

/// What stands before and behind the poolers.
pub(crate) struct Ends {
    /// The echoing server and its clients.
    pub(crate) echo: Echo,
    /// How a client checks the poolers' certificate.
    pub(crate) tls: Arc<ClientConfig>,
}
