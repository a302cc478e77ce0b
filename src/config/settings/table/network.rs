//! Where clients come in, and the sockets of both sides.

use super::{BYTES, COUNT, SECONDS, boot, field, live};
use crate::config::settings::{Kind, Setting};
use crate::config::values;

pub(super) const ROWS: &[Setting] = &[
    boot(
        "listen_addr",
        Kind::List,
        Some(""),
        field!(listen_addr),
        "Names or numbers to listen on; `*` is all; empty: Unix-domain sockets only.",
    ),
    boot(
        "listen_port",
        COUNT,
        Some("6432"),
        field!(listen_port),
        "Port to listen on, also in the name of the Unix-domain socket.",
    ),
    boot(
        "listen_backlog",
        COUNT,
        Some("128"),
        field!(listen_backlog),
        "Connections that the kernel keeps until they are accepted.",
    ),
    boot(
        "unix_socket_dir",
        Kind::Path,
        Some("/tmp"),
        field!(unix_socket_dir),
        "Where to listen, and where servers are sought whose entry has no host. Empty: none; `@x`: abstract.",
    ),
    boot(
        "unix_socket_mode",
        Kind::Mode,
        Some("0777"),
        field!(unix_socket_mode, values::file_mode, values::show_file_mode),
        "Permissions of the Unix-domain socket.",
    ),
    boot(
        "unix_socket_group",
        Kind::Text,
        None,
        field!(unix_socket_group),
        "Group of the Unix-domain socket, by its name in /etc/group or its number.",
    ),
    boot(
        "so_reuseport",
        Kind::Switch,
        Some("0"),
        field!(so_reuseport),
        "Several processes may listen on the same port.",
    ),
    live(
        "tcp_keepalive",
        Kind::Switch,
        Some("1"),
        field!(tcp_keepalive),
        "TCP keepalive on new connections.",
    ),
    live(
        "tcp_defer_accept",
        COUNT,
        Some("1"),
        field!(tcp_defer_accept),
        "Other than 0: a client is accepted only once it has sent something, or 45 s have passed.",
    ),
    live(
        "tcp_keepcnt",
        COUNT,
        Some("0"),
        field!(tcp_keepcnt),
        "Unanswered keepalive probes before a connection is dead. 0: the system's value.",
    ),
    live(
        "tcp_keepidle",
        SECONDS,
        Some("0"),
        field!(tcp_keepidle),
        "Idle time before the first keepalive probe. 0: the system's value.",
    ),
    live(
        "tcp_keepintvl",
        SECONDS,
        Some("0"),
        field!(tcp_keepintvl),
        "Time between keepalive probes. 0: the system's value.",
    ),
    live(
        "tcp_user_timeout",
        Kind::Number("ms"),
        Some("0"),
        field!(tcp_user_timeout, values::millis, values::show_millis),
        "How long what was sent on a new connection may stay unacknowledged until it is dead. 0: the system's value.",
    ),
    live(
        "tcp_socket_buffer",
        BYTES,
        Some("0"),
        field!(tcp_socket_buffer, values::some_size),
        "The kernel's buffer for each direction of a new connection. 0: the system's value.",
    ),
    live(
        "max_packet_size",
        BYTES,
        Some("2147483647"),
        field!(max_packet_size, values::size),
        "Longest message; who sends a longer one is disconnected.",
    ),
    boot(
        "disable_pqexec",
        Kind::Switch,
        Some("0"),
        field!(disable_pqexec),
        "Refuse the simple query protocol, which can hold several statements.",
    ),
    live(
        "application_name_add_host",
        Kind::Switch,
        Some("0"),
        field!(application_name_add_host),
        "Add the client's address to the application_name that it logs in with.",
    ),
];
