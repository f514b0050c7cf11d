//! What a benchmark runs on: the tests' cluster, and beside it an emulator and controllers as processes of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::TenantClass;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::{Api, Client};
use local_servers::process::Supervised;
use neon_client::{AccountQuota, Neon};
use neon_emulator::SeededProject;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::cluster::{SYSTEM_NAMESPACE, create_namespace};
use tests::{Cluster, ClusterOptions, wait};
use xtask::controller::ControllerProcess;

/// Where the Tenants live that the controller sees.
pub(crate) const NAMESPACE: &str = "bench";
/// Where those live that it does not see: the bare work of the floor is done there.
pub(crate) const FLOOR_NAMESPACE: &str = "floor";
/// The control database of the emulator; the tests' own has another.
const CONTROL_DATABASE: &str = "bench_emulator";
/// From the start of the emulator to its ready file.
const EMULATOR_START: Duration = Duration::from_secs(30);
/// One question to the emulator; a seed of thousands is the longest.
const EMULATOR_CALL: Duration = Duration::from_mins(2);
/// Projects of one seeding call.
const SEED_PROJECTS: usize = 2_000;

/// A cluster, an emulator and clients of both.
pub(crate) struct World {
    cluster: Cluster,
    http: reqwest::Client,
    admin_url: String,
    api_url: String,
    ca_pem: String,
    _emulator: Supervised,
}

#[derive(Deserialize)]
struct ReadyFile {
    api_url: String,
    admin_url: String,
}

/// What the emulator counted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counted {
    /// Calls by operation.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Connections ever signed in, by project.
    pub(crate) connections: BTreeMap<String, u64>,
}

impl Counted {
    /// All calls.
    pub(crate) fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}

impl World {
    /// Starts everything but the controller. The class `default` leads to the emulator, whose calls take the times of `preset`.
    pub(crate) async fn start(preset: &str) -> Result<Self> {
        // On the heap: the way to a whole cluster is a large future.
        Box::pin(Self::start_all(preset)).await
    }

    async fn start_all(preset: &str) -> Result<Self> {
        let options = ClusterOptions {
            settings: BTreeMap::new(),
            replicas: 0,
            ..ClusterOptions::default().awake()
        };
        let cluster = Cluster::start(options).await?;
        for namespace in [NAMESPACE, FLOOR_NAMESPACE] {
            create_namespace(&cluster.client(), namespace).await?;
        }
        let ca_file = cluster.folder().join("bench-ca.pem");
        let (emulator, ready) = start_emulator(&cluster, preset, &ca_file).await?;
        let world = Self {
            http: reqwest::Client::builder().timeout(EMULATOR_CALL).build()?,
            admin_url: ready.admin_url,
            api_url: ready.api_url,
            ca_pem: std::fs::read_to_string(&ca_file)?,
            _emulator: emulator,
            cluster,
        };
        let mut spec = world.cluster.class_spec();
        spec["neon"]["baseUrl"] = json!(world.api_url);
        spec["neon"]["caBundle"] = json!(world.ca_pem);
        // Where a class leads cannot be changed: another takes its place, before any Tenant names it.
        let classes: Api<TenantClass> = Api::all(world.client());
        classes
            .delete(crds::DEFAULT_CLASS, &DeleteParams::default())
            .await?;
        world
            .cluster
            .apply_class(crds::DEFAULT_CLASS, &spec)
            .await?;
        Ok(world)
    }

    /// A client with an administrator's rights.
    pub(crate) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The authority of the databases' certificates.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The audit log, rotated parts included.
    pub(crate) fn audit_logs(&self) -> Result<Vec<std::path::PathBuf>> {
        let log = self
            .cluster
            .plane()
            .audit_log()
            .context("the control plane keeps no audit log")?;
        let folder = log.parent().context("the audit log is in no folder")?;
        let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        let logs = entries.into_iter().filter(|entry| {
            entry.file_name().to_string_lossy().starts_with("audit")
                && entry.path().extension().is_some_and(|end| end == "log")
        });
        Ok(logs.map(|entry| entry.path()).collect())
    }

    /// A client of the account with a quota of its own.
    pub(crate) fn neon(&self, quota: AccountQuota) -> Result<Neon> {
        let builder = Neon::builder()
            .api_key(self.api_key().to_owned().into())
            .base_url(self.api_url.parse()?);
        Ok(builder.quota(quota).build()?)
    }

    fn api_key(&self) -> &str {
        self.cluster.emulator().api_key()
    }

