//! Metrics: what is exported to Prometheus, and the handles that the hot path counts with.
//!
//! The idea: nothing is looked up while a query runs. Whoever owns a pool, a host or a worker asks
//! [`Metrics`] once for its handles and keeps them; counting is then one atomic addition to an
//! integer in memory. Totals can be read back, so the console's SHOW STATS and `/metrics` tell the
//! same numbers. Levels (how many clients wait?) are not counted at all but set from the owner's
//! state just before they are shown.
//!
//! What is *measured* belongs to the other rooms; what it is *called* is in [`names`], and once more in [`compat`], as
//! pgbouncer's exporter calls it. Handles are those of the crate `metrics`; libraries that count by its macros are exported
//! as well ([`facade`]).

pub mod compat;
pub mod exporter;
mod facade;
pub mod handles;
pub mod names;
pub mod process;
pub mod reference;
mod registry;
pub mod text;
pub mod timing;

pub use exporter::Metrics;
pub use handles::{
    AuthFailure, CancelResult, HostMetrics, LoginResult, MoveReason, PoolLevels, PoolMetrics,
    ProcessMetrics, RouteReason, RouteTarget, RoutingMetrics, TlsVersion, TopologyMetrics, Total,
    WorkerMetrics,
};
pub use timing::Timing;
