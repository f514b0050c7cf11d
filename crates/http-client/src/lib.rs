//! The settings that all HTTP clients of this workspace share.
//!
//! Requests carry API keys and client secrets, so redirects are not followed: another server must
//! not receive them. This client never retries, because only the caller knows which requests are
//! safe to repeat. Plain HTTP to the loopback interface never goes through a proxy.

use std::time::Duration;

use reqwest::{ClientBuilder, redirect};
use url::{Host, Url};

/// Limit on opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A builder for clients that send requests to any host. Makes ring the TLS provider of the process
/// if it has none.
pub fn builder() -> ClientBuilder {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread has just installed a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    ClientBuilder::new()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
}

/// A builder for clients that send requests to this base URL only.
pub fn builder_for(base_url: &Url) -> ClientBuilder {
    let mut builder = builder();
    if base_url.scheme() == "http" {
        // Plain HTTP needs no root certificates.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base_url) {
        builder = builder.no_proxy();
    }
    builder
}

/// Whether requests to this URL stay on this machine. Of all names, only `localhost` is certain to
/// resolve to the loopback interface.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_the_name_of_the_loopback_interface_are_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:8000", true),
            ("http://127.8.9.10", true),
            ("http://[::1]/", true),
            ("https://LOCALHOST", true),
            ("http://localhost.example.com", false),
            ("http://neon.localhost", false),
            ("http://10.0.0.1", false),
            ("http://0.0.0.0", false),
            ("http://[::ffff:10.0.0.1]", false),
            ("data:text", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
