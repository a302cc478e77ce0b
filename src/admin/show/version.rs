//! SHOW VERSION, and the same text for `--version`.

use super::super::table::{Column, ColumnType, Table};

/// Version of the pgbouncer whose console we speak. Tools look for it.
pub const EMULATED: &str = "1.25.2";

const COLUMNS: &[Column] = &[("version", ColumnType::Text)];

/// The one line; `own` is pgweir's version.
pub fn line(own: &str) -> String {
    format!("PgBouncer {EMULATED} (pgweir {own})")
}

/// What `--version` prints: the line first, and what else pgbouncer tells there.
pub fn lines(own: &str) -> String {
    format!(
        "{}\nevent loop: tokio (epoll)\nadns: the system's resolver\ntls: rustls (ring)\nsystemd: yes",
        line(own)
    )
}

/// The table.
pub fn table(own: &str) -> Table {
    Table::new(COLUMNS, [vec![line(own).into()]])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn the_version_begins_as_tools_expect_and_says_what_it_is() {
        let table = table("0.1.0");
        assert_columns(&table, "version t");
        assert_row(&table, 0, &["version=PgBouncer 1.25.2 (pgweir 0.1.0)"]);
    }
}
