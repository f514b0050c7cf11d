//! The environment of a benchmark: a test cluster, and an emulator and controllers as separate
//! processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
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
use local_stack::controller::ControllerProcess;
use neon_client::{AccountQuota, Neon};
use neon_emulator::SeededProject;
use serde::Deserialize;
use serde_json::{Value, json};
use test_support::cluster::{SYSTEM_NAMESPACE, create_namespace};
use test_support::{Cluster, ClusterOptions, wait};

/// The namespace of the Tenants that the controller reconciles.
pub(crate) const NAMESPACE: &str = "bench";
/// The namespace of the baseline's Tenants, which the controller does not watch.
pub(crate) const BASELINE_NAMESPACE: &str = "baseline";
/// The emulator's control database; the test cluster's own emulator has another.
const CONTROL_DATABASE: &str = "bench_emulator";
/// From the start of the emulator until its ready file exists.
const EMULATOR_START_TIMEOUT: Duration = Duration::from_secs(30);
/// For one request to the emulator. Seeding thousands of projects takes longest.
const EMULATOR_CALL_TIMEOUT: Duration = Duration::from_mins(2);
/// Projects per seeding request.
const SEED_PROJECTS: usize = 2_000;

pub(crate) struct Environment {
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

/// The emulator's counters.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counters {
    /// Calls per operation.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Authenticated connections per project.
    pub(crate) connections: BTreeMap<String, u64>,
}

impl Counters {
    pub(crate) fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Pages of listings of projects.
    pub(crate) fn listed_pages(&self) -> u64 {
        self.calls.get("listProjects").copied().unwrap_or_default()
    }
}

impl Environment {
    /// Starts everything except the controller. The class `default` uses the emulator, whose
    /// latencies are those of `preset`.
    pub(crate) async fn start(preset: &str) -> Result<Self> {
        Self::start_with(&["--latency", preset]).await
    }

    /// Like [`Environment::start`], with these arguments of the emulator.
    pub(crate) async fn start_with(emulator: &[&str]) -> Result<Self> {
        // On the heap, because the future is large.
        Box::pin(Self::start_all(emulator)).await
    }

    async fn start_all(emulator: &[&str]) -> Result<Self> {
        let options = ClusterOptions {
            settings: BTreeMap::new(),
            replicas: 0,
            ..ClusterOptions::default().real_time_suspension()
        };
        let cluster = Cluster::start(options).await?;
        for namespace in [NAMESPACE, BASELINE_NAMESPACE] {
            create_namespace(&cluster.client(), namespace).await?;
        }
        let ca_file = cluster.folder().join("bench-ca.pem");
        let (emulator, ready) = start_emulator(&cluster, emulator, &ca_file).await?;
        let environment = Self {
            http: reqwest::Client::builder()
                .timeout(EMULATOR_CALL_TIMEOUT)
                .build()?,
            admin_url: ready.admin_url,
            api_url: ready.api_url,
            ca_pem: std::fs::read_to_string(&ca_file)?,
            _emulator: emulator,
            cluster,
        };
        // A class's base URL is immutable, so the class is replaced before a Tenant refers to it.
        let classes: Api<TenantClass> = Api::all(environment.client());
        classes
            .delete(crds::DEFAULT_CLASS, &DeleteParams::default())
            .await?;
        environment.apply_class(&json!({})).await?;
        Ok(environment)
    }

    /// Applies the class `default` with further fields of its spec.
    pub(crate) async fn apply_class(&self, fields: &Value) -> Result<()> {
        let mut spec = self.cluster.class_spec();
        spec["neon"]["baseUrl"] = json!(self.api_url);
        spec["neon"]["caBundle"] = json!(self.ca_pem);
        for (name, value) in fields.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        self.cluster.apply_class(crds::DEFAULT_CLASS, &spec).await?;
        Ok(())
    }

    /// A client with administrator permissions.
    pub(crate) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The CA certificate of the databases.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The audit log, including rotated files.
    fn audit_logs(&self) -> Result<Vec<std::path::PathBuf>> {
        let log = self
            .cluster
            .plane()
            .audit_log()
            .context("the control plane keeps no audit log")?;
        let folder = log.parent().context("the audit log has no parent folder")?;
        let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        let logs = entries.into_iter().filter(|entry| {
            entry.file_name().to_string_lossy().starts_with("audit")
                && entry.path().extension().is_some_and(|end| end == "log")
        });
        Ok(logs.map(|entry| entry.path()).collect())
    }

