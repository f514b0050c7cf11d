//! The two cookies: one for sessions, and one for browsers without a session.
//!
//! Over TLS, the `__Host-` prefix prevents other hosts and plain HTTP connections from setting
//! them. Plain HTTP is allowed for loopback only (see [`PublicUrl`]). There the cookies have
//! neither the prefix nor `Secure`: Chromium 156 accepts `Secure` cookies from 127.0.0.1 and
//! localhost, but the standard leaves this to the browser, and users of a stricter browser could
//! not sign in.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use crate::config::PublicUrl;
use crate::identity::Token;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// The session of a signed-in user.
    Session,
    /// Binds forms and pending sign-ins to a browser without a session.
    Anonymous,
}

impl CookieKind {
    pub fn name(self, public_url: &PublicUrl) -> &'static str {
        match (self, public_url.is_https()) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "session",
            (Self::Anonymous, true) => "__Host-anonymous",
            (Self::Anonymous, false) => "anonymous",
        }
    }
}

/// The token in the cookie, if it is well-formed.
pub fn read(headers: &HeaderMap, kind: CookieKind, public_url: &PublicUrl) -> Option<Token> {
    CookieJar::from_headers(headers)
        .get(kind.name(public_url))?
        .value()
        .parse()
        .ok()
}

/// A `Set-Cookie` header for the lifetime of the browser. The server enforces the lifetime of
/// sessions.
pub fn set(kind: CookieKind, token: &Token, public_url: &PublicUrl) -> (HeaderName, HeaderValue) {
    set_cookie_header(&build(kind, public_url, token.reveal()))
}

/// A `Set-Cookie` header that removes the cookie.
pub fn clear(kind: CookieKind, public_url: &PublicUrl) -> (HeaderName, HeaderValue) {
    let mut cookie = build(kind, public_url, String::new());
    cookie.make_removal();
    set_cookie_header(&cookie)
}

fn build(kind: CookieKind, public_url: &PublicUrl, value: String) -> Cookie<'static> {
    Cookie::build((kind.name(public_url), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(public_url.is_https())
        .build()
}

fn set_cookie_header(cookie: &Cookie<'_>) -> (HeaderName, HeaderValue) {
    // Names, attributes and tokens are always ASCII. An empty header is the fallback.
    let value =
        HeaderValue::try_from(cookie.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""));
    (header::SET_COOKIE, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PublicUrl {
        text.parse().expect("public URL")
    }

    #[test]
    fn cookies_over_tls_are_host_bound_secure_and_http_only() {
        let token = Token::random();
        let (name, value) = set(
            CookieKind::Session,
            &token,
            &url("https://chat.example.com"),
        );
        assert_eq!(name, header::SET_COOKIE);
        assert_eq!(
            value.to_str().expect("ASCII"),
            format!(
                "__Host-session={}; HttpOnly; SameSite=Lax; Secure; Path=/",
                token.reveal()
            )
        );
    }

    #[test]
    fn read_returns_the_cookie_of_the_given_kind_only() {
        let (public_url, token_set) = (url("http://127.0.0.1:1"), Token::random());
        let mut headers = HeaderMap::new();
        let cookie = format!("a=b; anonymous={}", token_set.reveal());
        headers.insert(header::COOKIE, cookie.parse().expect("a header"));
        assert_eq!(
            read(&headers, CookieKind::Anonymous, &public_url),
            Some(token_set)
        );
        assert_eq!(read(&headers, CookieKind::Session, &public_url), None);
    }

    #[test]
    fn clear_sends_the_attributes_that_browsers_require() {
        let (_, value) = clear(CookieKind::Session, &url("https://chat.example.com"));
        let value = value.to_str().expect("ASCII");
        for part in [
            "__Host-session=;",
            "Max-Age=0",
            "Path=/",
            "Secure",
            "HttpOnly",
        ] {
            assert!(value.contains(part), "{value}");
        }
    }
}
