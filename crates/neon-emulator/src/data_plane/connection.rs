//! The life of one connection.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::authentication::{self, AuthOutcome};
use super::error_response::{ErrorResponse, reject};
use super::preparation::PreparedConnection;
use super::relay::{self, BUFFER_BYTES, ByteStream, SessionMonitor};
use super::session_start::SessionStart;
use super::startup::ClientRequest;
use super::wire::StartupMessage;
use super::{Backend, DataPlane, pooler, size_limit};
use crate::faults::Effect;
use crate::store::EndpointRoute;

/// Maximum time for the TLS handshake and the startup message.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(15);
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_mins(1);

impl DataPlane {
    pub(super) async fn connection(&self, stream: TcpStream, peer: IpAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let request = tokio::time::timeout(STARTUP_TIMEOUT, self.negotiate(stream)).await;
        match request.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            ClientRequest::Cancel(packet) => self.cancel(&packet).await,
            ClientRequest::Connect(mut client, startup) => {
                self.serve_client(&mut client, startup, peer).await
            }
            ClientRequest::Disconnected => Ok(()),
        }
    }

    /// Forwards a cancel request. Its key is PostgreSQL's own, because the authentication messages
    /// are relayed.
    async fn cancel(&self, packet: &[u8]) -> io::Result<()> {
        let mut backend = self.backend_stream().await?;
        backend.write_all(packet).await?;
        backend.flush().await?;
        // PostgreSQL closes the connection when it has processed the request.
        let mut end = [0; 1];
        let _ = tokio::time::timeout(STARTUP_TIMEOUT, backend.read(&mut end)).await;
        Ok(())
    }

    async fn serve_client(
        &self,
        client: &mut TlsStream<TcpStream>,
        startup: StartupMessage,
        peer: IpAddr,
    ) -> io::Result<()> {
        let Ok(_permit) = self.connection_permits.try_acquire() else {
            let error = ErrorResponse {
                code: "53300",
                message: "too many connections to the data plane".to_owned(),
                hint: None,
            };
            return reject(client, &error).await;
        };
        match self.prepare(client, startup, peer).await {
            Ok(prepared) => self.run(client, prepared).await,
            Err(error) => reject(client, &self.sqlstates.apply(error)).await,
        }
    }

    /// Connects a prepared client to PostgreSQL, authenticates it, and relays until one side
    /// closes.
    async fn run(
        &self,
        client: &mut TlsStream<TcpStream>,
        prepared: PreparedConnection,
    ) -> io::Result<()> {
        let mut backend = match self.backend_stream().await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::warn!(%error, "failed to connect to PostgreSQL");
                return reject(
                    client,
                    &ErrorResponse::unavailable("could not reach the compute; try again"),
                )
                .await;
            }
        };
        let session = self.sessions.open(
            &prepared.route.endpoint,
            prepared.password_as_of,
            self.clock.now(),
        );
        session.activity().set_size_limit(prepared.size_limit);
        backend.write_all(&prepared.startup.encode()).await?;
        let certificate = self
            .certificates
            .end_entity(client.get_ref().1.server_name());
        let binding = authentication::ChannelBinding {
            certificate: &certificate,
            secret: &prepared.secret,
            passwords: &self.passwords,
        };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(
                AUTHENTICATION_TIMEOUT,
                authentication::authenticate(client, &mut backend, &prepared.replacements, &binding),
            ) => outcome,
            () = session.terminated() => return reject(client, &ErrorResponse::stopped()).await,
        };
        let start = match outcome.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            AuthOutcome::Authenticated(start) => start,
            AuthOutcome::Rejected => return Ok(()),
            AuthOutcome::WrongPassword => {
                return reject(client, &ErrorResponse::password(&prepared.user)).await;
            }
        };
        let monitor = &SessionMonitor {
            activity: session.activity().clone(),
            clock: self.clock.clone(),
        };
        let is_available = self.touch(&prepared.route, true).await;
        // From here on, copies of the branch and suspensions of the compute terminate the session.
        session.authenticated();
        let mut prepared = prepared;
        drop(prepared.branch_lock.take());
        let result = if is_available {
            let relayed = async {
                client.write_all(&start.ready).await?;
                client.flush().await?;
                relay_limited(client, &mut backend, monitor, start, &prepared).await
            };
            tokio::select! {
                result = relayed => result,
                () = session.terminated() => reject(client, &ErrorResponse::stopped()).await,
            }
        } else {
            reject(client, &ErrorResponse::stopped()).await
        };
        let transferred = session.activity().take_transferred();
        // The use is recorded before the session is removed, so that the compute does not look idle
        // in between.
        self.touch(&prepared.route, false).await;
        drop(session);
        self.count(&prepared.route, transferred).await;
        result
    }

    /// Records that a client connected or disconnected. Returns `false` if the project was deleted.
    async fn touch(&self, route: &EndpointRoute, opened: bool) -> bool {
        let touched = self
            .store
            .touch_endpoint(&route.endpoint.id, self.clock.now(), opened);
        touched.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to record the use of a compute");
            true
        })
    }

    async fn count(&self, route: &EndpointRoute, transferred: u64) {
        let (project, branch) = (&route.endpoint.project_id, &route.endpoint.branch_id);
        let counted = self
            .store
            .add_transfer(project, branch, transferred, self.clock.now());
        if let Err(error) = counted.await {
            tracing::debug!(%error, "failed to record transferred bytes");
        }
    }

    async fn backend_stream(&self) -> io::Result<Box<dyn BackendStream>> {
        Ok(match &self.backend {
            Backend::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Backend::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

/// A connection to PostgreSQL over TCP or a Unix socket.
trait BackendStream: ByteStream + Send {}
impl<T: ByteStream + Send> BackendStream for T {}

/// Relays the session. If the project has reached its size limit, writes fail.
async fn relay_limited(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    monitor: &SessionMonitor,
    start: SessionStart,
    prepared: &PreparedConnection,
) -> io::Result<()> {
    let cut_after = match prepared.injection.outcome {
        Some(Effect::CutConnection { after_messages }) => Some(after_messages),
        _ => None,
    };
    let pooled = prepared.pooled;
    let Some(limit) = prepared.size_limit else {
        return relay_session(client, backend, monitor, start, pooled, cut_after).await;
    };
    let (mut session, mut near) = io::duplex(BUFFER_BYTES);
    let limited = async {
        let result = size_limit::relay(&mut near, backend, limit).await;
        drop(near);
        if let Err(error) = result {
            tracing::debug!(%error, "connection to PostgreSQL failed");
        }
        // The session ends when it has relayed what is left.
        std::future::pending().await
    };
    tokio::select! {
        result = relay_session(client, &mut session, monitor, start, pooled, cut_after) => result,
        never = limited => never,
    }
}

/// Relays the session, starting with what the client sent before it was authenticated.
async fn relay_session(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    monitor: &SessionMonitor,
    start: SessionStart,
    pooled: bool,
    cut_after: Option<u64>,
) -> io::Result<()> {
    if pooled {
        return pooler::relay(client, backend, monitor, start, cut_after).await;
    }
    if !start.pipelined.is_empty() {
        monitor.client_sent().await;
        backend.write_all(&start.pipelined).await?;
    }
    match cut_after {
        Some(after_messages) => relay::relay_counted(client, backend, after_messages).await,
        None => relay::relay(client, backend, monitor).await,
    }
}
