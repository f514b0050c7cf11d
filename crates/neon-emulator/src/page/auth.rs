//! Access control for the dashboard.
//!
//! A request with an API key is allowed; the key is a bearer token or the password of HTTP basic
//! authentication. A request without a key is allowed only if the API listens on a loopback
//! address, and only if its `Host` is a loopback name. Checking the name prevents DNS rebinding,
//! where another web page makes a name of its own resolve to this machine.

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

/// Only the page's own script and style may be loaded, and the page must not be framed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types parts";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// The prompt that the browser shows.
const CHALLENGE: &str = "Basic realm=\"neon-emulator: enter any user name, and an API key as the password\", charset=\"UTF-8\"";
const FOREIGN_HOST: &str =
    "Open this page as 127.0.0.1 or localhost, or authenticate with an API key.\n";
const KEY_REQUIRED: &str =
    "This page requires an API key, because the emulator does not listen on a loopback address.\n";

/// The decision about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Granted,
    KeyRequired,
    /// The browser is not prompted for a key, because it would send the key to the owner of the
    /// name.
    Denied,
}

impl Access {
    fn of(listens_on: IpAddr, host: Option<&str>, has_key: bool) -> Self {
        match (has_key, listens_on.is_loopback(), is_local_name(host)) {
            (true, _, _) | (false, true, true) => Self::Granted,
            (false, true, false) => Self::Denied,
            (false, false, _) => Self::KeyRequired,
        }
    }
}

/// Allows or rejects a request, and adds security headers to the response.
pub(super) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let has_key = is_allowed(&api, request.headers()) || has_key(&api, request.headers());
    let mut response = match Access::of(api.address.ip(), host(&request), has_key) {
        Access::Granted => next.run(request).await,
        Access::KeyRequired => {
            let challenge = [(WWW_AUTHENTICATE, CHALLENGE)];
            (StatusCode::UNAUTHORIZED, challenge, KEY_REQUIRED).into_response()
        }
        Access::Denied => (StatusCode::FORBIDDEN, FOREIGN_HOST).into_response(),
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

/// Whether a host is a loopback address or `localhost`, which other parties cannot point elsewhere.
fn is_local_name(host: Option<&str>) -> bool {
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

/// Whether the request has an API key as the password of basic authentication, with any user name.
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
    password().is_some_and(|password| api.keys.iter().any(|key| key.secret() == password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_and_localhost_are_local_names() {
        for local in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8080",
            "127.9.9.9",
        ] {
            assert!(is_local_name(Some(local)), "{local}");
        }
        for foreign in [
            "rebound.example.test:8080",
            "127.0.0.1.example.test",
            "localhost.example.test",
            "192.0.2.1",
            "0.0.0.0:8080",
            "[::]:1",
            "",
            "a b",
        ] {
            assert!(!is_local_name(Some(foreign)), "{foreign}");
        }
        assert!(!is_local_name(None));
    }

    #[test]
    fn without_a_key_access_requires_a_loopback_address_and_a_local_name() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let everywhere: IpAddr = "0.0.0.0".parse().unwrap();
        let (local, foreign) = (Some("localhost:8080"), Some("rebound.example.test:8080"));
        for (listens_on, host, has_key, access) in [
            (loopback, local, false, Access::Granted),
            (loopback, foreign, false, Access::Denied),
            (loopback, None, false, Access::Denied),
            (loopback, foreign, true, Access::Granted),
            (everywhere, local, false, Access::KeyRequired),
            (everywhere, foreign, false, Access::KeyRequired),
            (everywhere, foreign, true, Access::Granted),
        ] {
            assert_eq!(
                Access::of(listens_on, host, has_key),
                access,
                "{listens_on} {host:?} {has_key}"
            );
        }
    }
}
