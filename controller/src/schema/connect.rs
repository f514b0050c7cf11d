//! Opens a connection, and keeps trying while a compute wakes or is being made.
//!
//! What time may mend is tried again; what it will not (a wrong password, a certificate nobody trusts) is said at once.

use std::io;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::error::{ConnectError, MigrateError, ServerError};
use super::limits::MigrationLimits;
use super::target::{DatabaseTarget, Unusable};

/// The first pause between attempts; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection to the target, ready for queries.
pub(super) async fn connect(
    target: &DatabaseTarget,
    limits: &MigrationLimits,
) -> Result<PgConnection, MigrateError> {
    let address = target.address();
    let options = target
        .connect_options()
        .map_err(|unusable| match unusable {
            Unusable::PlainAbroad => MigrateError::PlaintextRefused {
                address: address.clone(),
            },
            Unusable::Host => MigrateError::InvalidHost {
                address: address.clone(),
            },
        })?;
    let started = Instant::now();
    let mut pause = PAUSE_FIRST;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = limits.connect_total.saturating_sub(started.elapsed());
        let source = match attempt(&options, limits.connect_timeout.min(left)).await {
            Ok(connection) => return Ok(connection),
            Err(Failed::ForNow(source)) => source,
            Err(Failed::Untrusted(message)) => {
                return Err(MigrateError::Untrusted { address, message });
            }
            Err(Failed::Authentication(server)) => {
                return Err(MigrateError::Authentication {
                    role: target.role.clone(),
                    server,
                });
            }
            Err(Failed::DatabaseMissing(server)) => {
                return Err(MigrateError::DatabaseMissing { server });
            }
            Err(Failed::Refused(server)) => {
                let doing = "opening the database".to_owned();
                return Err(MigrateError::Server { doing, server });
            }
        };
        let waited = started.elapsed();
        let hopeless = matches!(&source, ConnectError::Server(server) if server.needs_a_person());
        if hopeless || waited + pause >= limits.connect_total {
            return Err(MigrateError::Unreachable {
                address,
                attempts,
                waited,
                source: Box::new(source),
            });
        }
        debug!(server.address = %address, error = %source, "Database does not answer yet, trying again");
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

async fn attempt(options: &PgConnectOptions, limit: Duration) -> Result<PgConnection, Failed> {
    match timeout(limit, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(classify(error)),
        Err(_) => Err(Failed::ForNow(ConnectError::TimedOut(limit))),
    }
}

fn classify(error: sqlx::Error) -> Failed {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => classify_answer(ServerError::new(error)),
            None => Failed::ForNow(ConnectError::Protocol(error.to_string())),
        },
        sqlx::Error::Io(error) => match certificate_error(&error) {
            Some(message) => Failed::Untrusted(message),
            None => Failed::ForNow(ConnectError::Io(error)),
        },
        sqlx::Error::Tls(error) => Failed::Untrusted(error.to_string()),
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

/// What is wrong with the server's certificate, if that is what failed. Other failures of TLS may be the network's.
fn certificate_error(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        error @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Some(error.to_string())
        }
        _ => None,
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
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let cut = rustls::Error::DecryptError;
        for (error, expected) in [
            (
                io::Error::new(io::ErrorKind::InvalidData, untrusted),
                "untrusted",
            ),
            (io::Error::new(io::ErrorKind::InvalidData, cut), "for now"),
            (io::ErrorKind::ConnectionRefused.into(), "for now"),
        ] {
            assert_eq!(kind(&classify(sqlx::Error::Io(error))), expected);
        }
    }
}
