//! Everything that runs: a control plane, PostgreSQL with the emulator over it, the chart, and the controller.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use anyhow::{Context as _, Result, bail, ensure};
use crds::{TenantClass, TenantClassSpec};
use dev::control_plane::{ControlPlane, Options};
use dev::controller::{ControllerOptions, ControllerProcess, Rendered};
use dev::install;
use dev::postgres::Postgres;
use dev::run_folder::RunFolder;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use neon_emulator::{Config, Emulator, Latency};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::neon::Account;
use crate::proxy::Proxy;
use crate::{command, limits};

/// The namespace that the chart is installed into.
pub const SYSTEM_NAMESPACE: &str = "tenant-system";
/// The name of the release, of its Deployment and of its `ServiceAccount`.
pub const RELEASE: &str = "tenant-controller";
/// The Secret with the account's key, in the controller's namespace.
pub const API_KEY_SECRET: &str = "neon-api-key";
/// The region that classes of the tests give.
pub const REGION: &str = "aws-eu-central-1";
/// The name under which the tests apply.
pub const FIELD_MANAGER: &str = "e2e";

/// What a cluster should be like.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Settings of the controller, by their names; they go through the chart's `config`.
    pub settings: BTreeMap<String, Value>,
    /// Further values for the chart.
    pub values: Value,
    /// Namespaces that have to exist before the chart is installed.
    pub namespaces: Vec<String>,
    /// How long the emulator takes.
    pub latency: Latency,
    /// Put a [`Proxy`] before the API server, the Neon API and the databases.
    pub proxied: bool,
    /// Replicas of the controller that are started, named `one`, `two`, ...
    pub replicas: usize,
}

impl Default for ClusterOptions {
    /// One controller with waits shorter than in production, debug logs, and an emulator without latency.
    fn default() -> Self {
        Self {
            settings: [
                ("log-filter", json!("debug")),
                ("neon-create-settle-window", json!("3s")),
                ("neon-listing-interval", json!("1s")),
                ("neon-listing-calls-per-hour", json!(100_000)),
                ("neon-requests-per-minute", json!(1_000_000)),
                ("neon-per-route-per-second", json!(100_000)),
                ("backoff-min", json!("100ms")),
                ("backoff-max", json!("2s")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            values: json!({}),
            namespaces: Vec::new(),
            latency: Latency::instant(),
            proxied: false,
            replicas: 1,
        }
    }
}

impl ClusterOptions {
    /// The same with another setting of the controller.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// The same with so many replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The same with proxies before the servers.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The same with these latencies of the emulator.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }
}

/// Proxies between the controller and the servers.
#[derive(Debug)]
pub struct Proxies {
    /// Before the API server; the controller alone goes through it.
    pub kube: Proxy,
    /// Before the Neon API; classes lead to it.
    pub neon: Proxy,
    /// Before the databases; connection strings lead to it.
    pub data: Proxy,
}

/// A running cluster. Dropping it stops everything; [`Cluster::stop`] does so in order and waits.
pub struct Cluster {
    // In the order in which they must go.
    controllers: Mutex<BTreeMap<String, ControllerProcess>>,
    emulator: Option<Emulator>,
    proxies: Option<Proxies>,
    client: Client,
    plane: ControlPlane,
    postgres: Postgres,
    controller: ControllerOptions,
    psql: PathBuf,
    /// Passwords that emulators gave which are gone.
    passwords: std::sync::Mutex<Vec<String>>,
    folder: RunFolder,
}

impl Cluster {
    /// Starts everything; when this returns, the controllers are ready and the class `default` is there.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        tokio::time::timeout(limits::CLUSTER, Self::start_all(options))
            .await
            .with_context(|| format!("no cluster within {} s", limits::CLUSTER.as_secs()))?
    }

    async fn start_all(options: ClusterOptions) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let psql = tokio::task::spawn_blocking(install::psql).await??;
        let folder = RunFolder::new("e2e")?;
        let path = folder.path().to_owned();
        let (plane, (postgres, emulator, neon_and_data)) = tokio::try_join!(
            ControlPlane::start(Options { audit: true }),
            database(&path, &options)
        )?;
        let client = plane.client().await?;
        for name in &options.namespaces {
            create_namespace(&client, name).await?;
        }
        let mut controller = install_chart(&plane, &client, &path, &options).await?;
        let proxies = match neon_and_data {
            Some((neon, data)) => {
                let kube = Proxy::start(plane.url().parse_port()?).await?;
                controller.kubeconfig =
                    through(&controller.kubeconfig, &path, "controller", kube.port())?;
                Some(Proxies { kube, neon, data })
            }
            None => None,
        };
        let cluster = Self {
            controllers: Mutex::default(),
            emulator: Some(emulator),
            proxies,
            client,
            plane,
            postgres,
            controller,
            psql,
            passwords: std::sync::Mutex::default(),
            folder,
        };
        cluster
            .apply_api_key(API_KEY_SECRET, cluster.emulator().api_key())
            .await?;
        cluster
            .apply_class(crds::DEFAULT_CLASS, &cluster.class_spec())
            .await?;
        for name in ["one", "two", "three"].iter().take(options.replicas) {
            cluster.start_controller(name).await?;
        }
        Ok(cluster)
    }

