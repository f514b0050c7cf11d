//! What all crash tests share: a cluster without a controller, and lanes in which controllers run
//! one after the other.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::{Method, Uri};
use neon_emulator::Emulator;
use parking_lot::Mutex;
use serde_json::{Value, json};
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::crash_injection::CrashInjector;
use test_support::crash_injection::database_relay::DatabaseRelay;
use test_support::crash_injection::http_relay::{
    HttpRelay, Upstream, kubernetes_effect, neon_effect,
};
use test_support::emulator::{self, TestEmulator, plan_limits};
use test_support::{Cluster, ClusterOptions, command, suite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of controllers that run in parallel, each in its own lane.
pub(crate) const LANES: usize = 3;
const CLASSES: &str = "/apis/dbpertenant.dev/v1alpha1/tenantclasses";

static FIXTURE: tokio::sync::Mutex<Option<Arc<Fixture>>> = tokio::sync::Mutex::const_new(None);

pub(crate) struct Fixture {
    pub(crate) cluster: Arc<Cluster>,
    lanes: Mutex<Vec<Lane>>,
    permits: Arc<Semaphore>,
}

/// Relays with a crash injector between a controller and the servers, and an emulator with its own
/// account.
pub(crate) struct Lane {
    pub(crate) injector: CrashInjector,
    pub(crate) emulator: TestEmulator,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) neon: HttpRelay,
    /// The only class that the controller sees; the others belong to other lanes.
    class: Arc<Mutex<String>>,
    _kube: HttpRelay,
    _data: DatabaseRelay,
}

/// A lane in use. Dropping it returns the lane.
pub(crate) struct LaneGuard {
    fixture: Arc<Fixture>,
    lane: Option<Lane>,
    _permit: OwnedSemaphorePermit,
}

/// The shared fixture; the first call starts it.
pub(crate) async fn fixture() -> Result<Arc<Fixture>> {
    let mut shared = FIXTURE.lock().await;
    if let Some(fixture) = &*shared {
        return Ok(Arc::clone(fixture));
    }
    let fixture = Arc::new(Fixture::start().await?);
    *shared = Some(Arc::clone(&fixture));
    Ok(fixture)
}

/// Stops the fixture if it was started, and checks its cluster.
pub(crate) async fn stop() -> Result<()> {
    let Some(fixture) = FIXTURE.lock().await.take() else {
        return Ok(());
    };
    let fixture = Arc::into_inner(fixture).context("a test still uses the fixture")?;
    for lane in fixture.lanes.into_inner() {
        lane.emulator.check_conformance()?;
        fixture.cluster.record_emulator(&lane.emulator).await?;
        lane.emulator.stop().await;
    }
    suite::check_and_stop(fixture.cluster).await
}

impl Fixture {
    async fn start() -> Result<Self> {
        let options = ClusterOptions::default()
            .replicas(0)
            .setting("log-filter", "info")
            .setting("neon-create-verification-window", "2s");
        let cluster = Arc::new(Cluster::start(options).await?);
        allow_any_lease(&cluster).await?;
        let mut lanes = Vec::new();
        for number in 0..LANES {
            lanes.push(Lane::new(&cluster, number).await?);
        }
        Ok(Self {
            cluster,
            lanes: Mutex::new(lanes),
            permits: Arc::new(Semaphore::new(LANES)),
        })
    }

    /// Waits for a free lane.
    pub(crate) async fn lane(self: &Arc<Self>) -> Result<LaneGuard> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let lane = self.lanes.lock().pop();
        Ok(LaneGuard {
            fixture: Arc::clone(self),
            lane,
            _permit: permit,
        })
    }
}

impl Lane {
    async fn new(cluster: &Cluster, number: usize) -> Result<Self> {
        let injector = CrashInjector::default();
        let data = DatabaseRelay::start(injector.clone()).await?;
        let builder = Emulator::builder()
            .postgres(cluster.postgres_uri())
            .control_database(format!("lane_{number}"))
            .advertised_data_port(data.port());
        let emulator = TestEmulator::start(
            builder,
            cluster.compute_suspension(),
            emulator::latency()?,
            plan_limits()?,
        )
        .await?;
        data.set_target(emulator.data_addr().port());
        let neon = HttpRelay::start(
            injector.clone(),
            Upstream {
                client: reqwest::Client::builder().no_proxy().build()?,
                base: emulator.api_url().trim_end_matches("/api/v2").to_owned(),
                effect: neon_effect,
                rewrite: Box::new(|_, uri| path(uri)),
            },
        )
        .await?;
        let class = Arc::new(Mutex::new(String::new()));
        let (kube, kubeconfig) =
            kube_relay(cluster, number, injector.clone(), Arc::clone(&class)).await?;
        Ok(Self {
            injector,
            emulator,
            kubeconfig,
            neon,
            class,
            _kube: kube,
            _data: data,
        })
    }

    /// Restricts the controller to this class.
    pub(crate) fn show_class(&self, name: &str) {
        name.clone_into(&mut self.class.lock());
    }
}

/// The chart grants access to a single Lease, but here each controller has its own.
async fn allow_any_lease(cluster: &Cluster) -> Result<()> {
    let account = format!("--serviceaccount={SYSTEM_NAMESPACE}:{RELEASE}");
    for arguments in [
        &[
            "create",
            "role",
            "any-lease",
            "--verb=get,create,update,patch",
            "--resource=leases.coordination.k8s.io",
        ][..],
        &[
            "create",
            "rolebinding",
            "any-lease",
            "--role=any-lease",
            &account,
        ],
    ] {
        let mut kubectl = cluster.kubectl(&["--namespace", SYSTEM_NAMESPACE]);
        kubectl.args(arguments);
        command::output(kubectl).await?;
    }
    Ok(())
}

/// A relay to the API server over plain HTTP with the same token, because the relay has to read the
/// requests.
async fn kube_relay(
    cluster: &Cluster,
    number: usize,
    injector: CrashInjector,
    class: Arc<Mutex<String>>,
) -> Result<(HttpRelay, PathBuf)> {
    let direct = cluster.controller_options("lane").kubeconfig;
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(direct)?)?;
    let server = &mut kubeconfig["clusters"][0]["cluster"];
    let ca = server["certificate-authority"]
        .as_str()
        .context("the kubeconfig has no certificate authority")?;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca)?)?;
    let base = server["server"]
        .as_str()
        .context("the kubeconfig has no server")?
        .to_owned();
    let relay = HttpRelay::start(
        injector,
        Upstream {
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([ca])
                .build()?,
            base,
            effect: kubernetes_effect,
            rewrite: Box::new(move |method, uri| match uri.path() {
                CLASSES if method == Method::GET => {
                    let class = class.lock();
                    format!(
                        "{}?{}&fieldSelector=metadata.name%3D{class}",
                        uri.path(),
                        uri.query().unwrap_or_default()
                    )
                }
                _ => path(uri),
            }),
        },
    )
    .await?;
    *server = json!({ "server": format!("http://127.0.0.1:{}", relay.port()) });
    let file = cluster.folder().join(format!("lane-{number}.kubeconfig"));
    std::fs::write(&file, kubeconfig.to_string())?;
    Ok((relay, file))
}

fn path(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(String::new, ToString::to_string)
}

impl Deref for LaneGuard {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        match &self.lane {
            Some(lane) => lane,
            None => {
                unreachable!("there are as many lanes as permits, and only drop returns a lane")
            }
        }
    }
}

impl Drop for LaneGuard {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.injector.disarm();
            lane.injector.unblock();
            lane.emulator.faults().clear();
            self.fixture.lanes.lock().push(lane);
        }
    }
}
