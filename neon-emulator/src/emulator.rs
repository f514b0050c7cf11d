//! A running emulator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use neon::model::CreateProject;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::create::{SeededProject, seed};
use crate::api::own::{ProjectSummary, summaries};
use crate::api::{self, Api, ApiError, Calls};
use crate::clock::{Clock, Micros, timestamp};
use crate::config::Config;
use crate::data_plane::scram::SaltedPasswords;
use crate::data_plane::{Backend, DataPlane, Sessions};
use crate::document::Conformance;
use crate::faults::Faults;
use crate::hosts::{HostTemplateError, Hosts};
use crate::provision::Provisioner;
use crate::store::{OpenError, Store, StoreError, connect_options};
use crate::tls::{Certificates, TlsError};

/// How often projects are looked for that can no longer be recovered.
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// How often computes are looked after.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// How long a shutdown waits for calls and connections to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No key would be accepted.
    #[error("at least one API key is needed")]
    NoApiKey,
    /// The host template gives no host to an endpoint.
    #[error(transparent)]
    HostTemplate(#[from] HostTemplateError),
    /// The PostgreSQL server under it cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The state of the emulator before this one cannot be read.
    #[error("cannot read the emulator's state: {0}")]
    State(String),
    /// There are no certificates for the data plane.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Databases could not be made in advance.
    #[error("cannot make databases in advance: {0}")]
    Stock(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a question to a running emulator has no answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulator could not do this: {0}")]
pub struct EmulatorError(String);

impl EmulatorError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<ApiError> for EmulatorError {
    fn from(error: ApiError) -> Self {
        Self(error.message)
    }
}

/// A running emulator. Dropping it stops it without waiting; [`Emulator::shutdown`] waits.
pub struct Emulator {
    api: Arc<Api>,
    api_address: SocketAddr,
    data_address: SocketAddr,
    ca_pem: String,
    stop: CancellationToken,
    servers: TaskTracker,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the keys, nor the address of PostgreSQL with its password.
        f.debug_struct("Emulator")
            .field("api", &self.api_address)
            .field("data", &self.data_address)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts an emulator; when this returns, the API and the data plane take connections.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if config.api_keys.iter().all(String::is_empty) {
            return Err(StartError::NoApiKey);
        }
        let api_listener = listen(config.api_listen).await?;
        let data_listener = listen(config.data_listen).await?;
        let api_address = address(&api_listener, config.api_listen)?;
        let data_address = address(&data_listener, config.data_listen)?;
        let port = config.advertised_data_port.unwrap_or(data_address.port());
        let hosts = Hosts::new(config.host_template.clone(), port)?;

        let store = Store::open(&config.postgres_uri, &config.control_database).await?;
        let provisioner = Provisioner::open(&config.postgres_uri, store.clone()).await?;
        provisioner
            .stock(config.spare_databases)
            .await
            .map_err(|error| StartError::Stock(error.to_string()))?;
        let certificates =
            Certificates::open(&store, hosts.are_own().then(|| hosts.suffix())).await?;
        let ca_pem = certificates.ca_pem().to_owned();
        let backend = Backend::of(&connect_options(&config.postgres_uri).map_err(OpenError::from)?);
        let faults = Faults::new(config.faults, config.seed);
        let sessions = Sessions::default();
        let clock = Clock::ahead_by(ahead(&store).await?);

        let plane = Arc::new(DataPlane {
            store: store.clone(),
            provisioner: provisioner.clone(),
            faults: faults.clone(),
            sessions: sessions.clone(),
            backend,
            tls: TlsAcceptor::from(certificates.clone().server_config()?),
            certificates,
            passwords: SaltedPasswords::default(),
            limits: config.limits,
            latency: config.latency,
            clock: clock.clone(),
            places: Arc::new(Semaphore::new(config.limits.data_connections as usize)),
        });
        let api = Arc::new(Api {
            store,
            plane: plane.clone(),
            provisioner,
            faults,
            sessions,
            hosts,
            latency: config.latency,
            limits: config.limits,
            keys: config
                .api_keys
                .into_iter()
                .filter(|key| !key.is_empty())
                .collect(),
            clock,
            calls: Calls::default(),
            conformance: Conformance::new(config.document),
            tasks: TaskTracker::new(),
            dice: Mutex::new(StdRng::seed_from_u64(config.seed)),
        });

        let stop = CancellationToken::new();
        let servers = TaskTracker::new();
        servers.spawn(serve_api(api.clone(), api_listener, stop.clone()));
        servers.spawn(look_after(api.clone(), stop.clone()));
        servers.spawn(plane.serve(data_listener, stop.clone()));
        servers.spawn(purge(api.clone(), stop.clone()));
        Ok(Self {
            api,
            api_address,
            data_address,
            ca_pem,
            stop,
            servers,
        })
    }

    /// Where the API is, ready for a client: `http://127.0.0.1:PORT/api/v2`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v2", self.api_address)
    }

    /// Where the calls about the emulator itself are: `http://127.0.0.1:PORT/_emulator`.
    pub fn own_url(&self) -> String {
        format!("http://{}/_emulator", self.api_address)
    }

    /// An API key that it accepts.
    pub fn api_key(&self) -> &str {
        self.api.keys.first().map_or("", String::as_str)
    }

    /// Where the data plane listens.
    pub fn data_addr(&self) -> SocketAddr {
        self.data_address
    }

    /// The certificate of the authority that the data plane's certificates are signed by, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The faults that are armed, to add to them or to take them away.
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// How often each call of the API was made, by the operation's name (`createProject`), refused ones included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.api.calls.counts()
    }

    /// Starts counting calls again from zero.
    pub fn reset_calls(&self) {
        self.api.calls.reset();
    }

    /// What did not fit the API's document so far, where [one was named](Config::document): answers of the emulator, and requests that
    /// it accepted.
    pub fn violations(&self) -> Vec<String> {
        self.api.conformance.found()
    }

    /// The same, to be asked when the emulator is gone.
    pub fn conformance(&self) -> Conformance {
        self.api.conformance.clone()
    }

    /// Every password that was ever given out, also by emulators before this one over the same PostgreSQL.
    pub async fn passwords_ever_given(&self) -> Result<Vec<String>, EmulatorError> {
        self.api
            .store
            .passwords_given()
            .await
            .map_err(EmulatorError::new)
    }

    /// Every project, those included that are deleted but not purged.
    pub async fn projects(&self) -> Result<Vec<ProjectSummary>, EmulatorError> {
        summaries(&self.api).await.map_err(EmulatorError::new)
    }

    /// Makes many ready projects at once, all like the template but for their names. None has a database yet.
    pub async fn seed_projects(
        &self,
        template: &CreateProject,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<SeededProject>, EmulatorError> {
        Ok(seed(&self.api, template, names).await?)
    }

    /// Turns the clock ahead: what waits for time to pass finds that it has. Computes that are idle for longer than they may be
    /// are asleep when this returns, and quotas that are used up have suspended theirs.
    pub async fn turn_clock(&self, by: Duration) -> Result<(), EmulatorError> {
        turn_clock(&self.api, by).await.map_err(EmulatorError::new)
    }

    /// What time it is here.
    pub fn now(&self) -> jiff::Timestamp {
        timestamp(self.api.clock.now())
    }

    /// Drops the databases of deleted projects that can no longer be recovered, and returns how many projects that were.
    /// It happens by itself every minute.
    pub async fn purge(&self) -> Result<u64, EmulatorError> {
        self.api
            .provisioner
            .purge(self.api.recoverable_since())
            .await
            .map_err(EmulatorError::new)
    }

    /// Cuts connections, finishes the calls that are being answered, and stops.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.servers.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.servers.wait())
            .await
            .is_err()
        {
            tracing::warn!("Calls were still being answered when the emulator stopped");
        }
        self.api.provisioner.close().await;
        self.api.store.close().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the clock is ahead by is kept in the state under this name.
const AHEAD_KEY: &str = "clock_ahead_us";

async fn ahead(store: &Store) -> Result<Micros, StartError> {
    let kept = store
        .read_meta(AHEAD_KEY)
        .await
        .map_err(|error| StartError::State(error.to_string()))?;
    Ok(kept.and_then(|text| text.parse().ok()).unwrap_or(0))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

fn address(listener: &TcpListener, wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        address: wanted,
        source,
    })
}

