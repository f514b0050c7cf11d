//! Opens a connection, with retries while the compute starts or is being created.
//!
//! Transient errors are retried. Permanent errors, such as a wrong password or an untrusted
//! certificate, are returned immediately.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::error::{DatabaseConnectError, MigrationError};
use super::limits::MigrationLimits;
use super::response_filter::WireState;
use super::server_error::{Origin, ServerError};
use super::target::{DatabaseTarget, InvalidTarget, Tls};
use super::tunnel::{self, TunnelError};

/// The pause doubles after each attempt.
const INITIAL_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A connection, and what its messages show.
pub(super) struct Connected {
    pub(super) connection: PgConnection,
    pub(super) wire: Arc<WireState>,
}

pub(super) async fn connect(
    target: &DatabaseTarget,
    limits: &MigrationLimits,
) -> Result<Connected, MigrationError> {
    let address = target.address();
    let options = target.connect_options().map_err(|error| match error {
        InvalidTarget::PlaintextToRemoteHost => MigrationError::PlaintextRefused {
            address: address.clone(),
        },
        InvalidTarget::InvalidHost => MigrationError::InvalidHost {
            address: address.clone(),
        },
    })?;
    let tls_config = match &target.tls {
        Tls::DisabledOnLoopback => None,
        Tls::VerifyFull { ca_pem } => match tunnel::client_config(ca_pem.as_deref()) {
            Ok(config) => Some(config),
            Err(message) => return Err(MigrationError::Untrusted { address, message }),
        },
    };
    let started = Instant::now();
    let mut pause = INITIAL_PAUSE;
    let mut attempts = 0;
    let mut last_error = None;
    loop {
        attempts += 1;
        let remaining = limits
            .connect_total_timeout
            .saturating_sub(started.elapsed());
        let limit = limits.connect_timeout.min(remaining);
        let error = match timeout(limit, attempt(&options, tls_config.clone())).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => error,
            Err(_) => AttemptError::Transient(DatabaseConnectError::TimedOut(limit)),
        };
        let source = match error {
            AttemptError::Transient(source) => source,
            AttemptError::Untrusted(message) => {
                return Err(MigrationError::Untrusted { address, message });
            }
            AttemptError::Authentication(server) => {
                return Err(MigrationError::Authentication {
                    role: target.role.clone(),
                    server,
                });
            }
            AttemptError::DatabaseMissing(server) => {
                return Err(MigrationError::DatabaseMissing { server });
            }
            AttemptError::Rejected(server) => {
                let operation = "connecting to the database".to_owned();
                return Err(MigrationError::Server { operation, server });
            }
        };
        let waited = started.elapsed();
        let is_permanent =
            matches!(&source, DatabaseConnectError::Server(server) if server.is_permanent());
        if is_permanent || waited + pause >= limits.connect_total_timeout {
            // The error of a shortened last attempt says less than the one before it.
            let is_shortened = matches!(source, DatabaseConnectError::TimedOut(_))
                && limit < limits.connect_timeout;
            let source = last_error.filter(|_| is_shortened).unwrap_or(source);
            return Err(MigrationError::Unreachable {
                address,
                attempts,
                waited,
                source: Box::new(source),
            });
        }
        debug!(server.address = %address, error = %source, "failed to connect to the database; retrying");
        last_error = Some(source);
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// The error of one attempt; all variants but `Transient` are permanent.
enum AttemptError {
    Transient(DatabaseConnectError),
    Untrusted(String),
    Authentication(ServerError),
    DatabaseMissing(ServerError),
    Rejected(ServerError),
}

/// Connects once.
async fn attempt(
    options: &PgConnectOptions,
    tls_config: Option<Arc<ClientConfig>>,
) -> Result<Connected, AttemptError> {
    let tunnel = tunnel::open(options.get_host(), options.get_port(), tls_config).await;
    let tunnel = tunnel.map_err(|error| match error {
        TunnelError::Io(error) => AttemptError::Transient(DatabaseConnectError::Io(error)),
        TunnelError::Untrusted(message) => AttemptError::Untrusted(message),
    })?;
    let options = options
        .clone()
        .host(&tunnel.address.ip().to_string())
        .port(tunnel.address.port());
    match options.connect().await {
        Ok(connection) => Ok(Connected {
            connection,
            wire: tunnel.state,
        }),
        Err(error) => Err(match tunnel.state.violation() {
            Some(violation) => AttemptError::Transient(DatabaseConnectError::protocol(&violation)),
            None => classify(error),
        }),
    }
}

fn classify(error: sqlx::Error) -> AttemptError {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => classify_server_error(ServerError::new(error, Origin::Connecting)),
            None => AttemptError::Transient(DatabaseConnectError::protocol(&error)),
        },
        sqlx::Error::Io(error) => AttemptError::Transient(DatabaseConnectError::Io(error)),
        // The message of this error may contain a character of the password.
        sqlx::Error::Configuration(_) => AttemptError::Untrusted(
            "the role name or the password contains a character that Postgres does not allow"
                .to_owned(),
        ),
        other => AttemptError::Transient(DatabaseConnectError::protocol(&other)),
    }
}

fn classify_server_error(server: ServerError) -> AttemptError {
    if server.refuses_password() {
        AttemptError::Authentication(server)
    } else if server.neon_condition().is_some() {
        AttemptError::Transient(DatabaseConnectError::Server(server))
    } else if server.has_code(&["28"]) {
        AttemptError::Authentication(server)
    } else if server.has_code(&["3D000"]) {
        AttemptError::DatabaseMissing(server)
    } else if server.is_connection_error() || server.has_code(&["53", "57", "58", "XX"]) {
        AttemptError::Transient(DatabaseConnectError::Server(server))
    } else {
        AttemptError::Rejected(server)
    }
}

#[cfg(test)]
mod tests {
    use neon_client::{NeonCondition, PUBLISHED_MESSAGES};

    use super::*;

    fn kind(error: &AttemptError) -> &'static str {
        match error {
            AttemptError::Transient(_) => "transient",
            AttemptError::Untrusted(_) => "untrusted",
            AttemptError::Authentication(_) => "authentication",
            AttemptError::DatabaseMissing(_) => "database missing",
            AttemptError::Rejected(_) => "rejected",
        }
    }

    #[test]
    fn only_transient_errors_are_retried() {
        for (code, expected) in [
            ("57P03", "transient"),
            ("53300", "transient"),
            ("08006", "transient"),
            ("XX000", "transient"),
            ("28P01", "authentication"),
            ("28000", "authentication"),
            ("3D000", "database missing"),
            ("42501", "rejected"),
        ] {
            let server = ServerError {
                code: code.to_owned(),
                message: None,
                hint: None,
            };
            assert_eq!(kind(&classify_server_error(server)), expected, "{code}");
        }
        for (message, condition) in PUBLISHED_MESSAGES {
            let expected = match condition {
                NeonCondition::PasswordRefused => "authentication",
                _ => "transient",
            };
            for code in [
                "XX000", "28000", "28P01", "08006", "08P01", "53100", "57P03", "42501",
            ] {
                let server = ServerError {
                    code: code.to_owned(),
                    message: Some((*message).to_owned()),
                    hint: None,
                };
                assert_eq!(
                    kind(&classify_server_error(server)),
                    expected,
                    "{code} {message}"
                );
            }
        }
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert_eq!(kind(&classify(sqlx::Error::Io(refused))), "transient");
    }
}
