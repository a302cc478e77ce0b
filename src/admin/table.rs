//! A table, as a SHOW answers with: columns, rows, and their way into bytes.
//!
//! All values go out as text, whatever the column's type; the type tells a client how to read it.

/// The types that the console uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`.
    Text,
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `numeric`.
    Numeric,
}

impl ColumnType {
    /// The type's OID in every PostgreSQL (`pg_type.dat`).
    pub const fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Numeric => 1700,
        }
    }

    /// The type's size in bytes, -1 when it varies (`pg_type.typlen`).
    pub const fn size(self) -> i16 {
        match self {
            Self::Text | Self::Numeric => -1,
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }

    fn holds(self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Text(_) => self == Self::Text,
            Value::Int4(_) => self == Self::Int4,
            Value::Int8(_) => self == Self::Int8,
            Value::Numeric(_) => self == Self::Numeric,
        }
    }
}

/// A column's name and type.
pub type Column = (&'static str, ColumnType);

/// One field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A text.
    Text(String),
    /// Fits an `int4`.
    Int4(i32),
    /// Fits an `int8`.
    Int8(i64),
    /// A count: `numeric` because a `u64` may not fit an `int8`.
    Numeric(u64),
}

impl Value {
    /// A number in an `int4` column; what does not fit is shown as the greatest that does.
    pub fn int4(number: impl TryInto<i32>) -> Self {
        Self::Int4(number.try_into().unwrap_or(i32::MAX))
    }

    /// A number in an `int8` column; what does not fit is shown as the greatest that does.
    pub fn int8(number: impl TryInto<i64>) -> Self {
        Self::Int8(number.try_into().unwrap_or(i64::MAX))
    }

    /// The text that goes out; `None` is NULL.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Int4(number) => Some(number.to_string()),
            Self::Int8(number) => Some(number.to_string()),
            Self::Numeric(number) => Some(number.to_string()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The answer to a SHOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table of these columns. Every row must have a value of the right type for each: they
    /// are built by the functions of [`super::show`], not from anything that came in.
    pub fn new(columns: &'static [Column], rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        let rows: Vec<_> = rows.into_iter().collect();
        for row in &rows {
            assert_eq!(row.len(), columns.len(), "a value for each column");
            for (value, (name, kind)) in row.iter().zip(columns) {
                assert!(kind.holds(value), "{value:?} in column {name}");
            }
        }
        Self { columns, rows }
    }

    /// The columns in order.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }
}
