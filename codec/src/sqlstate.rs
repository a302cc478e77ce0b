//! SQLSTATE codes (manual, "PostgreSQL Error Codes").

use std::fmt;

/// Five characters that say what kind of error it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// From the five bytes of an ErrorResponse's field `C`; anything but printable ASCII becomes `XX000`.
    pub fn from_bytes(code: &[u8]) -> Self {
        match <[u8; 5]>::try_from(code) {
            Ok(code) if code.iter().all(u8::is_ascii_graphic) => Self(code),
            _ => Self::INTERNAL_ERROR,
        }
    }

    /// The five characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal),* $(,)?) => {
        impl SqlState {
            $(
                #[doc = concat!("`", stringify!($code), "`, named as in the manual.")]
                pub const $name: Self = Self(*$code);
            )*
        }
    };
}

codes! {
    SUCCESSFUL_COMPLETION = b"00000",
    WARNING = b"01000",
    CONNECTION_EXCEPTION = b"08000",
    SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION = b"08001",
    SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION = b"08004",
    CONNECTION_FAILURE = b"08006",
    PROTOCOL_VIOLATION = b"08P01",
    FEATURE_NOT_SUPPORTED = b"0A000",
    INVALID_PARAMETER_VALUE = b"22023",
    READ_ONLY_SQL_TRANSACTION = b"25006",
    NO_ACTIVE_SQL_TRANSACTION = b"25P01",
    IN_FAILED_SQL_TRANSACTION = b"25P02",
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03",
    TRANSACTION_TIMEOUT = b"25P04",
    INVALID_SQL_STATEMENT_NAME = b"26000",
    INVALID_CURSOR_NAME = b"34000",
    INVALID_AUTHORIZATION_SPECIFICATION = b"28000",
    INVALID_PASSWORD = b"28P01",
    INVALID_CATALOG_NAME = b"3D000",
    SERIALIZATION_FAILURE = b"40001",
    DEADLOCK_DETECTED = b"40P01",
    INSUFFICIENT_PRIVILEGE = b"42501",
    SYNTAX_ERROR = b"42601",
    DUPLICATE_PREPARED_STATEMENT = b"42P05",
    TOO_MANY_CONNECTIONS = b"53300",
    CONFIGURATION_LIMIT_EXCEEDED = b"53400",
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000",
    CANT_CHANGE_RUNTIME_PARAM = b"55P02",
    QUERY_CANCELED = b"57014",
    ADMIN_SHUTDOWN = b"57P01",
    CRASH_SHUTDOWN = b"57P02",
    CANNOT_CONNECT_NOW = b"57P03",
    IDLE_SESSION_TIMEOUT = b"57P05",
    CONFIG_FILE_ERROR = b"F0000",
    INTERNAL_ERROR = b"XX000",
}
