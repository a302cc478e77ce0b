//! Which workloads there are.

use crate::echo::{self, Echo, Mode};
use crate::measure::Sample;
use crate::options::Options;
use crate::pgbench::{self, Spec};
use crate::poolers::{Group, Pooler};

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
];

impl Workload {
    /// One round through one pooler. `None` if that pooler cannot do it.
    pub(crate) fn round(&self, pooler: &Pooler, echo: &Echo, options: &Options) -> Option<Sample> {
        match self.kind {
            Kind::Pgbench(spec) => pgbench::round(pooler, spec, options.seconds),
            Kind::Echo { mode, clients } => Some(echo.round(echo::Load {
                port: pooler.port(),
                pid: pooler.pid(),
                mode,
                clients: clients.unwrap_or(options.echo_clients),
                length: options.length(),
            })),
        }
    }
}
