//! The rows, by theme; each file is a stretch of the table. Here is their order, and the words that rows are written in.

mod auth;
mod http;
mod log;
mod network;
mod pooling;
mod process;
mod sessions;
mod timeouts;
mod tls;
mod topology;

use super::{Field, Kind, Setting, State};

/// All rows. The order is that of SHOW CONFIG and of docs/settings.md.
pub(super) const TABLE: [&[Setting]; 11] = [
    log::ROWS,
    network::ROWS,
    pooling::ROWS,
    timeouts::ROWS,
    sessions::ROWS,
    auth::ROWS,
    tls::ROWS,
    http::ROWS,
    topology::ROWS,
    log::SYSLOG,
    process::ROWS,
];

/// A field of `Settings`, if need be with its own way to be read and shown.
macro_rules! field {
    ($($name:ident).+) => {
        field!($($name).+, $crate::config::values::Value::read)
    };
    ($($name:ident).+, $read:expr) => {
        field!($($name).+, $read, $crate::config::values::Value::show)
    };
    ($($name:ident).+, $read:expr, $show:expr) => {
        $crate::config::settings::Field {
            read: |settings, text| {
                settings.$($name).+ = $read(text)?;
                Ok(())
            },
            show: |settings| $show(&settings.$($name).+),
            differs: |a, b| a.$($name).+ != b.$($name).+,
            copy: |from, to| to.$($name).+ = from.$($name).+.clone(),
        }
    };
}
use field;

type DefaultText = Option<&'static str>;

const fn setting(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    changeable: bool,
    state: State,
    meaning: &'static str,
) -> Setting {
    Setting { key, kind, default, changeable, state, own: false, meaning }
}

/// Changeable while running.
const fn live(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    field: Field,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, true, State::Effective(field), meaning)
}

/// Read at start only.
const fn boot(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    field: Field,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, false, State::Effective(field), meaning)
}

/// pgbouncer's, which nothing here could go by; `why`.
const fn pointless(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    why: &'static str,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, true, State::WithoutEffect(why), meaning)
}

/// One that pgbouncer reads at start only.
const fn at_start(setting: Setting) -> Setting {
    Setting { changeable: false, ..setting }
}

/// pgweir's own.
const fn own(setting: Setting) -> Setting {
    Setting { own: true, ..setting }
}

const COUNT: Kind = Kind::Number("");
const SECONDS: Kind = Kind::Number("s");
const BYTES: Kind = Kind::Number("bytes");
