//! Starts an emulator: creates its parts in the order of their dependencies.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server::{BackingServer, ServerSource};
use super::settings::Settings;
use super::start_error::StartError;
use super::{Emulator, maintenance};
use crate::api::{self, Api, CallCounter, OrganizationPlans, RateLimiter, RequestLog};
use crate::api_key::ApiKey;
use crate::clock::{Clock, Micros};
use crate::data_plane::scram::SaltedPasswords;
use crate::data_plane::{Backend, DataPlane, ProxyCache, ProxySqlstates};
use crate::faults::Faults;
use crate::hosts::Hosts;
use crate::openapi::Conformance;
use crate::page;
use crate::provision::Provisioner;
use crate::sessions::Sessions;
use crate::store::{OpenError, Store, connect_options};
use crate::tls::Certificates;

/// Starts an emulator. When this function returns, the API and the data plane accept connections.
pub(super) async fn start(
    source: ServerSource,
    mut settings: Settings,
) -> Result<Emulator, StartError> {
    let preflight = Preflight::run(&mut settings).await?;
    let control_database = settings.control_database.take();
    let (backing_server, control_database) = BackingServer::find(source, control_database).await?;
    preflight
        .start_on(backing_server, &control_database, settings)
        .await
}

/// What can be checked and allocated without a PostgreSQL server, so that failures leave nothing
/// behind there.
pub(super) struct Preflight {
    keys: Vec<ApiKey>,
    api_listener: TcpListener,
    data_listener: TcpListener,
    api_address: SocketAddr,
    data_address: SocketAddr,
    hosts: Hosts,
    faults: Faults,
}

impl Preflight {
    pub(super) async fn run(settings: &mut Settings) -> Result<Self, StartError> {
        let keys = settings
            .api_keys
            .iter()
            .filter(|key| !key.is_empty())
            .map(|key| key.parse())
            .collect::<Result<Vec<ApiKey>, _>>()?;
        if keys.is_empty() {
            return Err(StartError::NoApiKey);
        }
        let faults = Faults::new(std::mem::take(&mut settings.faults), settings.seed)?;
        let api_listener = listen(settings.api_listen).await?;
        let data_listener = listen(settings.data_listen).await?;
        let api_address = address(&api_listener, settings.api_listen)?;
        let data_address = address(&data_listener, settings.data_listen)?;
        let port = settings.advertised_data_port.unwrap_or(data_address.port());
        Ok(Self {
            keys,
            hosts: Hosts::new(settings.host_template.clone(), port)?,
            api_listener,
            data_listener,
            api_address,
            data_address,
            faults,
        })
    }

    /// Starts the emulator on a server. On failure, ephemeral state is removed.
    pub(super) async fn start_on(
        self,
        backing_server: BackingServer,
        control_database: &str,
        settings: Settings,
    ) -> Result<Emulator, StartError> {
        let Self {
            keys,
            api_listener,
            data_listener,
            api_address,
            data_address,
            hosts,
            faults,
        } = self;
        let backend = Backend::of(&connect_options(backing_server.uri()).map_err(OpenError::from)?);

        let (store, provisioner) = match open(backing_server.uri(), control_database).await {
            Ok(opened) => opened,
            Err(error) => {
                backing_server.release_unopened(control_database).await;
                return Err(error.into());
            }
        };
        tracing::debug!("opened the state database");
        let suffix = hosts.is_per_endpoint().then(|| hosts.suffix());
        let prepared = prepare(&store, &provisioner, settings.spare_databases, suffix).await;
        let PreparedState {
            certificates,
            tls,
            offset,
            organization_plans,
        } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                backing_server.release(&provisioner, &store).await;
                return Err(error);
            }
        };
        tracing::debug!("prepared databases and certificates");
        let ca_pem = certificates.ca_pem().to_owned();
        let sessions = Sessions::default();
        let clock = Clock::with_offset(offset);

        let plane = Arc::new(DataPlane {
            store: store.clone(),
            provisioner: provisioner.clone(),
            faults: faults.clone(),
            sessions: sessions.clone(),
            backend,
            tls,
            certificates,
            passwords: SaltedPasswords::default(),
            limits: settings.limits,
            latency: settings.latency,
            clock: clock.clone(),
            cache: ProxyCache::new(settings.proxy_caches),
            sqlstates: ProxySqlstates::new(settings.varying_sqlstates, settings.seed),
            connection_permits: Arc::new(Semaphore::new(settings.limits.data_connections as usize)),
            compute_checks: tokio::sync::Mutex::default(),
        });
        let api = Arc::new(Api {
            store,
            plane: plane.clone(),
            provisioner,
            faults,
            sessions,
            hosts,
            latency: settings.latency,
            limits: settings.limits,
            organization_plans,
            activity_updates_projects: settings.activity_updates_projects,
            rate: RateLimiter::new(settings.limits.rate),
            request_log: RequestLog::default(),
            address: api_address,
            data_address,
            keys,
            clock,
            calls: CallCounter::default(),
            conformance: Conformance::new(settings.document),
            tasks: TaskTracker::new(),
            rng: Mutex::new(StdRng::seed_from_u64(settings.seed)),
        });

        let stop = CancellationToken::new();
        let servers = TaskTracker::new();
        servers.spawn(serve_api(api.clone(), api_listener, stop.clone()));
        servers.spawn(maintenance::check_computes(api.clone(), stop.clone()));
        servers.spawn(plane.serve(data_listener, stop.clone()));
        servers.spawn(maintenance::purge(api.clone(), stop.clone()));
        Ok(Emulator {
            api,
            api_address,
            data_address,
            ca_pem,
            stop,
            servers,
            backing_server,
        })
    }
}

async fn open(uri: &str, control_database: &str) -> Result<(Store, Provisioner), OpenError> {
    let store = Store::open(uri, control_database).await?;
    match Provisioner::open(uri, store.clone()).await {
        Ok(provisioner) => Ok((store, provisioner)),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

/// What is read from or written to the state before connections are accepted.
struct PreparedState {
    certificates: Arc<Certificates>,
    tls: TlsAcceptor,
    /// The offset from the system clock.
    offset: Micros,
    organization_plans: OrganizationPlans,
}

async fn prepare(
    store: &Store,
    provisioner: &Provisioner,
    spare_databases: u32,
    suffix: Option<&str>,
) -> Result<PreparedState, StartError> {
    provisioner
        .fill_spare_pool(spare_databases)
        .await
        .map_err(|error| StartError::SpareDatabases(error.to_string()))?;
    let certificates = Certificates::open(store, suffix).await?;
    Ok(PreparedState {
        tls: TlsAcceptor::from(certificates.clone().server_config()?),
        certificates,
        offset: maintenance::offset(store).await?,
        organization_plans: OrganizationPlans::load(store)
            .await
            .map_err(|error| StartError::State(error.to_string()))?,
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

fn address(listener: &TcpListener, configured: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        address: configured,
        source,
    })
}

async fn serve_api(api: Arc<Api>, listener: TcpListener, stop: CancellationToken) {
    let routes = api::routes(&api).merge(page::routes(&api)).with_state(api);
    if let Err(error) = api::serve(routes, listener, stop).await {
        tracing::error!(%error, "the API server failed");
    }
}
