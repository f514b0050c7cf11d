//! The two cookies: the session's, and one for visitors who have not signed in.
//!
//! Over TLS they bear the `__Host-` prefix, so that no neighbouring site and no plain connection can set them. Plain http is
//! for loopback alone (see [`PublicUrl`]). There they are neither `Secure` nor prefixed: Chromium (156 was tried, with 127.0.0.1 and with
//! localhost) keeps such cookies from loopback all the same, but the standard leaves that to each browser, and one that does not
//! could not sign in.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use crate::config::PublicUrl;
use crate::identity::Token;

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// Who is signed in.
    Session,
    /// Ties the forms of a visitor, and a sign-in under way, to their browser.
    Anonymous,
}

impl CookieKind {
    /// Its name, as this public URL has it.
    pub fn name(self, public_url: &PublicUrl) -> &'static str {
        match (self, public_url.is_https()) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "session",
            (Self::Anonymous, true) => "__Host-visitor",
            (Self::Anonymous, false) => "visitor",
        }
    }
}

/// The token that the browser holds, if it is one.
pub fn read(headers: &HeaderMap, kind: CookieKind, public_url: &PublicUrl) -> Option<Token> {
    CookieJar::from_headers(headers)
        .get(kind.name(public_url))?
        .value()
        .parse()
        .ok()
}

/// The header that has the browser hold a token until it is closed; the server decides how long it is good.
pub fn set(kind: CookieKind, token: &Token, public_url: &PublicUrl) -> (HeaderName, HeaderValue) {
    header_of(&base(kind, public_url, token.reveal()))
}

/// The header that has the browser forget it.
pub fn clear(kind: CookieKind, public_url: &PublicUrl) -> (HeaderName, HeaderValue) {
    let mut cookie = base(kind, public_url, String::new());
    cookie.make_removal();
    header_of(&cookie)
}

fn base(kind: CookieKind, public_url: &PublicUrl, value: String) -> Cookie<'static> {
    Cookie::build((kind.name(public_url), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(public_url.is_https())
        .build()
}

fn header_of(cookie: &Cookie<'_>) -> (HeaderName, HeaderValue) {
    // Names, attributes and tokens are ASCII; were they not, no cookie is better than a broken one.
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
    fn over_tls_cookies_are_host_bound_secure_and_out_of_scripts_reach() {
        let token = Token::random();
        let (name, value) = set(CookieKind::Session, &token, &url("https://chat.example.com"));
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
    fn a_cookie_that_was_set_is_read_and_one_of_another_kind_is_not() {
        let (public_url, token_set) = (url("http://127.0.0.1:1"), Token::random());
        let mut headers = HeaderMap::new();
        let cookie = format!("a=b; visitor={}", token_set.reveal());
        headers.insert(header::COOKIE, cookie.parse().expect("a header"));
        assert_eq!(read(&headers, CookieKind::Anonymous, &public_url), Some(token_set));
        assert_eq!(read(&headers, CookieKind::Session, &public_url), None);
    }

    #[test]
    fn forgetting_bears_the_same_attributes_or_browsers_would_ignore_it() {
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
