//! One connection, from its first byte to its last.

use std::net::IpAddr;
use std::time::Duration;

use neon::ids::{BranchId, DatabaseName, EndpointId, RoleName};
use neon::model::{OperationAction, Quota};
use secrecy::SecretString;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedRwLockReadGuard;
use tokio_rustls::server::TlsStream;

use super::admission::{self, Exhausted};
use super::relay::{self, SignedIn, Stream, Watched};
use super::target::{self, TargetError};
use super::wire::{self, First, Startup};
use super::{Backend, DataPlane};
use crate::api::view::period_start;
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute, EndpointStateNow};
use crate::faults::{Effect, Verdict};
use crate::provision::{ProvisionError, Real};
use crate::store::{EndpointRow, Planned, Route, Store, StoreError};
use crate::tls::ALPN;

/// How long a client may take to say what it wants, TLS included.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client may take to sign in.
const SIGN_IN_TIMEOUT: Duration = Duration::from_mins(1);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// The first packets that may come before the one that signs in: a question for GSSAPI, then one for TLS.
const QUESTIONS_MAX: usize = 3;

/// A refusal, in the words that the client gets.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    /// What the proxy itself refuses; the real service uses this class for all of it.
    fn proxy(message: impl Into<String>) -> Self {
        Self {
            code: "XX000",
            message: message.into(),
        }
    }

    fn password(user: &str) -> Self {
        Self {
            code: "28P01",
            message: format!("password authentication failed for user '{user}'"),
        }
    }

    fn stopped() -> Self {
        Self {
            code: "57P01",
            message: "the compute was stopped".to_owned(),
        }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: "57P03",
            message: message.into(),
        }
    }
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        Self::proxy(error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = %error, "A connection could not be led to its database");
        Self::unavailable("the control plane did not answer; try again")
    }
}

/// The kind of compute that only reads.
const READ_ONLY: &str = "read_only";

