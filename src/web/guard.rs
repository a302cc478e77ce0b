//! The bearer token (RFC 6750): who wants to see more than the probes and the empty page must show it.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::{Asked, Source};

/// Lets a request through if it shows the token, or if none is set.
pub(super) async fn check(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    if may_see(&*asked.web.source, request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, r#"Bearer realm="pgweir""#)];
    let words = "this needs the token of http_auth_token: Authorization: Bearer TOKEN\n";
    (StatusCode::UNAUTHORIZED, challenge, words).into_response()
}

/// Whether these headers show the token, or none is set.
pub(super) fn may_see(source: &dyn Source, headers: &HeaderMap) -> bool {
    let Some(token) = source.token() else { return true };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    // Takes as long whatever the first wrong byte is.
    shown.is_some_and(|shown| shown.ct_eq(token.reveal().as_bytes()).into())
}

/// What stands behind `Bearer`, in whatever case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_stands_behind_bearer() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"Bearer", b"Bearerabc", b"abc", b""] {
            assert_eq!(bearer(other), None);
        }
    }
}