    /// A client with an administrator's rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The control plane.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// The emulator.
    pub fn emulator(&self) -> &Emulator {
        match &self.emulator {
            Some(emulator) => emulator,
            // It is only taken out by `stop`, which takes the cluster.
            None => unreachable!("a cluster has its emulator until it is stopped"),
        }
    }

    /// The account that the emulator answers for.
    pub fn account(&self) -> Account<'_> {
        Account(self.emulator())
    }

    /// Notes the passwords of a further emulator before it goes: they must not be shown either.
    pub async fn note_passwords(&self, emulator: &Emulator) -> Result<()> {
        let given = emulator.passwords_ever_given().await?;
        self.passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(given);
        Ok(())
    }

    /// Every password that any emulator ever gave.
    pub async fn passwords_ever_given(&self) -> Result<Vec<String>> {
        let mut given = self.emulator().passwords_ever_given().await?;
        given.extend(
            self.passwords
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned(),
        );
        Ok(given)
    }

    /// The URI of PostgreSQL's superuser, for a further emulator.
    pub fn postgres_uri(&self) -> &str {
        self.postgres.uri()
    }

    /// The proxies, where the options asked for them.
    pub fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    /// The folder with the logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// psql that speaks TLS.
    pub fn psql(&self) -> &Path {
        &self.psql
    }

    /// kubectl with an administrator's rights.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.plane.kubectl();
        command.args(arguments);
        command
    }

    /// Where classes find the Neon API: through the proxy, if there is one.
    pub fn neon_url(&self) -> String {
        match &self.proxies {
            Some(proxies) => format!("http://127.0.0.1:{}/api/v2", proxies.neon.port()),
            None => self.emulator().api_url(),
        }
    }

    /// The spec of a class that leads to the emulator and gives what Tenants leave out.
    pub fn class_spec(&self) -> Value {
        json!({
            "neon": {
                "apiKeySecretRef": {"name": API_KEY_SECRET},
                "baseUrl": self.neon_url(),
                "caBundle": self.emulator().ca_pem(),
            },
            "defaults": {"region": REGION},
        })
    }

    /// Applies a class.
    pub async fn apply_class(&self, name: &str, spec: &Value) -> Result<TenantClass> {
        // Read first, so that a slip in a test is an error here and not a field that is dropped.
        let _: TenantClassSpec =
            serde_json::from_value(spec.clone()).context("no spec of a class")?;
        let class = json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "TenantClass", "metadata": {"name": name}, "spec": spec,
        });
        let classes: Api<TenantClass> = Api::all(self.client());
        Ok(classes
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(class),
            )
            .await?)
    }

    /// Writes a Secret with an API key into the controller's namespace.
    pub async fn apply_api_key(&self, name: &str, key: &str) -> Result<Secret> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"api-key": key},
        });
        let secrets: Api<Secret> = Api::namespaced(self.client(), SYSTEM_NAMESPACE);
        Ok(secrets
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(secret),
            )
            .await?)
    }

    /// How a controller of this cluster is started: with what the chart rendered.
    pub fn controller_options(&self, name: &str) -> ControllerOptions {
        let mut options = self.controller.clone();
        options
            .environment
            .push(("POD_NAME".into(), format!("{RELEASE}-{name}").into()));
        options.log = self.log(name);
        options
    }

    /// Where the output of that controller is appended.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("controller-{name}.log"))
    }

    /// Starts a replica and waits until it is ready.
    pub async fn start_controller(&self, name: &str) -> Result<()> {
        self.start_controller_with(name, &self.controller_options(name))
            .await
    }

    /// Starts a replica in another way than the chart says.
    pub async fn start_controller_with(
        &self,
        name: &str,
        options: &ControllerOptions,
    ) -> Result<()> {
        let mut controllers = self.controllers.lock().await;
        ensure!(
            !controllers.contains_key(name),
            "a controller {name} runs already"
        );
        let mut controller = ControllerProcess::spawn(options)?;
        if let Err(error) = controller.wait_until_ready().await {
            let log = std::fs::read_to_string(&options.log).unwrap_or_default();
            let said: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            bail!(
                "{error:#}\nwhat it said apart from debug lines:\n{}",
                said.join("\n")
            );
        }
        controllers.insert(name.to_owned(), controller);
        Ok(())
    }

    /// Takes a replica out, to kill it or to ask it to end.
    pub async fn take_controller(&self, name: &str) -> Result<ControllerProcess> {
        let taken = self.controllers.lock().await.remove(name);
        taken.with_context(|| format!("no controller {name} runs"))
    }

    /// Ends a replica as a power cut would.
    pub async fn kill_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.kill().await
    }

    /// Asks a replica to end, and waits until it has.
    pub async fn terminate_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.terminate().await;
        Ok(())
    }

    /// Whether a replica runs.
    pub async fn runs(&self, name: &str) -> Result<bool> {
        match self.controllers.lock().await.get_mut(name) {
            Some(controller) => Ok(!controller.ended()?),
            None => Ok(false),
        }
    }

    /// `/metrics` of every replica that runs.
    pub async fn metrics(&self) -> Result<String> {
        let mut all = String::new();
        for controller in self.controllers.lock().await.values() {
            all.push_str(&controller.metrics().await?);
        }
        Ok(all)
    }

    /// The logs of all controllers there ever were.
    pub fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.folder())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("controller-") && name.ends_with(".log") {
                logs.push(path);
            }
        }
        Ok(logs)
    }

    /// Leaves logs and data where they are when this ends, for a person to read.
    pub fn keep_folder(&mut self) {
        self.folder.keep();
        self.plane.keep_folder();
    }

    /// Stops everything, in order.
    pub async fn stop(mut self) {
        let controllers = std::mem::take(&mut *self.controllers.lock().await);
        futures::future::join_all(controllers.into_values().map(ControllerProcess::terminate))
            .await;
        if let Some(emulator) = self.emulator.take() {
            emulator.shutdown().await;
        }
        self.plane.stop().await;
        self.postgres.stop().await;
    }
}

