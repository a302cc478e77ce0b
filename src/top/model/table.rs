//! An answer of the console. Columns are found by their names: there are more of them with every version.

/// Rows of text under named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Of these columns and rows; `None` is NULL.
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Option<String>>>) -> Self {
        Self { columns, rows }
    }

    /// The rows in their order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { columns: &self.columns, values })
    }

    /// The first row with this value in this column.
    pub fn find(&self, column: &str, value: &str) -> Option<Row<'_>> {
        self.rows().find(|row| row.text(column) == Some(value))
    }
}

/// One row of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// The text in a column; `None` where there is no such column, or NULL in it.
    pub fn text(&self, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.values.get(at)?.as_deref()
    }

    /// As [`Self::text`], nothing for nothing.
    pub fn word(&self, column: &str) -> &'a str {
        self.text(column).unwrap_or_default()
    }

    /// The number in a column. pgbouncer pads some with blanks.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column)?.trim().parse().ok()
    }

    /// All columns with what is in them.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let values = self.values.iter().map(Option::as_deref);
        self.columns.iter().map(String::as_str).zip(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;

    #[test]
    fn columns_are_found_by_name_and_what_is_missing_is_nothing() {
        let table = table("name size\napp 20\nother -");
        let row = table.find("name", "app").unwrap();
        assert_eq!((row.word("name"), row.number("size")), ("app", Some(20.0)));
        assert_eq!((row.text("colour"), row.number("name")), (None, None));
        let other = table.find("name", "other").unwrap();
        assert_eq!((other.text("size"), other.word("size")), (None, ""));
        assert_eq!(other.fields().collect::<Vec<_>>(), [("name", Some("other")), ("size", None)]);
    }
}
