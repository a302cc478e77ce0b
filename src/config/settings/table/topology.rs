//! Which hosts there are, which is the primary, and where reads go. pgweir's own.

use super::{boot, field, live, own};
use crate::config::settings::{Kind, Setting};
use crate::config::values::{self, CAUSAL_READS, REPLICA_FALLBACK, ROUTE_READS, SPLIT_BRAIN};

pub(super) const ROWS: &[Setting] = &[
    own(live(
        "topology_interval",
        Kind::Time,
        Some("1"),
        field!(topology_interval, values::interval),
        "How often a host that is followed is asked for its role. More often where max_replica_lag is less than four times that.",
    )),
    own(live(
        "topology_timeout",
        Kind::Time,
        Some("1"),
        field!(topology_timeout, values::interval),
        "Longest that a monitor waits for a connection or an answer; then the host is down.",
    )),
    own(live(
        "discover_interval",
        Kind::Time,
        Some("5"),
        field!(discover_interval, values::interval),
        "How often the cluster manager that an entry names (discover) is asked for the cluster's hosts.",
    )),
    own(live(
        "topology_user",
        Kind::Text,
        None,
        field!(topology_user),
        "As whom the monitors log in. Not given: the entry's user, else auth_user.",
    )),
    own(boot(
        "topology_state_file",
        Kind::Path,
        None,
        field!(topology_state_file),
        "Where the highest timeline of each database is remembered over a restart, so that an old primary is not taken for the primary. Not given: beside pidfile, as NAME.topology; without a pidfile it is not remembered.",
    )),
    own(live(
        "split_brain",
        Kind::Choice(SPLIT_BRAIN),
        Some("refuse"),
        field!(split_brain),
        "When several hosts say that they are the primary on one timeline: refuse: no writes until all but one have stopped; newest: the one that came last is the primary.",
    )),
    own(live(
        "failover_timeout",
        Kind::Time,
        Some("30"),
        field!(failover_timeout),
        "Longest a client that needs the primary waits while there is none. 0: it does not wait.",
    )),
    own(live(
        "route_reads",
        Kind::Choice(ROUTE_READS),
        Some("explicit"),
        field!(route_reads),
        "Which transactions go to replicas in a database entry for the primary, besides those with a hint: off: none; explicit: those that say READ ONLY; auto: also single statements that PostgreSQL's grammar shows to be reads; shadow: as explicit, and SHOW ROUTES counts what auto would do, and what a replica that is asked to plan it would refuse. See docs/routing.md.",
    )),
    own(live(
        "max_replica_lag",
        Kind::Text,
        Some("10"),
        field!(max_replica_lag, values::replica_lag, values::show_replica_lag),
        "A replica further behind than this is not used: a time in seconds, or an amount of WAL with its unit (16MB). 0: no limit.",
    )),
    own(live(
        "causal_reads",
        Kind::Choice(CAUSAL_READS),
        Some("off"),
        field!(causal_reads),
        "session: a client's reads go only to replicas that have what it wrote itself; until one has, the primary serves them. With a topology_user without pg_monitor that takes minutes. off: a replica may lack it, up to max_replica_lag.",
    )),
    own(live(
        "replica_fallback",
        Kind::Choice(REPLICA_FALLBACK),
        Some("primary"),
        field!(replica_fallback),
        "When no replica is fit for a read that is to go to one: primary: it runs there; error: it is refused (57P03).",
    )),
    own(live(
        "slow_start",
        Kind::Time,
        Some("10"),
        field!(slow_start),
        "How long a replica that has just come, or come back, gets less than its share of the reads. 0: it gets its share at once.",
    )),
    own(live(
        "zone",
        Kind::Text,
        None,
        field!(zone),
        "Where this pgweir is. Replicas whose zone= in the database entry is the same are preferred while they have a server to spare.",
    )),
];
