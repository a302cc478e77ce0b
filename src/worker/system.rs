//! Asking PAM whether a password is right. Only where the cargo feature `pam` is on.
//!
//! Its modules may take their time (a wrong password costs two seconds), so each conversation has a thread of its own.
//! Not of the runtime's: that would wait at the end for a module that hangs.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::auth::outside::{SystemFault, SystemStep};

/// How many conversations there may be at once.
const AT_ONCE: usize = 32;

/// See the module's words.
#[derive(Debug)]
pub struct System {
    room: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What PAM is told and asked.
#[cfg_attr(not(feature = "pam"), expect(dead_code, reason = "nobody is there to be asked"))]
struct Question {
    user: String,
    password: String,
    /// Where the client comes from, in pgbouncer's words.
    from: String,
}

impl System {
    /// Asks. May be given up at any time; the conversation then goes on to its end, and keeps its place until then.
    ///
    /// # Errors
    /// The user is not let in, for whatever reason.
    pub async fn confirm(
        &self,
        user: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<(), SystemFault> {
        let room = self.room.clone().acquire_owned().await;
        let question = Question {
            user: user.to_owned(),
            password: password.to_owned(),
            from: from
                .map_or_else(|| "unix".to_owned(), |address| address.to_canonical().to_string()),
        };
        let (answer, answered) = oneshot::channel();
        let thread = std::thread::Builder::new().name("pam".to_owned()).spawn(move || {
            let _ = answer.send(question.ask());
            drop(room);
        });
        let cannot = |said: String| SystemFault { step: SystemStep::Start, said };
        thread.map_err(|error| cannot(format!("no thread for it: {error}")))?;
        answered.await.unwrap_or_else(|_| Err(cannot("the conversation broke off".to_owned())))
    }
}

#[cfg(not(feature = "pam"))]
impl Question {
    /// Not reached: such a configuration is refused.
    fn ask(&self) -> Result<(), SystemFault> {
        let said = "this pgweir was built without the cargo feature \"pam\"".to_owned();
        Err(SystemFault { step: SystemStep::Start, said })
    }
}

#[cfg(feature = "pam")]
mod conversation {
    use std::ffi::{OsStr, OsString};

    use nonstick::items::ItemsMut;
    use nonstick::{
        AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Transaction, TransactionBuilder,
    };

    use super::{Question, SystemFault, SystemStep};

    /// The file in /etc/pam.d: pgbouncer's.
    const SERVICE: &str = "pgbouncer";

    impl Question {
        pub(super) fn ask(&self) -> Result<(), SystemFault> {
            let fault = |step| move |code: ErrorCode| SystemFault { step, said: code.to_string() };
            let answers = Answers { password: self.password.clone() }.into_conversation();
            let mut transaction = TransactionBuilder::new_with_service(SERVICE)
                .username(&self.user)
                .build(answers)
                .map_err(fault(SystemStep::Start))?;
            let from = Some(OsStr::new(&self.from));
            transaction.items_mut().set_remote_host(from).map_err(fault(SystemStep::Start))?;
            transaction
                .authenticate(AuthnFlags::SILENT)
                .map_err(fault(SystemStep::Authenticate))?;
            transaction.account_management(AuthnFlags::SILENT).map_err(fault(SystemStep::Account))
        }
    }

    /// A password for whoever asks for one, and nothing for who asks for anything else.
    struct Answers {
        password: String,
    }

    impl ConversationAdapter for Answers {
        fn prompt(&self, request: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
            let request = request.as_ref().to_string_lossy().into_owned();
            tracing::warn!("PAM asks {request:?}, and there is only a password to answer with");
            Err(ErrorCode::ConversationError)
        }

        fn masked_prompt(&self, _: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
            Ok(OsString::from(&self.password))
        }

        fn error_msg(&self, message: impl AsRef<OsStr>) {
            tracing::warn!("PAM says {:?}", message.as_ref().to_string_lossy());
        }

        fn info_msg(&self, message: impl AsRef<OsStr>) {
            tracing::debug!("PAM says {:?}", message.as_ref().to_string_lossy());
        }
    }
}
