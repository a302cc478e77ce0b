//! Rows and what describes them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `RowDescription` (`T`, backend): the columns of the rows that follow, or would.
///
/// Body: Int16 count, then [`FieldDescription`]s. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDescription {
    /// The columns in order.
    pub fields: Vec<FieldDescription>,
}

impl RowDescription {
    /// Columns of type text that belong to no table.
    pub fn text(names: &[&'static str]) -> Self {
        let field = |name: &&'static str| FieldDescription {
            name: Bytes::from_static(name.as_bytes()),
            table: 0,
            column: 0,
            type_oid: 25,
            type_size: -1,
            type_modifier: -1,
            format: 0,
        };
        Self { fields: names.iter().map(field).collect() }
    }
}

/// One column: name, Int32 table, Int16 column of it, Int32 type, Int16 size, Int32 modifier, Int16 format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDescription {
    /// Its name.
    pub name: Bytes,
    /// OID of the table; 0 for none.
    pub table: u32,
    /// Number of the table's column; 0 for none.
    pub column: i16,
    /// OID of the type.
    pub type_oid: u32,
    /// `pg_type.typlen`.
    pub type_size: i16,
    /// `pg_attribute.atttypmod`.
    pub type_modifier: i32,
    /// 0 is text, 1 binary.
    pub format: i16,
}

impl FieldDescription {
    /// An empty name and its zero byte, and 18 bytes of numbers.
    const LEAST: usize = 19;

    fn decode(body: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: body.text("column name")?,
            table: body.u32("table")?,
            column: body.i16("column")?,
            type_oid: body.u32("type")?,
            type_size: body.i16("type size")?,
            type_modifier: body.i32("type modifier")?,
            format: body.i16("format")?,
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        write::text(out, &self.name);
        out.put_u32(self.table);
        out.put_i16(self.column);
        out.put_u32(self.type_oid);
        out.put_i16(self.type_size);
        out.put_i32(self.type_modifier);
        out.put_i16(self.format);
    }
}

impl RowDescription {
    /// The message's type.
    pub const TAG: u8 = b'T';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let fields = body.list("columns", FieldDescription::LEAST, FieldDescription::decode)?;
        body.finish()?;
        Ok(Self { fields })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::list(body, &self.fields, |body, field| field.encode(body))
        });
    }
}

/// `DataRow` (`D`, backend): one row.
///
/// Body: Int16 count, then each value with its length in front (-1: NULL). Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRow {
    /// The values in order; `None` is NULL.
    pub columns: Vec<Option<Bytes>>,
}

impl DataRow {
    /// The message's type.
    pub const TAG: u8 = b'D';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let columns = body.list("columns", 4, |body| body.value("column"))?;
        body.finish()?;
        Ok(Self { columns })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::list(body, &self.columns, |body, value| write::value(body, value.as_ref()));
        });
    }
}