    /// Starts the controller as the chart says, with further settings, and does not wait until it is ready.
    pub(crate) fn spawn_controller(
        &self,
        settings: &[(&str, String)],
    ) -> Result<ControllerProcess> {
        let mut options = self.cluster.controller_options("bench");
        options
            .arguments
            .push(format!("--watch-namespaces={NAMESPACE}").into());
        options.arguments.extend(
            settings
                .iter()
                .map(|(name, value)| format!("--{name}={value}").into()),
        );
        ControllerProcess::spawn(&options)
    }

    /// The same, and waits.
    pub(crate) async fn start_controller(
        &self,
        settings: &[(&str, String)],
    ) -> Result<ControllerProcess> {
        let mut controller = self.spawn_controller(settings)?;
        controller.wait_until_ready().await?;
        Ok(controller)
    }

    /// Ends a controller as a roll-out does; when this returns, its Lease is free.
    pub(crate) async fn stop_controller(&self, controller: ControllerProcess) -> Result<()> {
        controller.terminate().await;
        let leases: Api<Lease> = Api::namespaced(self.client(), SYSTEM_NAMESPACE);
        wait::until(
            &leases,
            "tenant-controller",
            EMULATOR_START,
            "free",
            |lease| {
                let holder =
                    lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
                holder.is_none_or(str::is_empty)
            },
        )
        .await?;
        Ok(())
    }

    /// What the emulator counted since it started, or since [`World::reset_calls`].
    pub(crate) async fn counted(&self) -> Result<Counted> {
        let answer = self
            .http
            .get(format!("{}/calls", self.admin_url))
            .bearer_auth(self.api_key())
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Counts calls again from zero.
    pub(crate) async fn reset_calls(&self) -> Result<()> {
        let answer = self
            .http
            .delete(format!("{}/calls", self.admin_url))
            .bearer_auth(self.api_key())
            .send()
            .await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Makes ready projects with these names, without databases.
    pub(crate) async fn seed_projects(
        &self,
        template: Value,
        names: &[String],
    ) -> Result<Vec<SeededProject>> {
        #[derive(Deserialize)]
        struct Answer {
            projects: Vec<SeededProject>,
        }
        let mut seeded = Vec::new();
        for names in names.chunks(SEED_PROJECTS) {
            let body = json!({"project": template, "names": names});
            let request = self
                .http
                .post(format!("{}/projects", self.admin_url))
                .bearer_auth(self.api_key());
            let answer = request
                .header("content-type", "application/json")
                .body(body.to_string())
                .send()
                .await?;
            ensure!(
                answer.status().is_success(),
                "the emulator does not seed: {}",
                answer.text().await?
            );
            seeded.extend(answer.json::<Answer>().await?.projects);
        }
        Ok(seeded)
    }

    /// Stops everything.
    pub(crate) async fn stop(self) {
        let Self {
            cluster,
            _emulator: emulator,
            ..
        } = self;
        emulator.stop().await;
        cluster.stop().await;
    }
}

async fn start_emulator(
    cluster: &Cluster,
    preset: &str,
    ca_file: &Path,
) -> Result<(Supervised, ReadyFile)> {
    let ready_file = cluster.folder().join("bench-emulator.json");
    let program = std::env::current_exe()?.with_file_name("neon-emulator");
    ensure!(
        program.is_file(),
        "{} is missing: build it with the same profile",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "--control-database",
            CONTROL_DATABASE,
            "--latency",
            preset,
        ])
        .arg("--ca-file")
        .arg(ca_file)
        .arg("--ready-file")
        .arg(&ready_file)
        .env("NEON_EMULATOR_POSTGRES", cluster.postgres_uri())
        .env("NEON_EMULATOR_API_KEY", cluster.emulator().api_key())
        .env("RUST_LOG", "warn");
    let emulator = Arc::new(std::sync::Mutex::new(Supervised::spawn(
        &command,
        &cluster.folder().join("bench-emulator.log"),
    )?));
    let watched = Arc::clone(&emulator);
    let text = wait::poll(EMULATOR_START, "the emulator's ready file", || {
        let (watched, ready_file) = (Arc::clone(&watched), ready_file.clone());
        async move {
            let mut emulator = watched.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            ensure!(
                emulator.exited()?.is_none(),
                "the emulator ended: {}",
                emulator.log_tail(20)
            );
            Ok(std::fs::read_to_string(&ready_file).ok())
        }
    })
    .await?;
    drop(watched);
    let emulator = Arc::into_inner(emulator).and_then(|emulator| emulator.into_inner().ok());
    Ok((
        emulator.context("somebody still holds the emulator")?,
        serde_json::from_str(&text)?,
    ))
}

/// A controller's process id.
pub(crate) fn pid(controller: &ControllerProcess) -> Result<u32> {
    controller.pid().context("the controller has no process id")
}