    /// The controller's writes to the Kubernetes API, without its Lease, from the API server's audit
    /// log.
    pub(crate) fn writes(&self, since: jiff::Timestamp) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut requests = 0_usize;
        for log in self.audit_logs()? {
            for line in BufReader::new(File::open(log)?).lines() {
                let line = line?;
                if !line.contains("system:serviceaccount:tenant-system:") {
                    continue;
                }
                let event: Value =
                    serde_json::from_str(&line).context("failed to parse the audit log")?;
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                let at: jiff::Timestamp = text("requestReceivedTimestamp").parse()?;
                if at < since {
                    continue;
                }
                requests += 1;
                let (verb, path) = (text("verb"), text("requestURI"));
                let path = path.split('?').next().unwrap_or_default().to_owned();
                if !matches!(verb.as_str(), "get" | "list" | "watch") && !path.contains("/leases") {
                    found.push(format!("{verb} {path}"));
                }
            }
        }
        ensure!(
            requests > 0,
            "the audit log contains no request of the controller, so this benchmark proves nothing"
        );
        Ok(found)
    }

    /// A client of the Neon API with this quota.
    pub(crate) fn neon(&self, quota: AccountQuota) -> Result<Neon> {
        let builder = Neon::builder()
            .api_key(self.api_key().to_owned().into())
            .base_url(self.api_url.parse()?);
        Ok(builder.quota(quota).build()?)
    }

    fn api_key(&self) -> &str {
        self.cluster.emulator().api_key()
    }

    /// Starts the controller with the chart's arguments and further settings, without waiting.
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

    /// Like [`Environment::spawn_controller`], and waits until the controller is ready.
    pub(crate) async fn start_controller(
        &self,
        settings: &[(&str, String)],
    ) -> Result<ControllerProcess> {
        let mut controller = self.spawn_controller(settings)?;
        controller.wait_until_ready().await?;
        Ok(controller)
    }

    /// Terminates a controller and waits until its Lease is released.
    pub(crate) async fn stop_controller(&self, controller: ControllerProcess) -> Result<()> {
        controller.terminate().await;
        let leases: Api<Lease> = Api::namespaced(self.client(), SYSTEM_NAMESPACE);
        wait::until(
            &leases,
            "tenant-controller",
            EMULATOR_START_TIMEOUT,
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

    /// The counters since the emulator's start or the last [`Environment::reset_calls`].
    pub(crate) async fn counters(&self) -> Result<Counters> {
        let response = self
            .http
            .get(format!("{}/calls", self.admin_url))
            .bearer_auth(self.api_key())
            .send()
            .await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Resets the counters of calls.
    pub(crate) async fn reset_calls(&self) -> Result<()> {
        let response = self
            .http
            .delete(format!("{}/calls", self.admin_url))
            .bearer_auth(self.api_key())
            .send()
            .await?;
        response.error_for_status()?;
        Ok(())
    }

    /// Creates ready projects with these names and without databases.
    pub(crate) async fn seed_projects(
        &self,
        template: Value,
        names: &[String],
    ) -> Result<Vec<SeededProject>> {
        #[derive(Deserialize)]
        struct Seeded {
            projects: Vec<SeededProject>,
        }
        let mut seeded = Vec::new();
        for names in names.chunks(SEED_PROJECTS) {
            let body = json!({"project": template, "names": names});
            let request = self
                .http
                .post(format!("{}/projects", self.admin_url))
                .bearer_auth(self.api_key());
            let response = request
                .header("content-type", "application/json")
                .body(body.to_string())
                .send()
                .await?;
            ensure!(
                response.status().is_success(),
                "the emulator failed to seed projects: {}",
                response.text().await?
            );
            seeded.extend(response.json::<Seeded>().await?.projects);
        }
        Ok(seeded)
    }

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
    arguments: &[&str],
    ca_file: &Path,
) -> Result<(Supervised, ReadyFile)> {
    let ready_file = cluster.folder().join("bench-emulator.json");
    let program = std::env::current_exe()?.with_file_name("neon-emulator");
    ensure!(
        program.is_file(),
        "{} does not exist: build it with the same profile",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args(["serve", "--control-database", CONTROL_DATABASE])
        .args(arguments)
        .arg("--ca-file")
        .arg(ca_file)
        .arg("--ready-file")
        .arg(&ready_file)
        .env("NEON_EMULATOR_POSTGRES", cluster.postgres_uri())
        .env("NEON_EMULATOR_API_KEY", cluster.emulator().api_key())
        .env("NEON_EMULATOR_FIXED_UPDATED_AT", "true")
        .env("RUST_LOG", "warn");
    let emulator = Arc::new(parking_lot::Mutex::new(Supervised::spawn(
        &command,
        &cluster.folder().join("bench-emulator.log"),
    )?));
    let polled = Arc::clone(&emulator);
    let text = wait::poll(EMULATOR_START_TIMEOUT, "the emulator's ready file", || {
        let (polled, ready_file) = (Arc::clone(&polled), ready_file.clone());
        async move {
            let mut emulator = polled.lock();
            ensure!(
                emulator.exited()?.is_none(),
                "the emulator exited: {}",
                emulator.log_tail(20)
            );
            Ok(std::fs::read_to_string(&ready_file).ok())
        }
    })
    .await?;
    drop(polled);
    let emulator = Arc::into_inner(emulator).map(parking_lot::Mutex::into_inner);
    Ok((
        emulator.context("the emulator is still in use")?,
        serde_json::from_str(&text)?,
    ))
}

pub(crate) fn pid(controller: &ControllerProcess) -> Result<u32> {
    controller.pid().context("the controller has no process id")
}
