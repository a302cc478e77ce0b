//! SHOW of the few PostgreSQL settings that drivers ask for at connect: fixed values.

use super::super::table::{Column, ColumnType, Table};

/// A setting that the console pretends to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSetting {
    /// `client_encoding`
    ClientEncoding,
    /// `default_transaction_isolation`
    DefaultTransactionIsolation,
    /// `standard_conforming_strings`
    StandardConformingStrings,
    /// `datestyle`
    DateStyle,
    /// `timezone`
    TimeZone,
}

impl ClientSetting {
    const ALL: [Self; 5] = [
        Self::ClientEncoding,
        Self::DefaultTransactionIsolation,
        Self::StandardConformingStrings,
        Self::DateStyle,
        Self::TimeZone,
    ];

    /// The setting of this name, in either case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name().eq_ignore_ascii_case(name))
    }

    /// The name, which is also the column's.
    pub fn name(self) -> &'static str {
        let [(name, _)] = self.columns();
        name
    }

    fn columns(self) -> &'static [Column; 1] {
        match self {
            Self::ClientEncoding => &[("client_encoding", ColumnType::Text)],
            Self::DefaultTransactionIsolation => {
                &[("default_transaction_isolation", ColumnType::Text)]
            }
            Self::StandardConformingStrings => &[("standard_conforming_strings", ColumnType::Text)],
            Self::DateStyle => &[("datestyle", ColumnType::Text)],
            Self::TimeZone => &[("timezone", ColumnType::Text)],
        }
    }

    fn value(self) -> &'static str {
        match self {
            Self::ClientEncoding => "UTF-8",
            Self::DefaultTransactionIsolation => "read committed",
            Self::StandardConformingStrings => "on",
            Self::DateStyle => "ISO",
            Self::TimeZone => "GMT",
        }
    }

    /// The answer to SHOW.
    pub fn table(self) -> Table {
        Table::new(self.columns(), [vec![self.value().into()]])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn the_answers_are_pgbouncers() {
        for (name, answer) in [
            ("client_encoding", "client_encoding=UTF-8"),
            ("default_transaction_isolation", "default_transaction_isolation=read committed"),
            ("standard_conforming_strings", "standard_conforming_strings=on"),
            ("datestyle", "datestyle=ISO"),
            ("timezone", "timezone=GMT"),
        ] {
            let table = ClientSetting::named(&name.to_uppercase()).unwrap().table();
            assert_columns(&table, &format!("{name} t"));
            assert_row(&table, 0, &[answer]);
        }
        assert_eq!(ClientSetting::named("extra_float_digits"), None);
    }
}
