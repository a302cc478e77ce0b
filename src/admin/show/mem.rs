//! SHOW MEM: how much memory goes into what, as far as it is counted.

use super::super::table::{Column, ColumnType, Table, Value};

/// Things of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemRow {
    /// What they are, by pgbouncer's names where there is one.
    pub name: &'static str,
    /// Bytes of one.
    pub size: usize,
    /// How many there are. None is kept for later: pgweir allocates as it goes.
    pub used: usize,
}

const COLUMNS: &[Column] = &[
    ("name", ColumnType::Text),
    ("size", ColumnType::Int4),
    ("used", ColumnType::Int4),
    ("free", ColumnType::Int4),
    ("memtotal", ColumnType::Int4),
];

/// The table.
pub fn table(rows: Vec<MemRow>) -> Table {
    let rows = rows.into_iter().map(|MemRow { name, size, used }| {
        vec![
            name.into(),
            Value::int4(size),
            Value::int4(used),
            Value::int4(0),
            Value::int4(size.saturating_mul(used)),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn the_sum_is_size_by_number() {
        let table = table(vec![MemRow { name: "client_cache", size: 300, used: 2 }]);
        assert_columns(&table, "name t, size i, used i, free i, memtotal i");
        let row = ["name=client_cache", "size=300", "used=2", "free=0", "memtotal=600"];
        assert_row(&table, 0, &row);
    }
}
