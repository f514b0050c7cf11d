//! The database to migrate: where it is, who we are there, and how its certificate is checked.

use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// The name that sessions of ours bear in `pg_stat_activity`.
const APPLICATION_NAME: &str = "tenant-controller";

/// One database on its direct host. A pooler in transaction mode has no session to hold the lock, so its host is no target.
#[derive(Clone)]
pub struct DatabaseTarget {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// The role that owns it.
    pub role: String,
    /// The role's password.
    pub password: SecretString,
    /// Startup options as libpq has them, such as `endpoint=ep-cool-darkness-123456`.
    pub options: Option<String>,
    /// How the connection is encrypted.
    pub tls: Tls,
}

/// How a connection to a database is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS; the certificate has to be trusted and name the host.
    VerifyFull {
        /// The authorities to trust, as PEM, and no others. Without them, the platform's roots.
        ca_pem: Option<String>,
    },
    /// No TLS. Refused for every host but a loopback address (not a name: names may resolve to anything).
    PlainOnLoopback,
}

/// Why there is no connecting to a target as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// No TLS to somewhere else than this machine.
    PlainAbroad,
    /// The host is empty or a path.
    Host,
}

impl DatabaseTarget {
    /// Host and port, for people.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The options that sqlx connects with, but for TLS. They hold the password: never print them.
    pub(super) fn connect_options(&self) -> Result<PgConnectOptions, Unusable> {
        if self.host.is_empty() || self.host.starts_with('/') {
            return Err(Unusable::Host);
        }
        let plain = self.tls == Tls::PlainOnLoopback;
        if plain
            && !self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        {
            return Err(Unusable::PlainAbroad);
        }
        let options = self.with_startup_options().ok_or(Unusable::Host)?;
        Ok(options
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.role)
            .password(self.password.expose_secret())
            .application_name(APPLICATION_NAME)
            // TLS is not sqlx's business here: see the tunnel.
            .ssl_mode(PgSslMode::Disable)
            // We say ourselves what runs; sqlx would write whole statements into the log.
            .disable_statement_logging())
    }

    /// sqlx's builder only knows options of the form `-c name=value`; as they are, they can be given in a URL.
    fn with_startup_options(&self) -> Option<PgConnectOptions> {
        // The password is a placeholder that keeps sqlx from looking for a password file.
        let mut url = Url::parse("postgres://role:placeholder@host/database").ok()?;
        if let Some(options) = &self.options {
            url.query_pairs_mut().append_pair("options", options);
        }
        PgConnectOptions::from_url(&url).ok()
    }
}

impl fmt::Debug for DatabaseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Certificates are long and the password is nobody's business.
        f.debug_struct("DatabaseTarget")
            .field("address", &self.address())
            .field("database", &self.database)
            .field("role", &self.role)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, tls: Tls) -> DatabaseTarget {
        DatabaseTarget {
            host: host.to_owned(),
            port: 5432,
            database: "neondb".to_owned(),
            role: "neondb_owner".to_owned(),
            password: "quiet-pass word".to_owned().into(),
            options: Some("endpoint=ep-cool-darkness-123456".to_owned()),
            tls,
        }
    }

    #[test]
    fn without_tls_only_loopback_addresses_are_connected_to() {
        for host in ["127.0.0.1", "127.8.8.8", "::1"] {
            assert!(
                target(host, Tls::PlainOnLoopback).connect_options().is_ok(),
                "{host}"
            );
        }
        for host in [
            "localhost",
            "10.0.0.1",
            "0.0.0.0",
            "ep-a.eu.neon.tech",
            "127.0.0.1.evil.example",
        ] {
            let refused = target(host, Tls::PlainOnLoopback).connect_options().err();
            assert_eq!(refused, Some(Unusable::PlainAbroad), "{host}");
        }
        for host in ["", "/run/postgresql"] {
            let refused = target(host, Tls::PlainOnLoopback).connect_options().err();
            assert_eq!(refused, Some(Unusable::Host), "{host}");
        }
    }

    #[test]
    fn everything_reaches_the_connection_as_it_was_given() {
        let options = target("ep-a.eu.neon.tech", Tls::VerifyFull { ca_pem: None })
            .connect_options()
            .expect("usable");
        assert_eq!(options.get_host(), "ep-a.eu.neon.tech");
        assert_eq!(options.get_port(), 5432);
        assert_eq!(options.get_database(), Some("neondb"));
        assert_eq!(options.get_username(), "neondb_owner");
        assert_eq!(options.get_application_name(), Some("tenant-controller"));
        assert_eq!(
            options.get_options(),
            Some("endpoint=ep-cool-darkness-123456")
        );
    }

    #[test]
    fn a_target_does_not_print_its_password() {
        let printed = format!("{:?}", target("127.0.0.1", Tls::PlainOnLoopback));
        assert!(!printed.contains("quiet-pass"), "{printed}");
        assert!(printed.contains("neondb_owner"), "{printed}");
    }
}
