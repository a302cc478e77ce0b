//! Worker threads, and what is served over HTTP. pgweir's own.

use super::{COUNT, boot, field, live, own};
use crate::config::settings::{Kind, Setting};
use crate::config::values::{self, METRICS_COMPAT};

pub(super) const ROWS: &[Setting] = &[
    own(boot("workers", COUNT, Some("0"), field!(workers), "Worker threads. 0: one per core.")),
    own(boot(
        "http_listen",
        Kind::List,
        Some(""),
        field!(http_listen),
        "Where /metrics, the probes, the JSON API and the status page are served: `address:port` or `unix:/path`, comma separated; `*:9127` is every IPv4 address, `unix:@name` an abstract socket. Empty: nowhere. See docs/http.md.",
    )),
    own(boot(
        "http_socket_mode",
        Kind::Mode,
        Some("0660"),
        field!(http_socket_mode, values::file_mode, values::show_file_mode),
        "Permissions of the Unix-domain sockets of http_listen.",
    )),
    own(live(
        "http_auth_token",
        Kind::Text,
        None,
        field!(http_auth_token),
        "Over HTTP whoever asks for more than the probes and the empty page must show it (`Authorization: Bearer …`). Never shown. Not given: nobody has to.",
    )),
    own(live(
        "http_auth_token_file",
        Kind::Path,
        None,
        field!(http_auth_token_file),
        "The file that has it instead, in its one line; read at start and at each reload.",
    )),
    own(live(
        "http_tls_key_file",
        Kind::Path,
        None,
        field!(http_tls_key_file),
        "Private key (PEM) for HTTPS. With it and a certificate all TCP addresses of http_listen speak TLS, and nothing else.",
    )),
    own(live(
        "http_tls_cert_file",
        Kind::Path,
        None,
        field!(http_tls_cert_file),
        "Certificate chain (PEM) for HTTPS.",
    )),
    own(live(
        "metrics_compat",
        Kind::Choice(METRICS_COMPAT),
        Some("pgbouncer_exporter"),
        field!(metrics_compat),
        "pgbouncer_exporter: /metrics also shows the metrics of pgbouncer's exporter (prometheus-community), by its names. off: only pgweir's own.",
    )),
];
