//! Why a client was refused: what the operator learns, and what the client is told.

use std::fmt;

use super::ldap::DirectoryFault;
use super::outside::SystemFault;
use super::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};
use crate::metrics::AuthFailure;

/// Longest password that is looked at, bytes (pgbouncer 1.26's limit).
pub const MAX_PASSWORD_BYTES: usize = 65_535;

/// Why a client was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// The user name it gave.
    pub user: String,
    /// How it was asked.
    pub method: Method,
    /// What is wrong. The client is told less.
    pub reason: Reason,
}

/// How a client is asked: follows from the [`Exchange`](super::client::Exchange) and from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// For the password in the clear.
    Plain,
    /// For an md5 hash.
    Md5,
    /// For a SCRAM proof.
    Scram,
    /// Not at all: its certificate tells.
    Cert,
    /// Not at all: the operating system tells.
    Peer,
    /// For the password in the clear; a directory tells.
    Ldap,
    /// For the password in the clear; PAM tells.
    Pam,
}

impl Method {
    /// As `auth_type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Plain => "plain",
            Self::Md5 => "md5",
            Self::Scram => "scram-sha-256",
            Self::Cert => "cert",
            Self::Peer => "peer",
            Self::Ldap => "ldap",
            Self::Pam => "pam",
        }
    }
}

/// See [`AuthError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither `auth_file` nor auth_query knows the user.
    UnknownUser,
    /// The user has no password.
    NoPassword,
    /// What is stored (its kind) cannot serve this method.
    WrongKind {
        /// See [`kind`](super::secret::Secret::kind).
        stored: &'static str,
    },
    /// The password is wrong.
    WrongPassword,
    /// The client sent an empty password.
    EmptyPassword,
    /// Longer than [`MAX_PASSWORD_BYTES`].
    PasswordTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The SCRAM exchange failed, other than by a wrong proof.
    Scram(ScramError),
    /// The client chose a SASL mechanism that was not offered.
    Mechanism {
        /// Its name.
        chosen: String,
    },
    /// A message that cannot be read.
    Malformed(String),
    /// A message although none was asked for.
    OutOfPlace,
    /// `ldap`, `pam`: the password is no UTF-8.
    NoText,
    /// `ldap`: the directory does not confirm the password.
    Directory(DirectoryFault),
    /// `pam`: PAM does not let the user in.
    System(SystemFault),
    /// `cert` without TLS.
    NoTls,
    /// `cert` without a checked certificate.
    NoCertificate,
    /// `cert`: the certificate has not exactly one common name.
    NoCommonName,
    /// `peer`: the system has no name for who is at the other end, or there is no Unix-domain socket.
    NoOwner,
    /// `cert`, `peer`: the name is not the user's.
    OtherName {
        /// The name.
        name: String,
    },
    /// `cert`, `peer`: the ident map does not lead from the name to the user.
    NotMapped {
        /// The map.
        map: String,
        /// The name.
        name: String,
    },
}

