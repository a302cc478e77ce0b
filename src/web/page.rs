//! The status page: one document with all that it needs inside, so that it works wherever the port can be reached.
//!
//! It holds no data: a script asks the JSON API for it, with the token if there is one. The policy lets that script and that
//! style run, by their hashes, and nothing else; whatever a name on the page might contain stays text.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("page/status.html");
const CSS: &str = include_str!("page/status.css");
const JS: &str = include_str!("page/status.js");

static PAGE: LazyLock<String> =
    LazyLock::new(|| HTML.replace("{{css}}", CSS).replace("{{js}}", JS));

/// CSP, level 3. `data:` for the icon.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let (script, style) = (hash(JS), hash(CSS));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub(super) async fn page() -> Response {
    let mut response = Html(PAGE.as_str()).into_response();
    // A policy of ASCII letters is a header's value.
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_page_is_from_elsewhere() {
        for foreign in ["http:", "https:", "//cdn", "@import", "url("] {
            // The name of SVG's vocabulary is no address that anybody asks.
            let page = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(!PAGE.contains("{{"), "all parts are in their places");
    }

    #[test]
    fn script_and_style_stand_in_the_page_as_they_were_hashed() {
        assert!(PAGE.contains(&format!("<style>{CSS}</style>")));
        assert!(PAGE.contains(&format!("<script>{JS}</script>")));
        assert!(HeaderValue::from_str(&POLICY).is_ok());
        assert!(!JS.contains("innerHTML") && !JS.contains("eval("), "what is shown stays text");
    }
}
