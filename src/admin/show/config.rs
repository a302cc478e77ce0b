//! SHOW CONFIG: every setting with its value.

use super::super::table::{Column, ColumnType, Table};

/// A setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigRow {
    /// The key in the file.
    pub key: String,
    /// The value in force, as the file would have it.
    pub value: Option<String>,
    /// The value without the file; `None` where there is none.
    pub default: Option<String>,
    /// Whether RELOAD and SET take effect.
    pub changeable: bool,
}

const COLUMNS: &[Column] = &[
    ("key", ColumnType::Text),
    ("value", ColumnType::Text),
    ("default", ColumnType::Text),
    ("changeable", ColumnType::Text),
];

/// The table, in alphabetical order.
pub fn table(mut rows: Vec<ConfigRow>) -> Table {
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let rows = rows.into_iter().map(|row| {
        let changeable = if row.changeable { "yes" } else { "no" };
        vec![row.key.into(), row.value.into(), row.default.into(), changeable.into()]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn settings_are_sorted_and_show_whether_they_can_be_changed() {
        let listen_port = ConfigRow {
            key: "listen_port".to_owned(),
            value: Some("6433".to_owned()),
            default: Some("6432".to_owned()),
            changeable: false,
        };
        let auth_user =
            ConfigRow { key: "auth_user".to_owned(), changeable: true, ..ConfigRow::default() };
        let table = table(vec![listen_port, auth_user]);
        assert_columns(&table, "key t, value t, default t, changeable t");
        assert_row(&table, 0, &["key=auth_user", "value=-", "default=-", "changeable=yes"]);
        assert_row(&table, 1, &["key=listen_port", "value=6433", "default=6432", "changeable=no"]);
    }
}
