//! Turns a tenant's connection Secret into sqlx connection options.

use std::fmt;

use crds::keys;
use sha2::{Digest as _, Sha256};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::tenants::cluster::ReadSecret;

/// Identifies the app's sessions in `pg_stat_activity`.
const APPLICATION_NAME: &str = "chat-app";
/// Prepared statements kept per connection. sqlx names every prepared statement, and the pooler
/// tracks named statements in transaction mode. With a capacity of 0, sqlx would create a new name
/// per query and never close it.
const MAX_PREPARED_STATEMENTS: usize = 64;

/// sqlx does not support channel binding and would log a warning for every pool. The app verifies the
/// server's certificate instead.
const UNSUPPORTED_PARAMETER: &str = "channel_binding";

/// Why a Secret cannot be used. The messages never contain the Secret's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidConnectionSecret {
    #[error("the Secret has no key {key}", key = keys::POOLED_URI)]
    MissingUri,
    #[error("the Secret's {key} is not a complete PostgreSQL connection string", key = keys::POOLED_URI)]
    InvalidUri,
}

/// Address and credentials of a tenant database. `Debug` omits the password.
#[derive(Clone)]
pub(super) struct ConnectionTarget {
    options: PgConnectOptions,
    /// Hash of the connection string and CA, to compare Secrets without storing their values.
    pub(super) fingerprint: [u8; 32],
}

impl ConnectionTarget {
    pub(super) fn read(secret: &ReadSecret) -> Result<Self, InvalidConnectionSecret> {
        let uri = secret
            .text(keys::POOLED_URI)
            .ok_or(InvalidConnectionSecret::MissingUri)?;
        Self::new(uri, secret.text(keys::CA_CRT))
    }

    fn new(pooled_uri: &str, ca_pem: Option<&str>) -> Result<Self, InvalidConnectionSecret> {
        let mut url = Url::parse(pooled_uri).map_err(|_| InvalidConnectionSecret::InvalidUri)?;
        remove_parameter(&mut url, UNSUPPORTED_PARAMETER);
        let has_all = matches!(url.scheme(), "postgres" | "postgresql")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && !url.username().is_empty()
            && url.password().is_some();
        if !has_all {
            return Err(InvalidConnectionSecret::InvalidUri);
        }
        let mut options = PgConnectOptions::from_url(&url)
            .map_err(|_| InvalidConnectionSecret::InvalidUri)?
            .application_name(APPLICATION_NAME)
            .statement_cache_capacity(MAX_PREPARED_STATEMENTS)
            // Always verify the server's identity, even if the URI asks for less.
            .ssl_mode(PgSslMode::VerifyFull)
            // The pooler rejects session settings in transaction mode.
            .extra_float_digits(None)
            // sqlx would log whole statements, including users' questions.
            .disable_statement_logging();
        if let Some(pem) = ca_pem {
            options = options.ssl_root_cert_from_pem(pem.as_bytes().to_vec());
        }
        let mut hasher = Sha256::new();
        hasher.update(pooled_uri.as_bytes());
        hasher.update([0]);
        hasher.update(ca_pem.unwrap_or_default().as_bytes());
        Ok(Self {
            options,
            fingerprint: hasher.finalize().into(),
        })
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

fn remove_parameter(url: &mut Url, name: &str) {
    let query = url.query().unwrap_or_default();
    // Without decoding the others: in a connection string, `+` is not a space.
    let is_other = |pair: &&str| pair.split('=').next() != Some(name);
    let others: Vec<&str> = query.split('&').filter(is_other).collect();
    let query = others.join("&");
    url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
}

impl fmt::Debug for ConnectionTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConnectionTarget")
            .field("host", &self.options.get_host())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "postgresql://neondb_owner:quiet%2Fpass@ep-a-pooler.eu.neon.tech:5432/neondb?sslmode=require&channel_binding=require&options=endpoint%3Dep-a-pooler";

    #[test]
    fn the_servers_certificate_is_always_verified() {
        let target = ConnectionTarget::new(URI, None).expect("a target");
        let options = target.options();
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        assert_eq!(options.get_host(), "ep-a-pooler.eu.neon.tech");
        assert_eq!(options.get_options(), Some("endpoint=ep-a-pooler"));
        assert_eq!(options.get_application_name(), Some("chat-app"));
    }

    #[test]
    fn only_the_given_parameter_is_removed() {
        for (query, expected) in [
            ("?channel_binding=require", ""),
            ("?a=1&channel_binding=require&b=x%20+y", "?a=1&b=x%20+y"),
            ("?my_channel_binding=1", "?my_channel_binding=1"),
            ("", ""),
        ] {
            let mut url = Url::parse(&format!("postgresql://r:p@h/d{query}")).expect("a URL");
            remove_parameter(&mut url, UNSUPPORTED_PARAMETER);
            assert_eq!(url.as_str(), format!("postgresql://r:p@h/d{expected}"));
        }
    }

    #[test]
    fn a_new_password_or_ca_changes_the_fingerprint() {
        let first = ConnectionTarget::new(URI, None)
            .expect("a target")
            .fingerprint;
        let password = URI.replace("quiet", "loud");
        for (uri, ca) in [(password.as_str(), None), (URI, Some("PEM"))] {
            let other = ConnectionTarget::new(uri, ca)
                .expect("a target")
                .fingerprint;
            assert_ne!(first, other);
        }
        assert_eq!(
            first,
            ConnectionTarget::new(URI, None)
                .expect("a target")
                .fingerprint
        );
    }

    #[test]
    fn incomplete_connection_strings_are_rejected_without_quoting_them() {
        for uri in [
            "",
            "http://role:pass@host/db",
            "postgresql://host/db",
            "postgresql://role@host/db",
            "postgresql://role:pass@/db",
        ] {
            let error = ConnectionTarget::new(uri, None).expect_err(uri);
            assert!(!error.to_string().contains("pass@"), "{error}");
        }
    }

    #[test]
    fn debug_output_omits_the_password() {
        let target = ConnectionTarget::new(URI, None).expect("a target");
        assert!(!format!("{target:?}").contains("quiet"), "{target:?}");
    }
}
