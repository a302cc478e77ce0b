//! What belongs to the process as a whole, and to its workers.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::super::names;
use super::{Lease, Resolver, flag};

/// One worker thread.
#[derive(Debug)]
pub struct WorkerMetrics {
    busy: Counter,
    /// Clients that live on the worker.
    pub clients: Gauge,
    _lease: Lease,
}

impl WorkerMetrics {
    pub(in super::super) fn resolve(mut with: Resolver<'_>, worker: usize) -> Self {
        let worker = [&*worker.to_string()];
        Self {
            busy: with.micros(&names::WORKER_BUSY_SECONDS, &worker),
            clients: with.gauge(&names::WORKER_CLIENTS, &worker),
            _lease: with.lease(),
        }
    }
}

impl WorkerMetrics {
    /// So much CPU time it has used since it began.
    pub fn set_busy(&self, time: Duration) {
        self.busy.absolute(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

/// With whom a TLS handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSide {
    /// With clients.
    Client,
    /// With servers.
    Server,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// From the words of SHOW CLIENTS and SHOW SERVERS, e.g. `TLSv1.3/TLS_AES_256_GCM_SHA384`; `None` without TLS.
    pub fn of(description: &str) -> Option<Self> {
        match description.split('/').next() {
            Some("TLSv1.3") => Some(Self::Tls13),
            Some("TLSv1.2") => Some(Self::Tls12),
            _ => None,
        }
    }
}

/// The handshakes of one side.
#[derive(Debug)]
pub(super) struct Tls {
    v12: Counter,
    v13: Counter,
    failed: Counter,
}

impl Tls {
    pub(super) fn resolve(with: &mut Resolver<'_>, side: TlsSide) -> Self {
        let side = match side {
            TlsSide::Client => "client",
            TlsSide::Server => "server",
        };
        Self {
            v12: with.counter(&names::TLS_HANDSHAKES, &[side, "TLSv1.2"]),
            v13: with.counter(&names::TLS_HANDSHAKES, &[side, "TLSv1.3"]),
            failed: with.counter(&names::TLS_HANDSHAKES_FAILED, &[side]),
        }
    }

    pub(super) fn succeeded(&self, version: TlsVersion) {
        let total = match version {
            TlsVersion::Tls12 => &self.v12,
            TlsVersion::Tls13 => &self.v13,
        };
        total.increment(1);
    }

    pub(super) fn failed(&self) {
        self.failed.increment(1);
    }
}

/// How a client's login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// Logged in.
    Ok,
    /// Failed in authentication; [`AuthFailure`] says why.
    Denied,
    /// Refused for another reason: a limit, an unknown database, a broken packet.
    Refused,
    /// The client left or took too long.
    Abandoned,
}

/// Why authentication failed. The client is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// Wrong or empty password.
    Password,
    /// No such user.
    UnknownUser,
    /// The client's certificate is missing or names somebody else.
    Certificate,
    /// The operating system names somebody else (method peer).
    Peer,
    /// No line of the HBA file applies, or the one that does says reject.
    Hba,
    /// The method needs TLS and the client uses none.
    TlsRequired,
    /// Who would have to tell could not: auth_query, the directory or PAM failed.
    Lookup,
    /// The exchange broke the protocol.
    Protocol,
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelResult {
    /// Sent to the server.
    Sent,
    /// The client has no query running.
    Idle,
    /// No client has this key.
    Unknown,
    /// The server could not be reached.
    Failed,
    /// It could not be sent within `cancel_wait_timeout`.
    TimedOut,
}

/// What belongs to the process as a whole.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// Client connections now: set before a scrape.
    pub clients: Gauge,
    /// `max_client_conn`.
    pub clients_limit: Gauge,
    /// Worker threads.
    pub workers: Gauge,
    /// Definitions of prepared statements that are known: set before a scrape.
    pub prepared_statements: Gauge,
    /// When the certificate for clients expires, as Unix time: set before a scrape.
    pub certificate_expiry: Gauge,
    /// Time that logins took.
    pub login_time: Histogram,
    tls: Tls,
    reloads: [Counter; 2],
    last_reload_ok: Gauge,
    logins: [(LoginResult, Counter); 4],
    auth_failures: [(AuthFailure, Counter); 8],
    cancels: [(CancelResult, Counter); 5],
    _lease: Lease,
}

