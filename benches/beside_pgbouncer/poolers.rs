//! The poolers that are compared, on one configuration.

use rustix::process::Pid;

use crate::common::tls::Certificate;
use crate::common::{Rows, Weir, WeirSetup};
use crate::measure::Who;
use crate::process;

/// Servers of each pool.
pub(crate) const SERVERS: u32 = 20;

/// How clients come in, and who is behind the poolers: what has this in common shares its poolers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Trusted, without TLS.
    Plain,
    /// Trusted, with TLS.
    Tls,
    /// SCRAM, without TLS.
    Scram,
    /// SCRAM in TLS.
    TlsScram,
    /// The echoing server; the poolers are kept on one core.
    Echo,
    /// Trusted, without TLS, poolers that nobody used before.
    Idle,
    /// The same with TLS.
    IdleTls,
    /// Trusted, without TLS: pgweir alone, and pgweir that routes.
    Routing,
}

/// What all poolers of a run have in common.
pub(crate) struct Site {
    /// PostgreSQL's port at 127.0.0.1.
    pub(crate) server: u16,
    /// The echoing server's.
    pub(crate) echo: u16,
    /// What the poolers show to clients.
    pub(crate) certificate: Certificate,
    /// What PostgreSQL keeps of the password of `app`.
    pub(crate) verifier: String,
    /// Most clients at a time.
    pub(crate) clients: usize,
}

/// One pooler.
pub(crate) struct Pooler {
    /// Which.
    pub(crate) who: Who,
    weir: Weir,
}

impl Pooler {
    /// Its port at 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.weir.port()
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> Pid {
        self.weir.pid()
    }

    /// What its console says of its pools.
    pub(crate) fn pools(&self) -> Rows {
        self.weir.console("SHOW POOLS")
    }

    /// The process.
    pub(crate) fn weir(&self) -> &Weir {
        &self.weir
    }
}

/// Starts the poolers of a group, one after the other.
pub(crate) fn start(group: Group, site: &Site) -> Vec<Pooler> {
    let poolers = match group {
        Group::Echo | Group::Idle | Group::IdleTls => vec![Who::Pgweir, Who::Pgbouncer],
        Group::Routing => vec![Who::Pgweir, Who::Explicit, Who::Auto],
        _ => vec![Who::Pgweir, Who::Pgbouncer, Who::AllWorkers],
    };
    let poolers: Vec<_> = poolers
        .into_iter()
        .map(|who| Pooler { who, weir: for_whom(setup(group, site, who), who).start() })
        .collect();
    if group == Group::Echo {
        poolers.iter().for_each(|pooler| process::pin(pooler.pid(), 0));
    }
    poolers
}

fn for_whom(setup: WeirSetup, who: Who) -> WeirSetup {
    match who {
        Who::Pgweir => setup.setting("workers", 1),
        Who::Pgbouncer => setup.pgbouncer(),
        Who::AllWorkers => setup,
        Who::Explicit => setup.setting("workers", 1).setting("topology_user", "app"),
        Who::Auto => {
            let setup = setup.setting("workers", 1).setting("topology_user", "app");
            setup.setting("route_reads", "auto")
        }
    }
}

fn setup(group: Group, site: &Site, who: Who) -> WeirSetup {
    let port = if group == Group::Echo { site.echo } else { site.server };
    let follows = match who {
        Who::Explicit | Who::Auto => " target_session_attrs=read-write",
        Who::Pgweir | Who::Pgbouncer | Who::AllWorkers => "",
    };
    let setup = Weir::setup()
        .database(&format!("app = host=127.0.0.1 port={port} dbname=app{follows}"))
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", SERVERS)
        .setting("max_client_conn", site.clients)
        .setting("listen_backlog", 4096)
        .setting("log_connections", 0)
        .setting("log_disconnections", 0);
    let tls =
        |setup: WeirSetup| setup.tls(&site.certificate).setting("client_tls_sslmode", "require");
    let scram =
        |setup: WeirSetup| setup.user("app", &site.verifier).setting("auth_type", "scram-sha-256");
    match group {
        Group::Plain | Group::Echo | Group::Idle | Group::Routing => setup,
        Group::Tls | Group::IdleTls => tls(setup),
        Group::Scram => scram(setup),
        Group::TlsScram => scram(tls(setup)),
    }
}