impl AuthError {
    /// What the client is told: pgbouncer's texts.
    pub fn client_message(&self) -> &'static str {
        match (&self.reason, self.method) {
            (Reason::EmptyPassword, _) => "empty password returned by client",
            (Reason::PasswordTooLong { .. }, _) => "password too long",
            (Reason::Mechanism { .. }, _) => {
                "client selected an invalid SASL authentication mechanism"
            }
            (_, Method::Trust) => "\"trust\" authentication failed",
            (_, Method::Plain | Method::Md5) => "password authentication failed",
            (_, Method::Scram) => "SASL authentication failed",
            (_, Method::Cert) => "certificate authentication failed",
            (_, Method::Peer) => "unix socket login rejected",
            (_, Method::Ldap) => "LDAP authentication failed",
            (_, Method::Pam) => "PAM authentication failed",
        }
    }

    /// PostgreSQL's code for it: `invalid_password`, `protocol_violation`, or, where no password was asked for or others
    /// judge it, `invalid_authorization_specification`. (pgbouncer says 08P01 to all of it.)
    pub fn sqlstate(&self) -> &'static str {
        match (self.failure(), self.method) {
            (AuthFailure::Protocol, _) => "08P01",
            _ if self.reason == Reason::EmptyPassword => "28P01",
            (_, Method::Trust | Method::Cert | Method::Peer | Method::Ldap | Method::Pam) => {
                "28000"
            }
            _ => "28P01",
        }
    }

    /// How it is counted.
    pub fn failure(&self) -> AuthFailure {
        match &self.reason {
            Reason::Directory(fault) => fault.failure(),
            Reason::System(fault) => fault.failure(),
            Reason::UnknownUser => AuthFailure::UnknownUser,
            Reason::NoPassword
            | Reason::WrongKind { .. }
            | Reason::WrongPassword
            | Reason::EmptyPassword
            | Reason::NoText
            | Reason::PasswordTooLong { .. } => AuthFailure::Password,
            Reason::Scram(_)
            | Reason::Mechanism { .. }
            | Reason::Malformed(_)
            | Reason::OutOfPlace => AuthFailure::Protocol,
            Reason::NoTls => AuthFailure::TlsRequired,
            Reason::NoCertificate | Reason::NoCommonName => AuthFailure::Certificate,
            Reason::NoOwner => AuthFailure::Peer,
            Reason::OtherName { .. } | Reason::NotMapped { .. } => match self.method {
                Method::Peer => AuthFailure::Peer,
                _ => AuthFailure::Certificate,
            },
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {:?} ({}): ", self.user, self.method.name())?;
        match &self.reason {
            Reason::UnknownUser => f.write_str(
                "no such user in auth_file, nor through auth_query (which needs auth_user)",
            ),
            Reason::NoPassword => {
                f.write_str("the user has no password stored (or it is past VALID UNTIL)")
            }
            Reason::WrongKind { stored } => {
                write!(
                    f,
                    "{stored} is stored, which cannot serve this auth_type; store the password anew with \
                           password_encryption = scram-sha-256, or set auth_type = md5"
                )
            }
            Reason::WrongPassword => f.write_str("wrong password"),
            Reason::EmptyPassword => f.write_str("the client sent an empty password"),
            Reason::PasswordTooLong { bytes } => {
                write!(
                    f,
                    "the client sent a password of {bytes} bytes; at most {MAX_PASSWORD_BYTES} are read"
                )
            }
            Reason::Scram(error) => write!(f, "the client broke the exchange: {error}"),
            Reason::Mechanism { chosen } => {
                write!(
                    f,
                    "the client chose SASL mechanism {chosen:?}, which was not offered; there is {SCRAM_SHA_256}, \
                     and over TLS {SCRAM_SHA_256_PLUS}"
                )
            }
            Reason::Malformed(what) => {
                write!(f, "the client sent a message that makes no sense: {what}")
            }
            Reason::OutOfPlace => {
                f.write_str("the client sent a password although none was asked for")
            }
            Reason::NoText => f.write_str("the client sent a password that is no UTF-8"),
            Reason::Directory(fault) => fault.fmt(f),
            Reason::System(fault) => fault.fmt(f),
            // pgbouncer's words come first.
            Reason::NoTls => f.write_str("TLS connection required"),
            Reason::NoCertificate => f.write_str("TLS client certificate required"),
            Reason::NoCommonName => f.write_str(
                "TLS certificate name mismatch: the certificate has not exactly one common name",
            ),
            Reason::NoOwner => f.write_str(
                "peer needs a Unix-domain socket, and a name for the user id at its other end",
            ),
            Reason::OtherName { name } if self.method == Method::Cert => {
                write!(f, "TLS certificate name mismatch: it names {name:?}")
            }
            Reason::OtherName { name } => write!(f, "the process belongs to {name:?}"),
            Reason::NotMapped { map, name } if self.method == Method::Cert => {
                write!(f, "ident map: {map} does not have a match for {name:?}")
            }
            Reason::NotMapped { map, name } => {
                write!(f, "ident map {map} cannot be matched for {name:?}")
            }
        }
    }
}

impl std::error::Error for AuthError {}
