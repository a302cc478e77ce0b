//! How a client is asked, and what its answer is held against: from `auth_type` and from what is stored.
//!
//! Who cannot get in is asked as somebody who can, and has as much computed for it; only the verdict is fixed before.

use super::client::Exchange;
use super::md5;
use super::mock::{Likeness, Looks};
use super::random::Draws;
use super::refusal::{Method, Reason};
use super::scram::{MAX_ITERATIONS, ScramServer, hmac_of, salt_of};
use super::secret::{Secret, Verifier};

/// Whether an answer that is right lets the client in, and if not, why.
pub(super) type Verdict = Result<(), Reason>;

/// What decides in the end.
pub(super) enum Check {
    /// Nobody asks.
    Asked(Verdict),
    /// The password in the clear.
    Plain(Secret, Verdict),
    /// The hash of what is stored with this salt.
    Md5 { stored: [u8; 32], salt: [u8; 4], verdict: Verdict },
    /// The SCRAM exchange.
    Scram(ScramServer, Verdict),
}

/// How to ask a client, and what to hold its answer against.
pub(super) fn plan(
    exchange: Exchange,
    user: &str,
    secret: Option<Secret>,
    draws: &Draws,
    looks: &Looks,
) -> (Method, Check) {
    let (secret, verdict) = match secret {
        None => (None, Err(Reason::UnknownUser)),
        Some(secret) if secret == Secret::none() => (None, Err(Reason::NoPassword)),
        Some(secret) => (Some(secret), Ok(())),
    };
    match exchange {
        Exchange::Any => (Method::Trust, Check::Asked(Ok(()))),
        // Without a password one may come in here.
        Exchange::Trust => {
            let verdict = if verdict == Err(Reason::UnknownUser) { verdict } else { Ok(()) };
            (Method::Trust, Check::Asked(verdict))
        }
        Exchange::Plain => match secret.unwrap_or_else(|| lookalike(user, looks)) {
            // Whoever may set a password may choose its iterations; checking it is ours to compute.
            Secret::Scram(verifier) if verifier.iterations > MAX_ITERATIONS => {
                let stored = "a SCRAM secret of too many iterations";
                let verdict = verdict.and(Err(Reason::WrongKind { stored }));
                (Method::Plain, Check::Plain(lookalike(user, looks), verdict))
            }
            secret => (Method::Plain, Check::Plain(secret, verdict)),
        },
        Exchange::Md5 => match secret.unwrap_or_else(|| lookalike(user, looks)) {
            // A SCRAM secret is of no use to md5: PostgreSQL and pgbouncer both change to SCRAM then.
            Secret::Scram(verifier) => scram(verifier, verdict, draws),
            Secret::Plain(password) => md5(md5::stored(password.as_bytes(), user), verdict, draws),
            Secret::Md5(stored) => md5(stored, verdict, draws),
        },
        Exchange::ScramSha256 => match secret {
            Some(Secret::Scram(verifier)) => scram(verifier, verdict, draws),
            Some(Secret::Plain(password)) => {
                let salt = salt_of(user, &looks.key, super::mock::SALT_BYTES);
                let iterations = looks.scram_iterations;
                let server = ScramServer::with_password(password, salt, iterations, draws.nonce);
                (Method::Scram, Check::Scram(server, verdict))
            }
            Some(secret @ Secret::Md5(_)) => {
                let verdict = Err(Reason::WrongKind { stored: secret.kind() });
                scram(nobody(user, looks), verdict, draws)
            }
            None => scram(nobody(user, looks), verdict, draws),
        },
    }
}

fn md5(stored: [u8; 32], verdict: Verdict, draws: &Draws) -> (Method, Check) {
    (Method::Md5, Check::Md5 { stored, salt: draws.md5_salt, verdict })
}

fn scram(verifier: Verifier, verdict: Verdict, draws: &Draws) -> (Method, Check) {
    let server = match verdict {
        Ok(()) => ScramServer::with_verifier(verifier, draws.nonce),
        Err(_) => ScramServer::mock(verifier, draws.nonce),
    };
    (Method::Scram, Check::Scram(server, verdict))
}

/// A secret such as a user of this name could have, that nothing opens.
fn lookalike(user: &str, looks: &Looks) -> Secret {
    match looks.stranger {
        Likeness::Plain => Secret::Plain("nobody's".to_owned()),
        Likeness::Md5 => Secret::Md5([b'0'; 32]),
        Likeness::Scram { .. } => Secret::Scram(nobody(user, looks)),
    }
}

fn nobody(user: &str, looks: &Looks) -> Verifier {
    let (salt_bytes, iterations) = looks.scram();
    let key = |what: &[u8]| hmac_of(&looks.key, &[what, user.as_bytes()]);
    Verifier {
        iterations,
        salt: salt_of(user, &looks.key, salt_bytes),
        stored_key: key(b"stored"),
        server_key: key(b"server"),
    }
}