impl ProcessMetrics {
    pub(in super::super) fn resolve(mut with: Resolver<'_>, version: &str) -> Self {
        with.gauge(&names::BUILD_INFO, &[version]).set(1.0);
        let clients = with.gauge(&names::CLIENTS, &[]);
        let clients_limit = with.gauge(&names::CLIENTS_LIMIT, &[]);
        let workers = with.gauge(&names::WORKERS, &[]);
        let prepared_statements = with.gauge(&names::PREPARED_STATEMENTS, &[]);
        let certificate_expiry = with.gauge(&names::TLS_CERTIFICATE_EXPIRY, &[]);
        certificate_expiry.set(f64::INFINITY);
        let login_time = with.histogram(&names::CLIENT_LOGIN_SECONDS, &[]);
        let tls = Tls::resolve(&mut with, TlsSide::Client);
        let reloads =
            ["ok", "failed"].map(|result| with.counter(&names::CONFIG_RELOADS, &[result]));
        let last_reload_ok = with.gauge(&names::CONFIG_LAST_RELOAD_OK, &[]);
        last_reload_ok.set(1.0);
        let logins = [
            (LoginResult::Ok, "ok"),
            (LoginResult::Denied, "denied"),
            (LoginResult::Refused, "refused"),
            (LoginResult::Abandoned, "abandoned"),
        ]
        .map(|(result, label)| (result, with.counter(&names::CLIENT_LOGINS, &[label])));
        let auth_failures = [
            (AuthFailure::Password, "password"),
            (AuthFailure::UnknownUser, "unknown_user"),
            (AuthFailure::Certificate, "certificate"),
            (AuthFailure::Peer, "peer"),
            (AuthFailure::Hba, "hba"),
            (AuthFailure::TlsRequired, "tls_required"),
            (AuthFailure::Lookup, "lookup"),
            (AuthFailure::Protocol, "protocol"),
        ]
        .map(|(reason, label)| (reason, with.counter(&names::AUTH_FAILURES, &[label])));
        let cancels = [
            (CancelResult::Sent, "sent"),
            (CancelResult::Idle, "idle"),
            (CancelResult::Unknown, "unknown"),
            (CancelResult::Failed, "failed"),
            (CancelResult::TimedOut, "timeout"),
        ]
        .map(|(result, label)| (result, with.counter(&names::CANCEL_REQUESTS, &[label])));
        Self {
            clients,
            clients_limit,
            workers,
            prepared_statements,
            certificate_expiry,
            login_time,
            tls,
            reloads,
            last_reload_ok,
            logins,
            auth_failures,
            cancels,
            _lease: with.lease(),
        }
    }

    /// Counts a client's login.
    pub fn login(&self, result: LoginResult) {
        count(&self.logins, result);
    }

    /// Counts a login that failed in authentication, as result and by reason.
    pub fn login_denied(&self, reason: AuthFailure) {
        count(&self.logins, LoginResult::Denied);
        count(&self.auth_failures, reason);
    }

    /// A TLS handshake with a client succeeded, or failed (`None`).
    pub fn tls_handshake(&self, agreed: Option<TlsVersion>) {
        match agreed {
            Some(version) => self.tls.succeeded(version),
            None => self.tls.failed(),
        }
    }

    /// The configuration was read again, and put in force or not.
    pub fn reloaded(&self, ok: bool) {
        let [succeeded, failed] = &self.reloads;
        if ok { succeeded } else { failed }.increment(1);
        self.last_reload_ok.set(flag(ok));
    }

    /// Counts a cancel request.
    pub fn cancel(&self, result: CancelResult) {
        count(&self.cancels, result);
    }
}

fn count<K: PartialEq>(totals: &[(K, Counter)], key: K) {
    for (_, total) in totals.iter().filter(|(candidate, _)| *candidate == key) {
        total.increment(1);
    }
}
