//! A table, as a SHOW answers with: columns, rows, and their way into bytes.
//!
//! All values go out as text, whatever the column's type; the type tells a client how to read it.

use bytes::{BufMut, BytesMut};

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

impl Value {
    /// The bytes that go out in the binary format of its type; `None` is NULL.
    fn binary(&self) -> Option<Vec<u8>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Int4(number) => Some(number.to_be_bytes().to_vec()),
            Self::Int8(number) => Some(number.to_be_bytes().to_vec()),
            Self::Numeric(number) => Some(numeric(*number)),
        }
    }
}

/// A whole number as `numeric_send` of PostgreSQL writes it: Int16 count of digits to the base of 10,000, Int16 weight of
/// the first, Int16 sign, Int16 decimals, the digits.
fn numeric(mut number: u64) -> Vec<u8> {
    const BASE: u64 = 10_000;
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(u16::try_from(number % BASE).unwrap_or_default());
        number /= BASE;
    }
    digits.reverse();
    let count = u16::try_from(digits.len()).unwrap_or_default();
    let mut bytes = Vec::new();
    for word in [count, count.saturating_sub(1), 0, 0].into_iter().chain(digits) {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes
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

    /// Appends the answer to a SHOW by the simple query protocol: RowDescription, a DataRow for each row, CommandComplete.
    pub fn encode(&self, out: &mut BytesMut) {
        self.describe(&[], out);
        self.encode_rows(&[], out);
    }

    /// Appends RowDescription, for result formats as a Bind has them: none is all text, one is for all columns.
    pub fn describe(&self, formats: &[i16], out: &mut BytesMut) {
        message(out, b'T', |body| {
            put_count(body, self.columns.len());
            for (at, (name, kind)) in self.columns.iter().enumerate() {
                put_string(body, name);
                body.put_u32(0); // of no table
                body.put_u16(0); // and no column of one
                body.put_u32(kind.oid());
                body.put_i16(kind.size());
                body.put_i32(-1); // no type modifier
                body.put_u16(u16::from(is_binary(formats, at)));
            }
        });
    }

    /// Appends a DataRow for each row, and CommandComplete.
    pub fn encode_rows(&self, formats: &[i16], out: &mut BytesMut) {
        for row in &self.rows {
            message(out, b'D', |body| {
                put_count(body, row.len());
                for (at, value) in row.iter().enumerate() {
                    let bytes = if is_binary(formats, at) {
                        value.binary()
                    } else {
                        value.text().map(String::into_bytes)
                    };
                    match bytes {
                        None => body.put_i32(-1),
                        Some(bytes) => {
                            body.put_u32(length(bytes.len()));
                            body.put_slice(&bytes);
                        }
                    }
                }
            });
        }
        message(out, b'C', |body| put_string(body, "SHOW"));
    }
}

/// Whether a column is wanted in the binary format.
fn is_binary(formats: &[i16], at: usize) -> bool {
    let format = match formats {
        [] => None,
        [all] => Some(all),
        each => each.get(at),
    };
    format == Some(&1)
}

/// A message of this type around the body, its length included.
fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    // Written apart and joined, so that the length is in front of what it counts.
    let mut rest = out.split_off(out.len());
    rest.put_u32(0);
    body(&mut rest);
    let total = length(rest.len());
    for (to, from) in rest.iter_mut().zip(total.to_be_bytes()) {
        *to = from;
    }
    out.unsplit(rest);
}

fn put_count(body: &mut BytesMut, count: usize) {
    body.put_u16(u16::try_from(count).expect("a table of the console has a few dozen columns"));
}

fn put_string(body: &mut BytesMut, text: &str) {
    body.put_slice(text.as_bytes());
    body.put_u8(0);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a row of the console has a few kilobytes")
}

#[cfg(test)]
mod tests {
    use fallible_iterator::FallibleIterator;
    use postgres_protocol::message::backend::Message;

    use super::*;

    const COLUMNS: &[Column] = &[
        ("name", ColumnType::Text),
        ("size", ColumnType::Int4),
        ("lag", ColumnType::Int8),
        ("sum", ColumnType::Numeric),
    ];

    fn example() -> Table {
        let first = vec![
            "bücher".into(),
            Value::int4(-5),
            Value::int8(1_u64 << 40),
            Value::Numeric(u64::MAX),
        ];
        let second = vec!["".into(), Value::Null, Value::Null, Value::Null];
        Table::new(COLUMNS, [first, second])
    }

    fn encoded(table: &Table) -> BytesMut {
        // Something before it must stay as it is.
        let mut out = BytesMut::from(&b"before"[..]);
        table.encode(&mut out);
        assert_eq!(&out.split_to(6)[..], b"before");
        out
    }

    #[test]
    fn a_client_reads_back_columns_rows_and_tag() {
        let mut bytes = encoded(&example());
        let mut next = || Message::parse(&mut bytes).unwrap();

        let Some(Message::RowDescription(described)) = next() else { panic!("no RowDescription") };
        let columns: Vec<_> = described
            .fields()
            .map(|field| Ok((field.name().to_owned(), field.type_oid(), field.type_size())))
            .collect()
            .unwrap();
        let named = |name: &str, oid, size| (name.to_owned(), oid, size);
        assert_eq!(
            columns,
            [
                named("name", 25, -1),
                named("size", 23, 4),
                named("lag", 20, 8),
                named("sum", 1700, -1)
            ]
        );

        let expected: [[Option<&str>; 4]; 2] = [
            [Some("bücher"), Some("-5"), Some("1099511627776"), Some("18446744073709551615")],
            [Some(""), None, None, None],
        ];
        for expected in expected {
            let Some(Message::DataRow(row)) = next() else { panic!("no DataRow") };
            let values: Vec<_> = row
                .ranges()
                .map(|range| Ok(range.map(|range| row.buffer()[range].to_vec())))
                .collect()
                .unwrap();
            assert_eq!(values, expected.map(|value| value.map(|text| text.as_bytes().to_vec())));
        }

        let Some(Message::CommandComplete(complete)) = next() else { panic!("no CommandComplete") };
        assert_eq!(complete.tag().unwrap(), "SHOW");
        assert!(bytes.is_empty());
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let table = Table::new(&[("a", ColumnType::Int4)], [vec![Value::int4(7)]]);
        let expected = [
            &b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"[..],
            &b"D\0\0\0\x0b\0\x01\0\0\0\x017"[..],
            &b"C\0\0\0\x09SHOW\0"[..],
        ];
        assert_eq!(&encoded(&table)[..], expected.concat());
    }

    #[test]
    fn a_number_too_great_for_its_column_is_shown_as_the_greatest() {
        assert_eq!(Value::int4(u32::MAX).text().as_deref(), Some("2147483647"));
        assert_eq!(Value::int8(u64::MAX).text().as_deref(), Some("9223372036854775807"));
    }

    #[test]
    #[should_panic(expected = "a value for each column")]
    fn a_row_must_have_a_value_for_each_column() {
        Table::new(COLUMNS, [vec![Value::Null]]);
    }

    #[test]
    #[should_panic(expected = "in column size")]
    fn a_value_must_be_of_its_column_s_type() {
        Table::new(COLUMNS, [vec![Value::Null, "7".into(), Value::Null, Value::Null]]);
    }
}
