//! SHOW STATE: whether the pooler works, is paused or suspended.

use super::super::table::{Column, ColumnType, Table};

/// The state of the whole pooler; single databases may be paused besides (SHOW DATABASES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolerState {
    /// At work.
    Active,
    /// After PAUSE.
    Paused,
    /// After SUSPEND.
    Suspended,
}

const COLUMNS: &[Column] = &[("key", ColumnType::Text), ("value", ColumnType::Text)];

/// The table.
pub fn table(state: PoolerState) -> Table {
    let rows = [
        ("active", PoolerState::Active),
        ("paused", PoolerState::Paused),
        ("suspended", PoolerState::Suspended),
    ];
    let rows = rows.map(|(key, row)| {
        let value = if row == state { "yes" } else { "no" };
        vec![key.into(), value.into()]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn exactly_one_row_says_yes() {
        for (state, answers) in [
            (PoolerState::Active, ["yes", "no", "no"]),
            (PoolerState::Paused, ["no", "yes", "no"]),
            (PoolerState::Suspended, ["no", "no", "yes"]),
        ] {
            let table = table(state);
            assert_columns(&table, "key t, value t");
            for (index, key) in ["active", "paused", "suspended"].into_iter().enumerate() {
                let value = format!("value={}", answers[index]);
                assert_row(&table, index, &[&format!("key={key}"), &value]);
            }
        }
    }
}
