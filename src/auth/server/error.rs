//! Why we cannot log in at a server.

use std::fmt;

use crate::auth::scram::ScramError;

/// Why we cannot log in, as far as it is not the server that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerLoginError {
    /// The server asks for what our credentials cannot give.
    CannotAnswer {
        /// What it asks for.
        asked: &'static str,
        /// What we have.
        have: &'static str,
    },
    /// Only a SCRAM secret is at hand, and no client has logged in with SCRAM.
    NoScramKeys,
    /// The server asks for a method that is not implemented.
    Unsupported {
        /// Its code.
        code: u32,
    },
    /// The server offers SASL, but no mechanism we know.
    NoMechanism {
        /// Those it offers.
        offered: String,
    },
    /// The SCRAM exchange failed.
    Scram(ScramError),
    /// The server said AuthenticationOk before it proved that it knows our secret.
    Unproven,
    /// A message that has no place at this point.
    OutOfPlace {
        /// Its name.
        message: &'static str,
    },
    /// A message that cannot be read.
    Malformed(String),
}

impl fmt::Display for ServerLoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotAnswer { asked, have: "no password" } => write!(
                f,
                "the server asks for {asked}, and pgweir has no password for this user; add it to auth_file, or \
                 password= in [databases]"
            ),
            Self::CannotAnswer { asked, have } => write!(
                f,
                "the server asks for {asked}, which {have} cannot answer; store the plain password in auth_file, or \
                 password= in [databases], or store the same kind of secret as the server does"
            ),
            Self::NoScramKeys => f.write_str(
                "cannot do SCRAM authentication: password is SCRAM secret but client authentication did not provide \
                 SCRAM keys; store the plain password for this user, or let clients log in as this user with SCRAM",
            ),
            Self::Unsupported { code } => write!(
                f,
                "the server asks for authentication method {code}{}, which pgweir does not have; allow scram-sha-256 \
                 for this host in pg_hba.conf",
                match code {
                    2 => " (Kerberos V5)",
                    7 | 8 => " (GSSAPI)",
                    9 => " (SSPI)",
                    _ => "",
                }
            ),
            Self::NoMechanism { offered } => {
                write!(f, "the server offers only SASL mechanisms pgweir does not have: {offered}")
            }
            Self::Scram(ScramError::WrongProof) => f.write_str(
                "the server could not prove that it knows this user's secret; is it the server it should be?",
            ),
            Self::Scram(error) => write!(f, "SCRAM with the server failed: {error}"),
            Self::Unproven => f.write_str(
                "the server broke off a SCRAM exchange with AuthenticationOk, without proof that it knows this user's \
                 secret; is it the server it should be?",
            ),
            Self::OutOfPlace { message } => write!(f, "the server sent {message} where it has no place"),
            Self::Malformed(what) => write!(f, "the server sent an Authentication message that makes no sense: {what}"),
        }
    }
}

impl std::error::Error for ServerLoginError {}

impl From<ScramError> for ServerLoginError {
    fn from(error: ScramError) -> Self {
        Self::Scram(error)
    }
}
