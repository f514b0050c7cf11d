//! The process: reads the settings, starts telemetry and the HTTP server, acquires the Lease and
//! runs the reconcilers. With `lint` as its first argument, it checks migrations instead.
//!
//! Exit codes: 0 after a graceful shutdown, 1 after an error or if the shutdown grace period
//! expired, 2 for invalid settings, 3 if the Lease was lost.

use std::fmt;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use controller::config::{self, Config, HostInfo};
use controller::health::{Health, Role};
use controller::leadership::LeaderElection;
use controller::lint_command;
use controller::run::{Dependencies, run};
use controller::telemetry::{Metrics, PROGRAM};
use service_kit::http::operations::{OperationsServer, Probes};
use service_kit::settings::LoadError;
use service_kit::{kubernetes, process};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

const EXIT_LEASE_LOST: i32 = 3;
/// How long aborted steps may take to end.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What stops the process. Its causes are logged.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments
        .next_if(|first| first == lint_command::NAME)
        .is_some()
    {
        return lint_command::run(arguments);
    }
    process::install_crypto_provider();
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return process::fail(&PROGRAM, &error),
    };
    // Invalid settings are reported first; a cluster that cannot be found is reported afterwards.
    let cluster = runtime.block_on(kubernetes::infer_config());
    let config = match load_settings(cluster.as_ref().ok()) {
        Ok(config) => config,
        Err(error) => return error.print(PROGRAM.name),
    };
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => return process::fail(&PROGRAM, &error),
    };
    let (telemetry, identity) = (config.telemetry.clone(), config.lease.identity.clone());
    let serving = serve(config, cluster);
    process::run(runtime, &PROGRAM, &telemetry, &identity, serving)
}

fn load_settings(cluster: Option<&kube::Config>) -> Result<Config, LoadError> {
    let host = HostInfo {
        namespace: cluster.map(|cluster| cluster.default_namespace.clone()),
        hostname: fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned()),
        nonce: rand::random(),
    };
    config::load(std::env::args_os(), &process::environment(), &host)
}

/// Serves HTTP while the controller runs. Probes are answered from before the Lease is acquired
/// until it is released.
async fn serve(config: Config, cluster: kube::Config) -> Result<(), Error> {
    info!(
        kube.namespace = config.kube.namespace,
        kube.url = %cluster.cluster_url,
        "using the Kubernetes API"
    );
    let (health, metrics) = (Health::new(), Arc::new(Metrics::new()));
    let client = kubernetes::client(cluster, &PROGRAM, config.kube.call_timeout, metrics.clone())?;
    let probes = ProcessProbes {
        health: health.clone(),
        metrics: Arc::clone(&metrics),
    };
    let operations =
        OperationsServer::start("http-listen", config.process.http_listen, Arc::new(probes))?;
    let stopping = health.clone();
    let stop = service_kit::shutdown_signal(move || stopping.set_role(Role::Stopping))?;
    let result = lead(config, client, health, metrics, stop).await;
    operations.stop().await;
    result
}

/// What the HTTP server reports about this process.
struct ProcessProbes {
    health: Health,
    metrics: Arc<Metrics>,
}

impl Probes for ProcessProbes {
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
) -> Result<(), Error> {
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
            return Err(format!(
                "failed to abort the running steps within {} s after shutdown-grace",
                ABORT_TIMEOUT.as_secs()
            )
            .into());
        }
    };
    metrics.set_leader(false);
    held.release().await;
    if ended.is_ok() {
        info!("stopped");
    }
    Ok(ended?)
}

/// Returns when the grace period after `stop` has expired.
async fn grace_expired(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}
