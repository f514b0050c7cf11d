//! A tenant's database as its Secret names it, turned into options that sqlx connects with.

use std::fmt;

use crds::keys;
use sha2::{Digest as _, Sha256};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::tenants::cluster::ReadSecret;

/// The name that sessions of ours bear in `pg_stat_activity`.
const APPLICATION_NAME: &str = "chat-app";
/// Statements that a connection keeps prepared. The pooler, in transaction mode, follows statements that have names, and names are what
/// sqlx gives all of them; with a capacity of 0 it would name one anew for every query and close none.
const STATEMENTS_PREPARED_MAX: usize = 64;

/// Why a Secret leads nowhere. It never says what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSecret {
    #[error("the Secret has no {key}", key = keys::POOLED_URI)]
    NoUri,
    #[error("the Secret's {key} is no connection string", key = keys::POOLED_URI)]
    Unreadable,
}

/// Where a tenant's database is and how to get in. It holds a password: `Debug` leaves it out.
#[derive(Clone)]
pub(super) struct Target {
    options: PgConnectOptions,
    /// Tells whether two Secrets say the same, without keeping what they say.
    pub(super) fingerprint: [u8; 32],
}

impl Target {
    pub(super) fn read(secret: &ReadSecret) -> Result<Self, BadSecret> {
        let uri = secret.text(keys::POOLED_URI).ok_or(BadSecret::NoUri)?;
        Self::new(uri, secret.text(keys::CA_CRT))
    }

    fn new(pooled_uri: &str, ca_pem: Option<&str>) -> Result<Self, BadSecret> {
        let url = Url::parse(pooled_uri).map_err(|_| BadSecret::Unreadable)?;
        let has_all = matches!(url.scheme(), "postgres" | "postgresql")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && !url.username().is_empty()
            && url.password().is_some();
        if !has_all {
            return Err(BadSecret::Unreadable);
        }
        let mut options = PgConnectOptions::from_url(&url)
            .map_err(|_| BadSecret::Unreadable)?
            .application_name(APPLICATION_NAME)
            .statement_cache_capacity(STATEMENTS_PREPARED_MAX)
            // Whatever the URI asks for at least, the server has to be the one that it names.
            .ssl_mode(PgSslMode::VerifyFull)
            // A pooler in transaction mode takes no settings of a session.
            .extra_float_digits(None)
            // sqlx would write whole statements, and with them what people ask, into the log.
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

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("host", &self.options.get_host())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "postgresql://neondb_owner:quiet%2Fpass@ep-a-pooler.eu.neon.tech:5432/neondb?sslmode=require&options=endpoint%3Dep-a-pooler";

    #[test]
    fn the_server_has_to_be_who_it_says() {
        let target = Target::new(URI, None).expect("a target");
        let options = target.options();
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        assert_eq!(options.get_host(), "ep-a-pooler.eu.neon.tech");
        assert_eq!(options.get_options(), Some("endpoint=ep-a-pooler"));
        assert_eq!(options.get_application_name(), Some("chat-app"));
    }

    #[test]
    fn a_new_password_or_authority_makes_another_target() {
        let first = Target::new(URI, None).expect("a target").fingerprint;
        let password = URI.replace("quiet", "loud");
        for (uri, ca) in [(password.as_str(), None), (URI, Some("PEM"))] {
            let other = Target::new(uri, ca).expect("a target").fingerprint;
            assert_ne!(first, other);
        }
        assert_eq!(first, Target::new(URI, None).expect("a target").fingerprint);
    }

    #[test]
    fn what_is_no_complete_connection_string_is_refused_without_repeating_it() {
        for uri in [
            "",
            "http://role:pass@host/db",
            "postgresql://host/db",
            "postgresql://role@host/db",
            "postgresql://role:pass@/db",
        ] {
            let error = Target::new(uri, None).expect_err(uri);
            assert!(!error.to_string().contains("pass@"), "{error}");
        }
    }

    #[test]
    fn a_target_does_not_print_its_password() {
        let target = Target::new(URI, None).expect("a target");
        assert!(!format!("{target:?}").contains("quiet"), "{target:?}");
    }
}
