//! The database to migrate: its address, the credentials, and how its certificate is verified.

use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// The name of the controller's sessions in `pg_stat_activity`.
const APPLICATION_NAME: &str = "tenant-controller";

/// A database on its direct host. The host of a pooler in transaction mode cannot be used, because
/// such a pooler keeps no session that could hold the migration lock.
#[derive(Clone)]
pub struct DatabaseTarget {
    pub host: String,
    pub port: u16,
    pub database: String,
    /// The role that owns the database.
    pub role: String,
    pub password: SecretString,
    /// Startup options in libpq's format, such as `endpoint=ep-cool-darkness-123456`.
    pub options: Option<String>,
    pub tls: Tls,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS. The certificate must be trusted and issued for the host.
    VerifyFull {
        /// The only certificate authorities to trust, as PEM. With `None`, those of the platform.
        ca_pem: Option<String>,
    },
    /// No TLS. Allowed only for loopback addresses, not for host names, which can resolve to any
    /// address.
    DisabledOnLoopback,
}

/// Why a target cannot be connected to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InvalidTarget {
    /// TLS is disabled for a host that is not a loopback address.
    PlaintextToRemoteHost,
    /// The host is empty or a path.
    InvalidHost,
}

impl DatabaseTarget {
    /// Host and port, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The options for sqlx, without TLS. They contain the password and must not be printed.
    pub(super) fn connect_options(&self) -> Result<PgConnectOptions, InvalidTarget> {
        if self.host.is_empty() || self.host.starts_with('/') {
            return Err(InvalidTarget::InvalidHost);
        }
        let is_plaintext = self.tls == Tls::DisabledOnLoopback;
        if is_plaintext
            && !self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        {
            return Err(InvalidTarget::PlaintextToRemoteHost);
        }
        let options = self
            .with_startup_options()
            .ok_or(InvalidTarget::InvalidHost)?;
        Ok(options
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.role)
            .password(self.password.expose_secret())
            .application_name(APPLICATION_NAME)
            // The tunnel handles TLS.
            .ssl_mode(PgSslMode::Disable)
            // sqlx would log whole statements.
            .disable_statement_logging())
    }

    /// Passes the startup options through a URL: sqlx's builder accepts only options of the form
    /// `-c name=value`.
    fn with_startup_options(&self) -> Option<PgConnectOptions> {
        // Without a placeholder password, sqlx would look for a password file.
        let mut url = Url::parse("postgres://role:placeholder@host/database").ok()?;
        if let Some(options) = &self.options {
            url.query_pairs_mut().append_pair("options", options);
        }
        PgConnectOptions::from_url(&url).ok()
    }
}

impl fmt::Debug for DatabaseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Certificates are long, and the password must not be printed.
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
    fn without_tls_only_loopback_addresses_are_allowed() {
        for host in ["127.0.0.1", "127.8.8.8", "::1"] {
            assert!(
                target(host, Tls::DisabledOnLoopback)
                    .connect_options()
                    .is_ok(),
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
            let error = target(host, Tls::DisabledOnLoopback)
                .connect_options()
                .err();
            assert_eq!(error, Some(InvalidTarget::PlaintextToRemoteHost), "{host}");
        }
        for host in ["", "/run/postgresql"] {
            let error = target(host, Tls::DisabledOnLoopback)
                .connect_options()
                .err();
            assert_eq!(error, Some(InvalidTarget::InvalidHost), "{host}");
        }
    }

    #[test]
    fn all_fields_of_the_target_reach_the_connection_options() {
        let options = target("ep-a.eu.neon.tech", Tls::VerifyFull { ca_pem: None })
            .connect_options()
            .expect("the target is valid");
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
    fn the_debug_output_of_a_target_does_not_contain_its_password() {
        let printed = format!("{:?}", target("127.0.0.1", Tls::DisabledOnLoopback));
        assert!(!printed.contains("quiet-pass"), "{printed}");
        assert!(printed.contains("neondb_owner"), "{printed}");
    }
}
