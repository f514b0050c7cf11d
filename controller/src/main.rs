//! The process: settings, telemetry, its HTTP port, the Lease, and then the reconciler until it is asked to stop.
//!
//! Exit codes: 0 after a stop that was asked for and let every running step come to its end, 1 after a failure or a stop that did not,
//! 2 for wrong settings, 3 when the Lease was lost.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use controller::config::{self, Config, LoadError, Machine};
use controller::kube_client;
use controller::health::{Health, Role};
use controller::leadership::LeaderElection;
use controller::run::{Dependencies, run};
use controller::telemetry::{self, Metrics};
use service_kit::http::Server;
use service_kit::http::operations;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Wrong settings.
const EXIT_SETTINGS: u8 = 2;
/// The Lease was lost.
const EXIT_LEASE_LOST: i32 = 3;
/// Threads for what cannot be awaited (name resolution, files), at most. Each may keep some memory of its own.
const BLOCKING_THREADS_MAX: usize = 32;
/// Limit on the end of tasks that outlived their owners, when the process ends.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Fails only if a provider is set already, which will do as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Wrong settings are told first, so what is wrong with the cluster is kept for later.
    let cluster = find_cluster();
    let config = match settings(cluster.as_ref().ok()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let started = cluster.and_then(|cluster| Ok((cluster, runtime(&config)?)));
    let (cluster, runtime) = match started {
        Ok(started) => started,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(live(config, cluster));
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    code
}

/// Where the API server is, and as whom to talk to it.
fn find_cluster() -> anyhow::Result<kube::Config> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(kube_client::infer_config())?)
}

/// The settings; prints what is wrong with them, or the help that was asked for.
fn settings(cluster: Option<&kube::Config>) -> Result<Config, ExitCode> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let machine = Machine {
        namespace: cluster.map(|cluster| cluster.default_namespace.clone()),
        hostname: fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned()),
        nonce: rand::random(),
    };
    config::load(std::env::args_os(), &env, &machine).map_err(|error| match error {
        LoadError::CommandLine(error) => {
            // Without a place to print to, the exit code has to do.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_SETTINGS))
        }
        error => {
            eprintln!("{error}");
            ExitCode::from(EXIT_SETTINGS)
        }
    })
}

fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(config.limits.worker_threads.get())
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("the runtime cannot be started")
}

/// Everything between the settings and the exit code.
async fn live(config: Config, cluster: kube::Config) -> ExitCode {
    let identity = config.lease.identity.clone();
    let traces = match service_kit::telemetry::start(
        &telemetry::PROGRAM,
        &config.log,
        config.trace.as_ref(),
        &identity,
    ) {
        Ok(traces) => traces,
        Err(error) => return failed(&error.into()),
    };
    info!(
        lease.identity = identity,
        kube.namespace = config.kube.namespace,
        kube.url = %cluster.cluster_url,
        "tenant-controller {} starts; the Kubernetes API is at {}",
        env!("CARGO_PKG_VERSION"),
        cluster.cluster_url
    );
    let ending = serve(config, cluster).await;
    if let Err(error) = &ending {
        error!(error = %format!("{error:#}"), "The controller ends: {error:#}");
    }
    traces.flush().await;
    match ending {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The HTTP port around everything else: probes are answered from before the Lease is taken until it is given back.
async fn serve(config: Config, cluster: kube::Config) -> anyhow::Result<()> {
    let (health, metrics) = (Health::new(), Arc::new(Metrics::new()));
    let client = kube_client::build(cluster, &config.kube, Arc::clone(&metrics))?;
    let server = Server::bind(config.http.listen).await.with_context(|| {
        format!(
            "http-listen is {}, which cannot be opened",
            config.http.listen
        )
    })?;
    let address = server.address();
    info!(http.address = %address, "Serving /livez, /readyz and /metrics on {address}");
    let end_of_http = CancellationToken::new();
    let vitals = Process {
        health: health.clone(),
        metrics: Arc::clone(&metrics),
    };
    let serving = tokio::spawn(server.serve(
        operations::router(Arc::new(vitals)),
        operations::BOUNDS,
        end_of_http.clone(),
    ));
    let stopping = health.clone();
    let stop = service_kit::stop::on_signal(move || stopping.set_role(Role::Stopping))
        .context("signals cannot be received")?;
    let ending = lead(config, client, health, metrics, stop).await;
    end_of_http.cancel();
    serving.await.context("the HTTP port ended")?;
    ending
}

/// What the HTTP port says of this process.
struct Process {
    health: Health,
    metrics: Arc<Metrics>,
}

impl operations::Vitals for Process {
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

/// Waits for the Lease, reconciles while it is held, gives it back.
async fn lead(
    config: Config,
    client: kube::Client,
    health: Health,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let grace = config.limits.shutdown_grace;
    let lease = LeaderElection::new(client.clone(), &config.kube.namespace, &config.lease);
    let Some(held) = lease.acquire(&health, &stop).await else {
        info!("Stopped while standing by");
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
        guard: held.guard(),
        stop: stop.clone(),
    });
    let ended = tokio::select! {
        biased;
        () = lost.cancelled() => {
            error!("The process ends at once, so that nothing acts without the Lease");
            // Whatever is running ends with the process, within what is left of the Lease.
            std::process::exit(EXIT_LEASE_LOST);
        }
        ended = reconciling => ended,
        () = grace_over(&stop, grace) => {
            // Steps may still be running, so the Lease is not given back: it expires when they are surely over.
            anyhow::bail!("steps were still running after {} s and were abandoned", grace.as_secs());
        }
    };
    metrics.set_leader(false);
    held.release().await;
    if ended.is_ok() {
        info!("Stopped; every step came to its end");
    }
    ended.map_err(anyhow::Error::from)
}

/// Returns when the grace period after `stop` is over.
async fn grace_over(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// For failures before there are log lines.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("tenant-controller: {error:#}");
    ExitCode::FAILURE
}
