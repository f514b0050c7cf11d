//! The process: reads the settings, starts telemetry and the HTTP server, acquires the Lease and
//! runs the reconcilers.
//!
//! Exit codes: 0 after a graceful shutdown, 1 after an error or if the shutdown grace period
//! expired, 2 for invalid settings, 3 if the Lease was lost.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use controller::config::{self, Config, HostInfo};
use controller::health::{Health, Role};
use controller::kube_client;
use controller::leadership::LeaderElection;
use controller::run::{Dependencies, run};
use controller::telemetry::{self, Metrics};
use service_kit::http::Server;
use service_kit::http::operations;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

const EXIT_LEASE_LOST: i32 = 3;
/// Threads for blocking calls (name resolution, files). Each thread uses memory.
const MAX_BLOCKING_THREADS: usize = 32;
/// Threads of the async runtime. The controller mostly waits, and each thread costs memory.
const WORKER_THREADS: usize = 2;
/// How long aborted steps may take to end.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the process waits for blocking calls when it exits.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Fails only if a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Invalid settings are reported first; a cluster that cannot be found is reported afterwards.
    let cluster = find_cluster();
    let config = match load_settings(cluster.as_ref().ok()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let started = cluster.and_then(|cluster| Ok((cluster, runtime()?)));
    let (cluster, runtime) = match started {
        Ok(started) => started,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(run_process(config, cluster));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    code
}

/// The address and the credentials of the API server.
fn find_cluster() -> anyhow::Result<kube::Config> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(kube_client::infer_config())?)
}

/// Loads the settings. Prints errors, or the help text if it was requested.
fn load_settings(cluster: Option<&kube::Config>) -> Result<Config, ExitCode> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let host = HostInfo {
        namespace: cluster.map(|cluster| cluster.default_namespace.clone()),
        hostname: fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned()),
        nonce: rand::random(),
    };
    config::load(std::env::args_os(), &env, &host)
        .map_err(|error| ExitCode::from(error.print("tenant-controller")))
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("failed to start the async runtime")
}

/// Runs the process with these settings until it stops. Returns the exit code.
async fn run_process(config: Config, cluster: kube::Config) -> ExitCode {
    let identity = config.lease.identity.clone();
    let traces =
        match service_kit::telemetry::start(&telemetry::PROGRAM, &config.telemetry, &identity) {
            Ok(traces) => traces,
            Err(error) => return failed(&error.into()),
        };
    info!(
        lease.identity = identity,
        kube.namespace = config.kube.namespace,
        kube.url = %cluster.cluster_url,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let result = serve(config, cluster).await;
    if let Err(error) = &result {
        error!(error = %format!("{error:#}"), "controller failed");
    }
    traces.flush().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Serves HTTP while the controller runs. Probes are answered from before the Lease is acquired
/// until it is released.
async fn serve(config: Config, cluster: kube::Config) -> anyhow::Result<()> {
    let (health, metrics) = (Health::new(), Arc::new(Metrics::new()));
    let client = kube_client::build(cluster, &config.kube, Arc::clone(&metrics))?;
    let server = Server::bind(config.process.http_listen)
        .await
        .with_context(|| {
            format!(
                "failed to listen on {} (http-listen)",
                config.process.http_listen
            )
        })?;
    let address = server.address();
    info!(http.address = %address, "serving /livez, /readyz and /metrics");
    let stop_http = CancellationToken::new();
    let probes = ProcessProbes {
        health: health.clone(),
        metrics: Arc::clone(&metrics),
    };
    let serving = tokio::spawn(server.serve(
        operations::router(Arc::new(probes)),
        operations::LIMITS,
        stop_http.clone(),
    ));
    let stopping = health.clone();
    let stop = service_kit::shutdown_signal(move || stopping.set_role(Role::Stopping))
        .context("failed to install the signal handlers")?;
    let result = lead(config, client, health, metrics, stop).await;
    stop_http.cancel();
    serving.await.context("the HTTP server failed")?;
    result
}

/// What the HTTP server reports about this process.
struct ProcessProbes {
    health: Health,
    metrics: Arc<Metrics>,
}

impl operations::Probes for ProcessProbes {
    fn live(&self) -> Result<&'static str, String> {
        self.health.live()
    }
    fn ready(&self) -> Result<&'static str, String> {
        self.health.ready()
    }
    fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.encode()
    }
}

/// Acquires the Lease, reconciles while it is held, and releases it.
async fn lead(
    config: Config,
    client: kube::Client,
    health: Health,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let grace = config.process.shutdown_grace;
    let lease = LeaderElection::new(client.clone(), &config.kube, &config.lease);
    let Some(held) = lease.acquire(&health, &stop).await? else {
        info!("stopped while standing by");
        return Ok(());
    };
    metrics.set_leader(true);
    health.set_role(Role::Leading);
    let lost = held.lost();
    let reconciling = run(Dependencies {
        config,
        client,
        metrics: Arc::clone(&metrics),
        health,
        guard: held.leader_guard(),
        stop: stop.clone(),
    });
    let ended = tokio::select! {
        biased;
        () = lost.cancelled() => {
            error!("lease lost; exiting immediately so that nothing acts without it");
            // Running steps end with the process, before the Lease expires.
            std::process::exit(EXIT_LEASE_LOST);
        }
        ended = reconciling => ended,
        () = grace_expired(&stop, grace + ABORT_TIMEOUT) => {
            // Steps may still be running, so the Lease is not released. It expires after they have
            // ended.
            anyhow::bail!(
                "failed to abort the running steps within {} s after shutdown-grace",
                ABORT_TIMEOUT.as_secs()
            );
        }
    };
    metrics.set_leader(false);
    held.release().await;
    if ended.is_ok() {
        info!("stopped");
    }
    ended.map_err(anyhow::Error::from)
}

/// Returns when the grace period after `stop` has expired.
async fn grace_expired(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// Reports an error that occurs before logging is set up.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("tenant-controller: {error:#}");
    ExitCode::FAILURE
}
