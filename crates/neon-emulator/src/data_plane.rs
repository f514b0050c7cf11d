//! The data plane: one TLS port for all databases, speaking the PostgreSQL wire protocol.
//!
//! The proxy resolves the endpoint that a connection names, rewrites the startup message to the
//! physical database and role names, and relays the authentication to PostgreSQL, except when the
//! client uses channel binding. After that it relays all bytes unchanged, except for the errors of
//! [`unsupported_sql`]; connections to a `-pooler` host pass through [`pooler`]. Connections without
//! TLS are rejected. A connection to a compute that is idle or starting waits until the compute is
//! active.

pub(crate) mod admission;
mod authentication;
mod connection;
mod error_response;
mod message_filter;
mod pooler;
mod preparation;
mod rejection;
mod relay;
pub(crate) mod scram;
mod session_start;
mod size_limit;
mod sqlstates;
mod startup;
mod suspension;
mod target;
mod unsupported_sql;
mod waking;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::rejection::ProxyCache;
pub(crate) use self::sqlstates::ProxySqlstates;
use crate::clock::Clock;
use crate::config::{Latency, Limits};
use crate::faults::Faults;
use crate::provision::Provisioner;
use crate::sessions::Sessions;
use crate::store::Store;
use crate::tls::Certificates;

/// How long the listener pauses after an accept error, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The address of the PostgreSQL server.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Tcp(String, u16),
    Unix(std::path::PathBuf),
}

impl Backend {
    pub(crate) fn of(options: &PgConnectOptions) -> Self {
        let port = options.get_port();
        match options.get_socket() {
            Some(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            None if options.get_host().starts_with('/') => Self::Unix(
                std::path::Path::new(options.get_host()).join(format!(".s.PGSQL.{port}")),
            ),
            None => Self::Tcp(options.get_host().to_owned(), port),
        }
    }
}

/// The state that all connections share.
pub(crate) struct DataPlane {
    pub(crate) store: Store,
    pub(crate) provisioner: Provisioner,
    pub(crate) faults: Faults,
    pub(crate) sessions: Sessions,
    pub(crate) backend: Backend,
    pub(crate) tls: TlsAcceptor,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) passwords: scram::SaltedPasswords,
    pub(crate) limits: Limits,
    pub(crate) latency: Latency,
    pub(crate) clock: Clock,
    pub(crate) cache: ProxyCache,
    pub(crate) sqlstates: ProxySqlstates,
    pub(crate) connection_permits: Arc<Semaphore>,
    /// Held while the computes are checked.
    pub(crate) compute_checks: tokio::sync::Mutex<()>,
}

impl DataPlane {
    /// Serves connections until the token is cancelled, and then closes the open ones.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let plane = self.clone();
                    let stop = stop.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            ended = plane.connection(stream, peer.ip()) => {
                                if let Err(error) = ended {
                                    tracing::debug!(%error, "data plane connection failed");
                                }
                            }
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a data plane connection");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}
