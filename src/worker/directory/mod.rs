//! Asking a directory (LDAP) whether a password is right. What it is asked is `auth::ldap`'s.
//!
//! Each login has a connection of its own. Referrals are not followed: they would lead passwords to servers that nobody
//! has named.

mod connection;
mod trust;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use tokio::sync::Semaphore;

use self::connection::Connection;
use crate::auth::ldap::{DirectoryFault, Question};
use crate::config::LdapOptions;
use crate::config::ldap::Encryption;
use crate::net::tls::directory_config;

/// How many are asked about at once: a directory that is slow is not to be swamped.
const AT_ONCE: usize = 64;

/// See the module's words.
pub struct Directory {
    /// How directories have to prove who they are; read when first needed.
    tls: Mutex<Option<Arc<ClientConfig>>>,
    room: Semaphore,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self { tls: Mutex::default(), room: Semaphore::new(AT_ONCE) }
    }
}

impl Directory {
    /// Asks. The password must not be empty. May be given up at any time.
    ///
    /// # Errors
    /// It is not confirmed, for whatever reason.
    pub async fn confirm(
        &self,
        options: &LdapOptions,
        user: &str,
        password: &str,
    ) -> Result<(), DirectoryFault> {
        let question = Question::new(options, user)?;
        let _room = self.room.acquire().await;
        let tls = match options.encryption {
            Encryption::None => None,
            Encryption::StartTls | Encryption::Ldaps => Some(self.tls().await?),
        };
        let mut connection = Connection::open(options, tls).await?;
        let name = match question {
            Question::Bind { name } => name,
            Question::Search(search) => connection.find(search, user).await?,
        };
        connection.try_password(name, password).await
    }

    /// ldap.conf and its certificates are read anew when next needed.
    pub fn forget_tls(&self) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, DirectoryFault> {
        if let Some(known) = &*self.tls.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(known.clone());
        }
        let why = |error: String| DirectoryFault::Tls { why: error };
        let made = tokio::task::spawn_blocking(|| directory_config(trust::of_system()));
        let made = made.await.map_err(|error| why(error.to_string()))?;
        let made = made.map_err(|error| why(error.to_string()))?;
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}
