//! `EXPLAIN ROUTE`: where a statement would go, and why.

use super::show::routes::ExplainRow;
use crate::config::{RouteReads, TargetSessionAttrs};
use crate::routing::{self, Intent, Reason, Wanted};
use crate::topology::Snapshot;

/// For one database entry. `look`: whether the text only reads, else why it does not; asked only if that decides.
pub(super) fn row(
    database: String,
    sql: &str,
    attrs: TargetSessionAttrs,
    route_reads: RouteReads,
    snapshot: &Snapshot,
    look: impl FnOnce() -> Result<(), String>,
) -> ExplainRow {
    let mut intent = routing::intent(sql.as_bytes());
    let guesses = matches!(route_reads, RouteReads::Auto | RouteReads::Shadow);
    let mut why_not = None;
    if intent == Intent::Unstated && guesses {
        match look() {
            Ok(()) => intent = Intent::LooksReadOnly,
            Err(why) => why_not = Some(why),
        }
    }
    let shadow = route_reads == RouteReads::Shadow && intent == Intent::LooksReadOnly;
    let decision =
        routing::decide(if shadow { Intent::Unstated } else { intent }, attrs, route_reads);
    let primary = || snapshot.primary().map(|host| host.addr.to_string());
    let replicas =
        || snapshot.replicas().map(|(_, host)| host.addr.to_string()).collect::<Vec<_>>();
    let (target, hosts) = match decision.target {
        Wanted::Primary => ("primary", primary().into_iter().collect()),
        Wanted::Replica { or_primary } => match replicas() {
            none if none.is_empty() && or_primary => ("replica", primary().into_iter().collect()),
            fit => ("replica", fit),
        },
        Wanted::Any => ("any", snapshot.usable().map(|(_, host)| host.addr.to_string()).collect()),
    };
    let reason = match (decision.reason, why_not) {
        _ if shadow => {
            "route_reads=shadow; auto would send it to a replica: it only reads".to_owned()
        }
        (Reason::Hint, _) => "a comment says so".to_owned(),
        (Reason::ReadOnly, _) => "it says READ ONLY".to_owned(),
        (Reason::LooksReadOnly, _) => "it only reads (route_reads=auto)".to_owned(),
        (Reason::Attrs, _) => "target_session_attrs of the entry".to_owned(),
        (Reason::Default, Some(why)) => why,
        (Reason::Default, None) => "nothing says that it only reads".to_owned(),
    };
    ExplainRow { database, target, hosts: hosts.join(","), reason }
}
