//! The life of one connection.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::hello::Hello;
use super::prepare::Ready;
use super::refusal::{Refusal, refuse};
use super::relay::{self, Stream, Watched};
use super::sign_in::{self, Begun, SignedIn};
use super::wire::Startup;
use super::{Backend, DataPlane, pooler};
use crate::faults::Effect;
use crate::store::Route;

/// Maximum time for the TLS handshake and the startup message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum time for authentication.
const SIGN_IN_TIMEOUT: Duration = Duration::from_mins(1);

impl DataPlane {
    pub(super) async fn connection(&self, stream: TcpStream, peer: IpAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let hello = tokio::time::timeout(HELLO_TIMEOUT, self.hello(stream)).await;
        match hello.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Hello::Cancel(packet) => self.cancel(&packet).await,
            Hello::SignIn(mut client, startup) => {
                self.serve_client(&mut client, startup, peer).await
            }
            Hello::Gone => Ok(()),
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
        let _ = tokio::time::timeout(HELLO_TIMEOUT, backend.read(&mut end)).await;
        Ok(())
    }

    async fn serve_client(
        &self,
        client: &mut TlsStream<TcpStream>,
        startup: Startup,
        peer: IpAddr,
    ) -> io::Result<()> {
        let Ok(_place) = self.places.try_acquire() else {
            let refusal = Refusal {
                code: "53300",
                message: "too many connections to the data plane".to_owned(),
                hint: None,
            };
            return refuse(client, &refusal).await;
        };
        match self.prepare(client, startup, peer).await {
            Ok(ready) => self.run(client, ready).await,
            Err(refusal) => refuse(client, &refusal).await,
        }
    }

    /// Connects a prepared client to PostgreSQL, authenticates it, and relays until one side
    /// closes.
    async fn run(&self, client: &mut TlsStream<TcpStream>, mut ready: Ready) -> io::Result<()> {
        let mut backend = match self.backend_stream().await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::warn!(%error, "failed to connect to PostgreSQL");
                return refuse(
                    client,
                    &Refusal::unavailable("could not reach the compute; try again"),
                )
                .await;
            }
        };
        let session = self.sessions.open(&ready.route.endpoint, self.clock.now());
        drop(ready.entered.take());
        backend.write_all(&ready.startup.encode()).await?;
        let certificate = self
            .certificates
            .end_entity(client.get_ref().1.server_name());
        let binding = sign_in::Binding {
            certificate: &certificate,
            password: &ready.password,
            passwords: &self.passwords,
        };
        let signed_in = tokio::select! {
            signed_in = tokio::time::timeout(
                SIGN_IN_TIMEOUT,
                sign_in::sign_in(client, &mut backend, &ready.names, &binding),
            ) => signed_in,
            () = session.cut() => return refuse(client, &Refusal::stopped()).await,
        };
        let begun = match signed_in.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            SignedIn::Yes(begun) => begun,
            SignedIn::No => return Ok(()),
            SignedIn::WrongPassword => {
                return refuse(client, &Refusal::password(&ready.user)).await;
            }
        };
        let watched = &Watched {
            activity: session.activity().clone(),
            clock: self.clock.clone(),
        };
        let ended = if self.touch(&ready.route, true).await {
            tokio::select! {
                ended = pass_on(client, &mut backend, &ready, watched, begun) => ended,
                () = session.cut() => refuse(client, &Refusal::stopped()).await,
            }
        } else {
            refuse(client, &Refusal::stopped()).await
        };
        let transferred = session.activity().take_transferred();
        drop(session);
        self.touch(&ready.route, false).await;
        self.count(&ready.route, transferred).await;
        ended
    }

    /// Records that a client connected or disconnected. Returns `false` if the project was deleted.
    async fn touch(&self, route: &Route, opened: bool) -> bool {
        let touched = self
            .store
            .touch_endpoint(&route.endpoint.id, self.clock.now(), opened);
        touched.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to record the use of a compute");
            true
        })
    }

    async fn count(&self, route: &Route, transferred: u64) {
        let (project, branch) = (&route.endpoint.project_id, &route.endpoint.branch_id);
        let counted = self
            .store
            .add_transfer(project, branch, transferred, self.clock.now());
        if let Err(error) = counted.await {
            tracing::debug!(%error, "failed to record transferred bytes");
        }
    }

    async fn backend_stream(&self) -> io::Result<Box<dyn Backing>> {
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
trait Backing: Stream + Send {}
impl<T: Stream + Send> Backing for T {}

/// Relays the session, starting with what the client sent before it was authenticated.
async fn pass_on(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    ready: &Ready,
    watched: &Watched,
    begun: Begun,
) -> io::Result<()> {
    let cut_after = match ready.verdict.outcome {
        Some(Effect::CutConnection { after_messages }) => Some(after_messages),
        _ => None,
    };
    if ready.pooled {
        return pooler::relay(client, backend, watched, begun, cut_after).await;
    }
    if !begun.ahead.is_empty() {
        watched.client_sent();
        backend.write_all(&begun.ahead).await?;
    }
    match cut_after {
        Some(after_messages) => relay::relay_counted(client, backend, after_messages).await,
        None => relay::relay(client, backend, watched).await,
    }
}