type NeonAndData = Option<(Proxy, Proxy)>;

async fn database(
    folder: &Path,
    options: &ClusterOptions,
) -> Result<(Postgres, Emulator, NeonAndData)> {
    let postgres = Postgres::start(folder).await?;
    let mut config = Config {
        latency: options.latency,
        ..Config::new(postgres.uri())
    };
    if !options.proxied {
        return Ok((postgres, Emulator::start(config).await?, None));
    }
    // The port that connection strings name has to be known before the port behind it is.
    let data = Proxy::listen().await?;
    config.advertised_data_port = Some(data.port());
    let emulator = Emulator::start(config).await?;
    data.lead_to(emulator.data_addr().port());
    let neon = Proxy::start(emulator.api_url().parse_port()?).await?;
    Ok((postgres, emulator, Some((neon, data))))
}

/// Installs the chart with helm, and says how its controller is started: with the arguments, the environment and the
/// rights that it would have as a Pod.
async fn install_chart(
    plane: &ControlPlane,
    client: &Client,
    folder: &Path,
    options: &ClusterOptions,
) -> Result<ControllerOptions> {
    let mut values = options.values.clone();
    ensure!(values.is_object(), "the chart's values are no object");
    values["config"] = serde_json::to_value(&options.settings)?;
    let file = folder.join("values.json");
    std::fs::write(&file, values.to_string())?;
    let mut helm = plane.helm();
    helm.args(["install", RELEASE])
        .arg(repository().join("charts/tenant-controller"))
        .args([
            "--namespace",
            SYSTEM_NAMESPACE,
            "--create-namespace",
            "--values",
        ])
        .arg(file);
    command::output(helm).await?;
    let mut wait = plane.kubectl();
    wait.args(["wait", "--for=condition=Established", "--timeout=60s"])
        .args([
            "crd/tenants.dbpertenant.dev",
            "crd/tenantclasses.dbpertenant.dev",
        ]);
    command::output(wait).await?;
    let rendered = Rendered::read(client, SYSTEM_NAMESPACE, RELEASE, folder).await?;
    let kubeconfig = plane
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &rendered.service_account)
        .await?;
    Ok(ControllerOptions {
        arguments: rendered.arguments.into_iter().map(OsString::from).collect(),
        environment: rendered
            .environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        ..ControllerOptions::new(kubeconfig, SYSTEM_NAMESPACE, folder.join("controller.log"))
    })
}

/// A namespace.
pub async fn create_namespace(client: &Client, name: &str) -> Result<Namespace> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    Ok(namespaces
        .create(&PostParams::default(), &namespace)
        .await?)
}

/// The same kubeconfig, for `whom`, with another port of the API server.
pub(crate) fn through(kubeconfig: &Path, folder: &Path, whom: &str, port: u16) -> Result<PathBuf> {
    let mut document: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    document["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
    let path = folder.join(format!("{whom}-proxied.kubeconfig"));
    std::fs::write(&path, document.to_string())?;
    Ok(path)
}

/// Where the sources lie that these tests were built from: the chart is taken from there.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

trait ParsePort {
    fn parse_port(&self) -> Result<u16>;
}

impl ParsePort for String {
    /// The port of a URL such as `http://127.0.0.1:8080/path`.
    fn parse_port(&self) -> Result<u16> {
        let authority = self
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let port = authority.and_then(|authority| authority.rsplit(':').next());
        port.and_then(|port| port.parse().ok())
            .with_context(|| format!("{self} names no port"))
    }
}
