//! Passwords that others judge: a directory ([`super::ldap`]), or the system (PAM). The client is asked in the clear.

use std::fmt;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::Authentication;

use super::client::password_in;
use super::refusal::{AuthError, Method, Reason};
use crate::config::SecretText;
use crate::metrics::AuthFailure;

/// A login whose password others judge.
#[derive(Clone, Copy, Debug)]
pub struct OutsideLogin<'a> {
    /// The user name that the client gave.
    pub user: &'a str,
    /// [`Method::Ldap`] or [`Method::Pam`].
    pub method: Method,
}

impl OutsideLogin<'_> {
    /// What the client is asked, one whole message. The next `p` message goes to [`Self::password`].
    pub fn question(&self) -> Bytes {
        let mut out = BytesMut::new();
        Authentication::CleartextPassword.encode(&mut out);
        out.freeze()
    }

    /// The password in the body of a `p` message. Never empty: to a directory, a name without a password is nobody in
    /// particular, and let in (RFC 4513, 5.1.2).
    ///
    /// # Errors
    /// It is no password that could be right; the client is refused.
    pub fn password(&self, body: &[u8]) -> Result<SecretText, AuthError> {
        let password = password_in(body).map_err(|reason| self.refusal(reason))?;
        let text = std::str::from_utf8(password).map_err(|_| self.refusal(Reason::NoText))?;
        Ok(SecretText::new(text.to_owned()))
    }

    /// The judgement, for the client and for the log.
    pub fn refusal(&self, reason: Reason) -> AuthError {
        AuthError { user: self.user.to_owned(), method: self.method, reason }
    }
}

/// Why PAM does not let a user in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemFault {
    /// At which step.
    pub step: SystemStep,
    /// What it said.
    pub said: String,
}

/// The steps of a login through PAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemStep {
    /// Reading the service's file, and getting a thread to work on.
    Start,
    /// Is it the user's password?
    Authenticate,
    /// May the user come in now?
    Account,
}

impl SystemFault {
    /// How it is counted.
    pub fn failure(&self) -> AuthFailure {
        match self.step {
            SystemStep::Start => AuthFailure::Lookup,
            SystemStep::Authenticate | SystemStep::Account => AuthFailure::Password,
        }
    }
}

impl fmt::Display for SystemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            SystemStep::Start => "PAM cannot be asked",
            SystemStep::Authenticate => "PAM does not confirm the password",
            SystemStep::Account => "PAM has confirmed the password, and does not let the user in",
        };
        write!(f, "{step}: {}", self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: OutsideLogin<'static> = OutsideLogin { user: "joe", method: Method::Ldap };

    fn refused(body: &[u8]) -> (&'static str, &'static str) {
        let error = LOGIN.password(body).expect_err("is refused");
        (error.sqlstate(), error.client_message())
    }

    #[test]
    fn the_client_is_asked_for_its_password_in_the_clear() {
        assert_eq!(&LOGIN.question()[..], b"R\0\0\0\x08\0\0\0\x03");
        assert_eq!(LOGIN.password(b"p\xc3\xa9ncil\0").map(|text| text.reveal().len()), Ok(7));
    }

    #[test]
    fn a_password_that_cannot_be_right_goes_nowhere() {
        assert_eq!(refused(b"\0"), ("28P01", "empty password returned by client"));
        assert_eq!(refused(b"\xff\0"), ("28000", "LDAP authentication failed"));
        assert_eq!(refused(b"a\0b\0"), ("08P01", "LDAP authentication failed"));
        assert_eq!(refused(b"a"), ("08P01", "LDAP authentication failed"));
        assert_eq!(refused(b""), ("08P01", "LDAP authentication failed"));
        let long = [b"a".repeat(65_536), vec![0]].concat();
        assert_eq!(refused(&long), ("28000", "password too long"));
    }
}
