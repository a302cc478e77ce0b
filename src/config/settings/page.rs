//! docs/settings.md, made from the table.

use super::{Kind, Setting, State, all};

type Belongs = fn(&Setting) -> bool;

/// docs/settings.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         The keys of `[pgbouncer]`. This page is made from the table in `src/config/settings/table` \
         (`UPDATE_DOCS=1 cargo test` writes it anew).\n\n\
         *Changed by*: **reload** takes effect with `RELOAD`, SIGHUP or `SET`; **restart** is read at start only. \
         Times are in the unit given, decimals allowed, or with a unit of their own: us, ms, s, min, h, d (`5min`). Sizes are \
         bytes, or with a unit: kB, MB, GB (`64kB`). Numbers are in C's syntax (`0777` is octal). For 0 and 1 there are also \
         off and on, no and yes, false and true.\n",
    );
    let sections: [(&str, Belongs); 3] = [
        ("pgbouncer's settings", |setting| setting.is_effective() && !setting.own),
        ("pgweir's own settings", |setting| setting.own),
        ("Accepted, without effect", |setting| matches!(setting.state, State::WithoutEffect(_))),
    ];
    for (title, belongs) in sections {
        text.push_str("\n## ");
        text.push_str(title);
        text.push_str(
            "\n\n| key | values | default | changed by | meaning |\n|---|---|---|---|---|\n",
        );
        for setting in all().filter(|setting| belongs(setting)) {
            text.push_str(&setting.markdown_row());
        }
    }
    text
}

impl Setting {
    fn markdown_row(&self) -> String {
        let default = match self.default {
            None => "–".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let changed = if self.changeable { "reload" } else { "restart" };
        format!(
            "| {} | {} | {default} | {changed} | {} |\n",
            self.key,
            self.kind.describe(),
            self.meaning
        )
    }
}

impl Kind {
    /// For the documentation.
    fn describe(self) -> String {
        match self {
            Self::Switch => "0 or 1".to_owned(),
            Self::Number("") => "number".to_owned(),
            Self::Number("bytes") => "size, bytes".to_owned(),
            Self::Number(unit) => format!("time, {unit}"),
            Self::Time => "time, s".to_owned(),
            Self::Mode => "octal".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::List => "list".to_owned(),
            Self::Choice(names) => names.join(", "),
        }
    }
}
