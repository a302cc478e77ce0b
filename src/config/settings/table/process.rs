//! The process itself: as whom it runs, its file, its peers, its look-ups of names, its end.

use super::{BYTES, COUNT, at_start, boot, field, live, pointless};
use crate::config::settings::{Kind, Setting};
use crate::config::values;

pub(super) const ROWS: &[Setting] = &[
    boot(
        "user",
        Kind::Text,
        None,
        field!(user),
        "The system's user to become after the configuration is read; only root can. -u counts before it.",
    ),
    live(
        "conffile",
        Kind::Path,
        None,
        field!(conffile),
        "The file that the next reload reads. Not given: the one of the command line.",
    ),
    at_start(pointless(
        "job_name",
        Kind::Text,
        Some("pgbouncer"),
        "Windows only",
        "Name of the Windows service.",
    )),
    at_start(pointless(
        "service_name",
        Kind::Text,
        Some("pgbouncer"),
        "Windows only",
        "Name of the Windows service.",
    )),
    at_start(pointless(
        "resolv_conf",
        Kind::Path,
        None,
        "names are looked up by the system's resolver, which reads /etc/resolv.conf and /etc/nsswitch.conf",
        "The resolver's configuration file.",
    )),
    live(
        "peer_id",
        COUNT,
        Some("0"),
        field!(peer_id, values::peer_id),
        "This process's number among those that share its address (so_reuseport, a load balancer), 1 to 16383. Cancel requests that reach the wrong one are passed on, see [peers]. 0: no peers.",
    ),
    at_start(pointless(
        "pkt_buf",
        BYTES,
        Some("4096"),
        "buffers are lent to a connection while bytes are in flight, 8 kB or 64 kB, and grow for what must be whole",
        "Buffer per direction.",
    )),
    pointless(
        "sbuf_loopcnt",
        COUNT,
        Some("5"),
        "a connection's task gives way after a fixed amount of work",
        "Reads per connection before the others get their turn. 0: no limit.",
    ),
    live(
        "suspend_timeout",
        Kind::Time,
        Some("10"),
        field!(suspend_timeout),
        "Longest that SUSPEND waits until what was read has left; clients with whom it has not are disconnected. 0: for ever.",
    ),
    live(
        "dns_max_ttl",
        Kind::Time,
        Some("15"),
        field!(dns_max_ttl),
        "How often the addresses of hosts' names are looked up, a second at least. Servers at an address that a name does not have any more are replaced as they come free. A new connection always looks up.",
    ),
    live(
        "dns_nxdomain_ttl",
        Kind::Time,
        Some("15"),
        field!(dns_nxdomain_ttl),
        "How long after a failed look-up the next one is.",
    ),
    pointless(
        "dns_zone_check_period",
        Kind::Time,
        Some("0"),
        "names are looked up anew each dns_max_ttl, whatever the zone's serial number",
        "How often a zone's serial number is looked at. 0: never.",
    ),
    live(
        "login_notify_message",
        Kind::Text,
        Some(""),
        field!(login_notify_message),
        "A notice sent after each login. Empty: none.",
    ),
];