/// What a client that uses TLS wants.
enum Hello {
    Cancel(bytes::Bytes),
    SignIn(Box<TlsStream<TcpStream>>, Startup),
    Gone,
}

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

    async fn hello(&self, mut stream: TcpStream) -> io::Result<Hello> {
        let mut first = [0; 1];
        if stream.peek(&mut first).await? == 0 {
            return Ok(Hello::Gone);
        }
        if first[0] == TLS_HANDSHAKE {
            let client = self.tls.accept(stream).await?;
            // A client that begins with TLS must say that it speaks PostgreSQL inside, or any could be led here.
            if client.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Ok(Hello::Gone);
            }
            return hello_inside(client).await;
        }
        for _ in 0..QUESTIONS_MAX {
            match wire::read_first(&mut stream).await? {
                First::Gss => stream.write_all(b"N").await?,
                First::Tls => {
                    stream.write_all(b"S").await?;
                    return hello_inside(self.tls.accept(stream).await?).await;
                }
                First::Cancel(packet) => return Ok(Hello::Cancel(packet)),
                First::Startup(_) => {
                    let error =
                        Refusal::proxy("connection is insecure (try using `sslmode=require`)");
                    return refuse(&mut stream, &error).await.map(|()| Hello::Gone);
                }
            }
        }
        Ok(Hello::Gone)
    }

    /// The key in the packet is PostgreSQL's own, because sign-in passes through: so can this.
    async fn cancel(&self, packet: &[u8]) -> io::Result<()> {
        let mut backend = self.backend_stream().await?;
        backend.write_all(packet).await?;
        backend.flush().await?;
        // PostgreSQL closes when it has seen to it.
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
            };
            return refuse(client, &refusal).await;
        };
        match self.prepare(client, startup, peer).await {
            Ok(ready) => self.run(client, ready).await,
            Err(refusal) => refuse(client, &refusal).await,
        }
    }

    /// Everything before PostgreSQL is spoken to.
    async fn prepare(
        &self,
        client: &TlsStream<TcpStream>,
        mut startup: Startup,
        peer: IpAddr,
    ) -> Result<Ready, Refusal> {
        let target = target::find(client.get_ref().1.server_name(), startup.get("options"))?;
        let user = startup.get("user").unwrap_or_default().to_owned();
        // As in PostgreSQL, the database has the user's name where none is named.
        let wanted = startup
            .get("database")
            .filter(|name| !name.is_empty())
            .unwrap_or(&user)
            .to_owned();
        let route = self.find(&target.endpoint).await?;
        self.admit(&route, peer).await?;
        let verdict = self.faults.for_connection(&route.endpoint.project_id);
        tokio::time::sleep(Duration::from_millis(verdict.delay_ms)).await;
        match verdict.outcome {
            Some(Effect::RefuseConnections) => {
                return Err(Refusal::unavailable(
                    "injected: the compute does not take connections",
                ));
            }
            Some(Effect::DoesNotWake { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                return Err(Refusal::proxy("Couldn't connect to compute node"));
            }
            _ => {}
        }
        let route = self.awake(&target.endpoint).await?;
        let entered = self.sessions.enter(&route.endpoint.branch_id).await;
        let no_role = || Refusal::password(&user);
        let no_database = || Refusal {
            code: "3D000",
            message: format!("database \"{wanted}\" does not exist"),
        };
        let branch: BranchId = route
            .endpoint
            .branch_id
            .parse()
            .map_err(StoreError::corrupt)?;
        let role: RoleName = user.parse().map_err(|_| no_role())?;
        let database: DatabaseName = wanted.parse().map_err(|_| no_database())?;
        let real = self
            .provisioner
            .ensure(&branch, &role, &database, &self.clock)
            .await
            .map_err(|error| match error {
                ProvisionError::NoRole => no_role(),
                ProvisionError::NoDatabase => no_database(),
                ProvisionError::Store(error) => error.into(),
            })?;
        startup.set("user", Some(real.role.clone()));
        startup.set("database", Some(real.database.clone()));
        startup.set("options", options(target.options, &route.endpoint));
        Ok(Ready {
            entered,
            route,
            startup,
            verdict,
            password: real.password.clone(),
            names: names(real, user.clone(), wanted),
            user,
        })
    }

    /// Where the endpoint leads.
    async fn find(&self, endpoint: &EndpointId) -> Result<Route, Refusal> {
        let Some(route) = self.store.route(endpoint).await? else {
            return Err(Refusal::proxy(
                "The requested endpoint could not be found, or you don't have access to it. Please check the provided ID and try again.",
            ));
        };
        if route.endpoint.disabled {
            return Err(Refusal::proxy(
                "The endpoint has been disabled. Enable it using the API and retry.",
            ));
        }
        Ok(route)
    }

    /// Whether the client may come in, and anything is left of the project's quota.
    async fn admit(&self, route: &Route, peer: IpAddr) -> Result<(), Refusal> {
        if !admission::may_enter(route, peer) {
            return Err(Refusal::proxy(format!(
                "This IP address {peer} is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon \
                 console. Make sure to check for IPv4 or IPv6 addresses."
            )));
        }
        let Some(quota) = route
            .project_settings
            .quota
            .filter(admission::limits_anything)
        else {
            return Ok(());
        };
        match self.exhausted(&route.endpoint.project_id, &quota).await? {
            None => Ok(()),
            Some(exhausted) => Err(Refusal::proxy(exhausted.message())),
        }
    }

    /// What of a project's quota is used up.
    pub(crate) async fn exhausted(
        &self,
        project: &str,
        quota: &Quota,
    ) -> Result<Option<Exhausted>, StoreError> {
        let now = self.clock.now();
        let id = project.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        for mut row in Store::lock_endpoints(&mut tx, &id).await? {
            let compute = Compute::of(&row, &self.sessions, now);
            Store::settle(&mut tx, &mut row, compute.sleeps_at, now).await?;
        }
        tx.commit().await?;
        let used = self.store.used(project, None, period_start(now)).await?;
        let mut largest = 0;
        if quota.logical_size_bytes.is_some_and(|limit| limit > 0) {
            for branch in self.store.branches(&id).await? {
                let databases = self.store.databases(&branch.branch_id()?).await?;
                match self.provisioner.sizes(&databases).await {
                    Ok(size) => largest = largest.max(size),
                    Err(ProvisionError::Store(error)) => return Err(error),
                    Err(_) => {}
                }
            }
        }
        Ok(admission::exhausted(quota, used, largest))
    }

    /// Where the endpoint leads, once its compute is awake.
    async fn awake(&self, endpoint: &EndpointId) -> Result<Route, Refusal> {
        let limit: Micros = self
            .clock
            .now()
            .saturating_add(from_millis(self.limits.compute_wait_ms));
        loop {
            let route = self.find(endpoint).await?;
            let now = self.clock.now();
            match Compute::of(&route.endpoint, &self.sessions, now).state {
                EndpointStateNow::Active => return Ok(route),
                EndpointStateNow::Idle => self.wake(&route).await?,
                EndpointStateNow::Starting if now >= limit => {
                    return Err(Refusal::unavailable(format!(
                        "the compute \"{endpoint}\" did not start in time"
                    )));
                }
                EndpointStateNow::Starting => {
                    self.clock
                        .sleep_until(route.endpoint.ready_at_us.min(limit))
                        .await;
                }
            }
        }
    }

    /// Starts a compute that sleeps. Whoever comes at the same time finds it starting.
    async fn wake(&self, route: &Route) -> Result<(), StoreError> {
        let project = route
            .endpoint
            .project_id
            .parse()
            .map_err(StoreError::corrupt)?;
        let endpoint: EndpointId = route.endpoint.id.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        let now = self.clock.now();
        let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
        if Compute::of(&row, &self.sessions, now).is_idle() {
            let takes = from_millis(self.latency.cold_start_ms);
            compute::wake(&mut tx, &mut row, &self.sessions, takes, now).await?;
            let plan = [Planned {
                action: OperationAction::StartCompute,
                branch: row.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(endpoint),
                takes,
            }];
            Store::note(&mut tx, &project, now, &plan).await?;
        }
        tx.commit().await.map_err(StoreError::from)
    }

    /// From the first word to PostgreSQL to the last from it.
    async fn run(&self, client: &mut TlsStream<TcpStream>, ready: Ready) -> io::Result<()> {
        let mut backend = match self.backend_stream().await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::warn!(%error, "The PostgreSQL server under the data plane does not answer");
                return refuse(
                    client,
                    &Refusal::unavailable("could not reach the compute; try again"),
                )
                .await;
            }
        };
        let session = self.sessions.open(&ready.route.endpoint, self.clock.now());
        // From here on whoever closes the branch cuts the session.
        drop(ready.entered);
        backend.write_all(&ready.startup.encode()).await?;
        let certificate = self
            .certificates
            .end_entity(client.get_ref().1.server_name());
        let binding = relay::Binding {
            certificate: &certificate,
            password: &ready.password,
            passwords: &self.passwords,
        };
        let signed_in = tokio::select! {
            signed_in = tokio::time::timeout(
                SIGN_IN_TIMEOUT,
                relay::sign_in(client, &mut backend, &ready.names, &binding),
            ) => signed_in,
            () = session.cut() => return refuse(client, &Refusal::stopped()).await,
        };
        match signed_in.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            SignedIn::Yes => {}
            SignedIn::No => return Ok(()),
            SignedIn::WrongPassword => {
                return refuse(client, &Refusal::password(&ready.user)).await;
            }
        }
        // The session is known by now, so a deletion either finds it or is found here.
        let watched = &Watched {
            activity: session.activity().clone(),
            clock: self.clock.clone(),
        };
        let ended = if self.touch(&ready.route, true).await {
            tokio::select! {
                ended = pass_on(client, &mut backend, &ready.verdict, watched) => ended,
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

    /// Writes down that a client is connected, or just was. Whether the project is still there, as far as is known.
    async fn touch(&self, route: &Route, opened: bool) -> bool {
        let touched = self
            .store
            .touch_endpoint(&route.endpoint.id, self.clock.now(), opened);
        touched.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "The time of a connection was not written down");
            true
        })
    }

    async fn count(&self, route: &Route, transferred: u64) {
        let (project, branch) = (&route.endpoint.project_id, &route.endpoint.branch_id);
        let counted = self
            .store
            .add_transfer(project, branch, transferred, self.clock.now());
        if let Err(error) = counted.await {
            tracing::debug!(%error, "The bytes of a connection were not written down");
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

/// A connection to PostgreSQL, whatever it runs over.
trait Backing: Stream + Send {}
impl<T: Stream + Send> Backing for T {}

/// All that is known about a client before PostgreSQL is spoken to.
struct Ready {
    /// Keeps the branch from being copied until the session is known.
    entered: OwnedRwLockReadGuard<()>,
    route: Route,
    startup: Startup,
    verdict: Verdict,
    names: Vec<(String, String)>,
    user: String,
    password: SecretString,
}

/// What stands for what in messages to the client. The service puts a user's name in other quotes than PostgreSQL.
fn names(real: Real, user: String, database: String) -> Vec<(String, String)> {
    vec![
        (real.database, database),
        (
            format!("failed for user \"{}\"", real.role),
            format!("failed for user '{user}'"),
        ),
        (real.role, user),
    ]
}

/// The options of a connection, which only reads where its compute only does.
fn options(given: Option<String>, endpoint: &EndpointRow) -> Option<String> {
    if endpoint.kind != READ_ONLY {
        return given;
    }
    let given = given.unwrap_or_default();
    Some(
        format!("{given} -c default_transaction_read_only=on")
            .trim_start()
            .to_owned(),
    )
}

async fn pass_on(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    verdict: &Verdict,
    watched: &Watched,
) -> io::Result<()> {
    match verdict.outcome {
        Some(Effect::CutConnection { after_messages }) => {
            relay::relay_counted(client, backend, after_messages).await
        }
        _ => relay::relay(client, backend, watched).await,
    }
}

async fn hello_inside(mut client: TlsStream<TcpStream>) -> io::Result<Hello> {
    match wire::read_first(&mut client).await? {
        First::Cancel(packet) => Ok(Hello::Cancel(packet)),
        First::Startup(startup) => Ok(Hello::SignIn(Box::new(client), startup)),
        First::Tls | First::Gss => Ok(Hello::Gone),
    }
}

async fn refuse(client: &mut impl Stream, refusal: &Refusal) -> io::Result<()> {
    client
        .write_all(&wire::fatal(refusal.code, &refusal.message))
        .await?;
    client.flush().await?;
    client.shutdown().await
}
