//! Probes, for who supervises this process or sends clients to it: a status of 200 or 503, as Patroni's REST API has them.
//!
//! Patroni speaks of the PostgreSQL beside it; a pooler has none. Here `/primary` says that new clients of this pgweir would
//! reach a primary, `/replica` that they would reach a replica that is fit for reads.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Asked, guard};
use crate::config::ReplicaLag;
use crate::report::topology::{ClusterRow, HostRow};

/// What a probe may be asked.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// An entry of `[databases]`; not given: all that follow roles.
    database: Option<String>,
    /// How far a replica may be behind: bytes, or a number with its unit of memory or time.
    lag: Option<String>,
}

/// The answer to `/primary` and `/replica`.
#[derive(Debug, Serialize)]
struct Answer {
    ok: bool,
    role: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(super) async fn health() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(asked): State<Asked>) -> Response {
    match asked.web.source.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

pub(super) async fn primary(
    State(asked): State<Asked>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    answer(&asked, "primary", &wanted, &headers, has_primary)
}

pub(super) async fn replica(
    State(asked): State<Asked>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let limit = match wanted.lag.as_deref().map(ReplicaLag::of_probe) {
        None => None,
        Some(Some(limit)) => Some(limit),
        Some(None) => {
            let words = "lag is to be bytes, or a number with kB, MB, GB, ms, s or min\n";
            return (StatusCode::BAD_REQUEST, words).into_response();
        }
    };
    answer(&asked, "replica", &wanted, &headers, |cluster| has_replica(cluster, limit))
}

fn answer(
    asked: &Asked,
    role: &'static str,
    wanted: &Wanted,
    headers: &HeaderMap,
    has: impl Fn(&ClusterRow) -> Result<(), &'static str>,
) -> Response {
    let source = &*asked.web.source;
    let refused =
        |status, why| (status, Json(Answer { ok: false, role, why: Some(why) })).into_response();
    if let Err(why) = source.readiness() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let mut clusters = source.clusters();
    if let Some(name) = &wanted.database {
        clusters.retain(|cluster| cluster.database == *name);
        if clusters.is_empty() {
            let why = "no entry of [databases] of this name has target_session_attrs".to_owned();
            return refused(StatusCode::NOT_FOUND, why);
        }
    }
    if clusters.is_empty() {
        let why = "no entry of [databases] has target_session_attrs, so no roles are known";
        return refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    }
    let lacking = clusters.iter().find_map(|cluster| Some((cluster, has(cluster).err()?)));
    match lacking {
        None => Json(Answer { ok: true, role, why: None }).into_response(),
        Some((cluster, why)) => {
            // Names are for who may see them, or has named one.
            let named = wanted.database.is_some() || guard::may_see(source, headers);
            let subject = if named { &cluster.database } else { "an entry" };
            refused(StatusCode::SERVICE_UNAVAILABLE, format!("{subject}: {why}"))
        }
    }
}

fn has_primary(cluster: &ClusterRow) -> Result<(), &'static str> {
    match (&cluster.primary, cluster.split_brain, cluster.switching_over) {
        (Some(_), false, _) => Ok(()),
        (_, true, _) => Err("several hosts say that they are the primary"),
        (None, _, true) => Err("a switchover is under way"),
        (None, ..) => Err("no primary is known"),
    }
}

fn has_replica(cluster: &ClusterRow, limit: Option<ReplicaLag>) -> Result<(), &'static str> {
    let near = |host: &&HostRow| match limit {
        None => true,
        // What is not known is not near.
        Some(ReplicaLag::Bytes(limit)) => host.lag_bytes.is_some_and(|bytes| bytes <= limit),
        Some(ReplicaLag::Time(limit)) => host.lag.is_some_and(|lag| lag <= limit),
    };
    let mut fit = cluster.hosts.iter().filter(|host| host.is_fit_for_reads()).peekable();
    match (fit.peek().is_some(), fit.any(|host| near(&host))) {
        (_, true) => Ok(()),
        (true, false) => Err("every replica is further behind"),
        (false, _) => Err("no replica is fit for reads"),
    }
}
