//! Who may see the page.
//!
//! Whoever has the API key, as a bearer or as the password that a browser asks for. Without it, only where the API listens on loopback,
//! and only under a name of loopback: a web page elsewhere that makes a name of its own lead here is turned away by the name.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::api::{Api, is_allowed};

/// Nothing but the page's own two files, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types parts";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What the browser shows when it asks for the key.
const CHALLENGE: &str =
    "Basic realm=\"neon-emulator: any name, and an API key as the password\", charset=\"UTF-8\"";
const STRANGE_NAME: &str =
    "This page is only shown under a name of this machine, such as 127.0.0.1 or localhost.\n";
const NO_KEY: &str = "This page needs an API key of the emulator, because the emulator does not listen on loopback only.\n";

/// What becomes of somebody who wants to see the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    AsksForKey,
    /// Not even asked for a key: it would be given to whoever made up the name.
    TurnsAway,
}

impl Door {
    fn of(listens_on: IpAddr, host: Option<&str>, has_key: bool) -> Self {
        match (has_key, listens_on.is_loopback(), is_own_name(host)) {
            (true, _, _) | (false, true, true) => Self::Open,
            (false, true, false) => Self::TurnsAway,
            (false, false, _) => Self::AsksForKey,
        }
    }
}

/// Lets a request in or refuses it, and says with every answer what a browser may do with it.
pub(super) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let has_key = is_allowed(&api, request.headers()) || has_key(&api, request.headers());
    let mut response = match Door::of(api.address.ip(), host(&request), has_key) {
        Door::Open => next.run(request).await,
        Door::AsksForKey => {
            let challenge = [(WWW_AUTHENTICATE, CHALLENGE)];
            (StatusCode::UNAUTHORIZED, challenge, NO_KEY).into_response()
        }
        Door::TurnsAway => (StatusCode::FORBIDDEN, STRANGE_NAME).into_response(),
    };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn host(request: &Request) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok(),
    }
}

/// Whether a host is this machine under a name that nobody else can give it.
fn is_own_name(host: Option<&str>) -> bool {
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A key as a browser sends it: the password of a sign-in, under any name.
fn has_key(api: &Api, headers: &HeaderMap) -> bool {
    let password = || {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, code) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(code.trim()).ok()?).ok()?;
        text.split_once(':')
            .map(|(_, password)| password.to_owned())
    };
    password().is_some_and(|password| api.keys.contains(&password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_give_are_names_of_this_machine() {
        for own in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8080",
            "127.9.9.9",
        ] {
            assert!(is_own_name(Some(own)), "{own}");
        }
        for strange in [
            "rebound.example.test:8080",
            "127.0.0.1.example.test",
            "localhost.example.test",
            "192.0.2.1",
            "0.0.0.0:8080",
            "[::]:1",
            "",
            "a b",
        ] {
            assert!(!is_own_name(Some(strange)), "{strange}");
        }
        assert!(!is_own_name(None));
    }

    #[test]
    fn without_a_key_the_page_is_shown_on_loopback_only_and_under_its_own_name_only() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let everywhere: IpAddr = "0.0.0.0".parse().unwrap();
        let (own, strange) = (Some("localhost:8080"), Some("rebound.example.test:8080"));
        for (listens_on, host, has_key, door) in [
            (loopback, own, false, Door::Open),
            (loopback, strange, false, Door::TurnsAway),
            (loopback, None, false, Door::TurnsAway),
            (loopback, strange, true, Door::Open),
            (everywhere, own, false, Door::AsksForKey),
            (everywhere, strange, false, Door::AsksForKey),
            (everywhere, strange, true, Door::Open),
        ] {
            assert_eq!(
                Door::of(listens_on, host, has_key),
                door,
                "{listens_on} {host:?} {has_key}"
            );
        }
    }
}
