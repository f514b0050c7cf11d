//! What all crash tests share: one cluster without a controller, and lanes that controllers run in one after the other.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use hyper::{Method, Uri};
use neon_emulator::{Emulator, Latency, Limits};
use serde_json::{Value, json};
use tests::cluster::{RELEASE, SYSTEM_NAMESPACE};
use tests::emulator::Watched;
use tests::gate::Gate;
use tests::gate::data::DataRelay;
use tests::gate::http::{HttpRelay, Upstream, kubernetes_effect, neon_effect};
use tests::{Cluster, ClusterOptions, command, suite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Controllers that run at once, each in a lane.
pub(crate) const LANES: usize = 3;
const CLASSES: &str = "/apis/dbpertenant.dev/v1alpha1/tenantclasses";

static STAGE: tokio::sync::Mutex<Option<Arc<Stage>>> = tokio::sync::Mutex::const_new(None);

/// The shared cluster and its lanes.
pub(crate) struct Stage {
    pub(crate) cluster: Arc<Cluster>,
    lanes: Mutex<Vec<Lane>>,
    places: Arc<Semaphore>,
}

/// A way from one controller to the servers, through a gate; and an account of its own behind it.
pub(crate) struct Lane {
    pub(crate) gate: Gate,
    pub(crate) emulator: Watched,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) neon: HttpRelay,
    /// The one class that the controller gets to see; the others belong to the other lanes.
    class: Arc<Mutex<String>>,
    _kube: HttpRelay,
    _data: DataRelay,
}

/// A lane that is in use. Dropping it gives it back.
pub(crate) struct Place {
    stage: Arc<Stage>,
    lane: Option<Lane>,
    _permit: OwnedSemaphorePermit,
}

/// The stage; the first who asks starts it.
pub(crate) async fn stage() -> Result<Arc<Stage>> {
    let mut shared = STAGE.lock().await;
    if let Some(stage) = &*shared {
        return Ok(Arc::clone(stage));
    }
    let stage = Arc::new(Stage::start().await?);
    *shared = Some(Arc::clone(&stage));
    Ok(stage)
}

/// Ends the stage, if there was one, and checks its cluster as a whole.
pub(crate) async fn end() -> Result<()> {
    let Some(stage) = STAGE.lock().await.take() else {
        return Ok(());
    };
    let stage = Arc::into_inner(stage).context("a test still holds the stage")?;
    for lane in stage
        .lanes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        lane.emulator.kept_to_the_document()?;
        stage.cluster.note(&lane.emulator).await?;
        lane.emulator.stop().await;
    }
    suite::end(stage.cluster).await
}

impl Stage {
    async fn start() -> Result<Self> {
        let options = ClusterOptions::default()
            .replicas(0)
            .setting("log-filter", "info")
            .setting("neon-create-settle-window", "2s");
        let cluster = Arc::new(Cluster::start(options).await?);
        allow_any_lease(&cluster).await?;
        let mut lanes = Vec::new();
        for number in 0..LANES {
            lanes.push(Lane::new(&cluster, number).await?);
        }
        Ok(Self {
            cluster,
            lanes: Mutex::new(lanes),
            places: Arc::new(Semaphore::new(LANES)),
        })
    }

    /// Waits for a lane.
    pub(crate) async fn place(self: &Arc<Self>) -> Result<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await?;
        let lane = self
            .lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(Place {
            stage: Arc::clone(self),
            lane,
            _permit: permit,
        })
    }
}

impl Lane {
    async fn new(cluster: &Cluster, number: usize) -> Result<Self> {
        let gate = Gate::default();
        let data = DataRelay::start(gate.clone()).await?;
        let builder = Emulator::builder()
            .postgres(cluster.postgres_uri())
            .control_database(format!("lane_{number}"))
            .advertised_data_port(data.port());
        let emulator = Watched::start(
            builder,
            cluster.computes(),
            Latency::instant(),
            Limits::default(),
        )
        .await?;
        data.lead_to(emulator.data_addr().port());
        let neon = HttpRelay::start(
            gate.clone(),
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
            kube_relay(cluster, number, gate.clone(), Arc::clone(&class)).await?;
        Ok(Self {
            gate,
            emulator,
            kubeconfig,
            neon,
            class,
            _kube: kube,
            _data: data,
        })
    }

    /// Shows the controller this class and no other.
    pub(crate) fn show_class(&self, name: &str) {
        name.clone_into(&mut self.class.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The chart allows the one Lease that it names; here each controller has its own.
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

/// The API server by plain HTTP, with the same token: the relay has to read the requests.
async fn kube_relay(
    cluster: &Cluster,
    number: usize,
    gate: Gate,
    class: Arc<Mutex<String>>,
) -> Result<(HttpRelay, PathBuf)> {
    let direct = cluster.controller_options("lane").kubeconfig;
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(direct)?)?;
    let server = &mut kubeconfig["clusters"][0]["cluster"];
    let ca = server["certificate-authority"]
        .as_str()
        .context("the kubeconfig names no authority")?;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca)?)?;
    let base = server["server"]
        .as_str()
        .context("the kubeconfig names no server")?
        .to_owned();
    let relay = HttpRelay::start(
        gate,
        Upstream {
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([ca])
                .build()?,
            base,
            effect: kubernetes_effect,
            rewrite: Box::new(move |method, uri| match uri.path() {
                CLASSES if method == Method::GET => {
                    let class = class.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Deref for Place {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        match &self.lane {
            Some(lane) => lane,
            None => unreachable!(
                "there are as many lanes as permits, and it is given back by drop only"
            ),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.gate.disarm();
            lane.gate.open();
            lane.emulator.faults().clear();
            self.stage
                .lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(lane);
        }
    }
}