async fn serve_api(api: Arc<Api>, listener: TcpListener, stop: CancellationToken) {
    if let Err(error) = api::serve(api, listener, stop).await {
        tracing::error!(%error, "The API stopped listening");
    }
}

/// Turns the clock, and sees to what that changes.
pub(crate) async fn turn_clock(api: &Api, by: Duration) -> Result<(), StoreError> {
    let by = Micros::try_from(by.as_micros()).unwrap_or(Micros::MAX);
    let ahead = api.clock.turn(by);
    api.store.write_meta(AHEAD_KEY, &ahead.to_string()).await?;
    api.plane.look_after().await?;
    if let Err(error) = api::expire(api, api.clock.now()).await {
        tracing::warn!(
            "Branches whose time is over could not be removed: {}",
            error.message
        );
    }
    Ok(())
}

/// Suspends computes that nobody uses and those whose quota is used up, and removes branches whose time is over.
async fn look_after(api: Arc<Api>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AFTER_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = api.plane.look_after().await {
            tracing::warn!(%error, "Computes that nobody uses could not be suspended");
        }
        if let Err(error) = api::expire(&api, api.clock.now()).await {
            tracing::warn!(
                "Branches whose time is over could not be removed: {}",
                error.message
            );
        }
    }
}

async fn purge(api: Arc<Api>, stop: CancellationToken) {
    loop {
        match api.provisioner.purge(api.recoverable_since()).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!("Purged {purged} deleted projects"),
            Err(error) => tracing::warn!(%error, "Deleted projects could not be purged"),
        }
        tokio::select! {
            () = tokio::time::sleep(PURGE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
