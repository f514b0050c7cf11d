//! The data plane: one TLS port for all databases.
//!
//! A connection is led by the endpoint it names to its project's own database and role: the startup message is rewritten,
//! the sign-in passes through unless it is bound to the TLS connection, and what follows is passed on as it comes, or for a `-pooler`
//! host with a look at its statements (`pooler`). Plain text is refused. A connection to a compute that is starting waits for it.

pub(crate) mod admission;
mod connection;
mod hello;
mod pooler;
mod prepare;
mod refusal;
mod relay;
pub(crate) mod scram;
mod sessions;
mod sign_in;
mod suspension;
mod target;
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

pub(crate) use self::sessions::Sessions;
use crate::clock::Clock;
use crate::config::{Latency, Limits};
use crate::faults::Faults;
use crate::provision::Provisioner;
use crate::store::Store;
use crate::tls::Certificates;

/// How long the listener rests after the system refused it a connection, such as for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where PostgreSQL is.
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

/// What connections need.
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
    pub(crate) places: Arc<Semaphore>,
}

impl DataPlane {
    /// Serves connections until the token is cancelled; then open ones are cut.
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
                                    tracing::debug!(%error, "A connection to the data plane broke off");
                                }
                            }
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "The data plane cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}
