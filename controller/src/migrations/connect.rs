//! Opens a connection, and keeps trying while a compute wakes or is being made.
//!
//! What time may mend is tried again; what it will not (a wrong password, a certificate nobody trusts) is said at once.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::error::{ConnectError, MigrationError};
use super::limits::MigrationLimits;
use super::server_error::ServerError;
use super::target::{DatabaseTarget, Tls, Unusable};
use super::tunnel::{self, TunnelError};

/// The first pause between attempts; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection to the target, ready for queries.
pub(super) async fn connect(
    target: &DatabaseTarget,
    limits: &MigrationLimits,
) -> Result<PgConnection, MigrationError> {
    let address = target.address();
    let options = target
        .connect_options()
        .map_err(|unusable| match unusable {
            Unusable::PlainAbroad => MigrationError::PlaintextRefused {
                address: address.clone(),
            },
            Unusable::Host => MigrationError::InvalidHost {
                address: address.clone(),
            },
        })?;
    let trust = match &target.tls {
        Tls::PlainOnLoopback => None,
        Tls::VerifyFull { ca_pem } => match tunnel::trust(ca_pem.as_deref()) {
            Ok(trust) => Some(trust),
            Err(message) => return Err(MigrationError::Untrusted { address, message }),
        },
    };
    let started = Instant::now();
    let mut pause = PAUSE_FIRST;
    let mut attempts = 0;
    let mut said = None;
    loop {
        attempts += 1;
        let left = limits.connect_total_timeout.saturating_sub(started.elapsed());
        let limit = limits.connect_timeout.min(left);
        let failed = match timeout(limit, attempt(&options, trust.clone())).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(failed)) => failed,
            Err(_) => Failed::ForNow(ConnectError::TimedOut(limit)),
        };
        let source = match failed {
            Failed::ForNow(source) => source,
            Failed::Untrusted(message) => {
                return Err(MigrationError::Untrusted { address, message });
            }
            Failed::Authentication(server) => {
                return Err(MigrationError::Authentication {
                    role: target.role.clone(),
                    server,
                });
            }
            Failed::DatabaseMissing(server) => {
                return Err(MigrationError::DatabaseMissing { server });
            }
            Failed::Refused(server) => {
                let doing = "opening the database".to_owned();
                return Err(MigrationError::Server { doing, server });
            }
        };
        let waited = started.elapsed();
        let hopeless = matches!(&source, ConnectError::Server(server) if server.needs_a_person());
        if hopeless || waited + pause >= limits.connect_total_timeout {
            // An attempt that was cut short for want of time tells less than the one before it.
            let cut_short =
                matches!(source, ConnectError::TimedOut(_)) && limit < limits.connect_timeout;
            let source = said.filter(|_| cut_short).unwrap_or(source);
            return Err(MigrationError::Unreachable {
                address,
                attempts,
                waited,
                source: Box::new(source),
            });
        }
        debug!(server.address = %address, error = %source, "Database does not answer yet, trying again");
        said = Some(source);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// How one attempt failed.
enum Failed {
    /// Time may mend it.
    ForNow(ConnectError),
    Untrusted(String),
    Authentication(ServerError),
    DatabaseMissing(ServerError),
    Refused(ServerError),
}

/// Connects once: through a tunnel if there is somebody to trust, and plainly otherwise.
async fn attempt(
    options: &PgConnectOptions,
    trust: Option<Arc<ClientConfig>>,
) -> Result<PgConnection, Failed> {
    let Some(trust) = trust else {
        return options.connect().await.map_err(classify);
    };
    let entrance = tunnel::open(options.get_host(), options.get_port(), trust).await;
    let entrance = entrance.map_err(|error| match error {
        TunnelError::Io(error) => Failed::ForNow(ConnectError::Io(error)),
        TunnelError::Untrusted(message) => Failed::Untrusted(message),
    })?;
    let options = options.clone().host(&entrance.ip().to_string());
    options
        .port(entrance.port())
        .connect()
        .await
        .map_err(classify)
}

fn classify(error: sqlx::Error) -> Failed {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => classify_answer(ServerError::new(error)),
            None => Failed::ForNow(ConnectError::Protocol(error.to_string())),
        },
        sqlx::Error::Io(error) => Failed::ForNow(ConnectError::Io(error)),
        // Its text may show a character of a password that cannot be sent.
        sqlx::Error::Configuration(_) => {
            Failed::Untrusted("role or password have characters that cannot be sent".to_owned())
        }
        other => Failed::ForNow(ConnectError::Protocol(other.to_string())),
    }
}

fn classify_answer(server: ServerError) -> Failed {
    if server.is_any(&["28"]) {
        Failed::Authentication(server)
    } else if server.is_any(&["3D000"]) {
        Failed::DatabaseMissing(server)
    } else if server.ends_the_session() || server.is_any(&["53", "57", "58", "XX"]) {
        // A proxy has no better code than XX000 for an endpoint that it does not know yet.
        Failed::ForNow(ConnectError::Server(server))
    } else {
        Failed::Refused(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(failed: &Failed) -> &'static str {
        match failed {
            Failed::ForNow(_) => "for now",
            Failed::Untrusted(_) => "untrusted",
            Failed::Authentication(_) => "authentication",
            Failed::DatabaseMissing(_) => "database missing",
            Failed::Refused(_) => "refused",
        }
    }

    #[test]
    fn only_what_time_may_mend_is_tried_again() {
        for (code, expected) in [
            ("57P03", "for now"),
            ("53300", "for now"),
            ("08006", "for now"),
            ("XX000", "for now"),
            ("28P01", "authentication"),
            ("28000", "authentication"),
            ("3D000", "database missing"),
            ("42501", "refused"),
        ] {
            let server = ServerError {
                code: code.to_owned(),
                message: "words".to_owned(),
                detail: None,
                hint: None,
            };
            assert_eq!(kind(&classify_answer(server)), expected, "{code}");
        }
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert_eq!(kind(&classify(sqlx::Error::Io(refused))), "for now");
    }
}
