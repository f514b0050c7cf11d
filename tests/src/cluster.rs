//! Everything that runs: a control plane, PostgreSQL with the emulator over it, the chart, and the controller.

mod controllers;
mod install;
mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use crds::{TenantClass, TenantClassSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use neon_emulator::Emulator;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use xtask::control_plane::{ControlPlane, Options};
use xtask::controller::{ControllerOptions, ControllerProcess};
use xtask::postgres::Postgres;
use xtask::run_folder::RunFolder;

pub use self::install::repository;
pub(crate) use self::install::through;
use self::install::{ParsePort as _, database, install_chart};
pub use self::options::ClusterOptions;
use crate::emulator::{Computes, Watched};
use crate::limits;
use crate::neon::Account;
use crate::proxy::Proxy;

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
    emulator: Option<Watched>,
    proxies: Option<Proxies>,
    client: Client,
    plane: ControlPlane,
    postgres: Postgres,
    controller: ControllerOptions,
    psql: PathBuf,
    computes: Computes,
    /// What is known of emulators that are gone.
    gone: std::sync::Mutex<Gone>,
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
        let psql = tokio::task::spawn_blocking(xtask::install::psql).await??;
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
            computes: options.computes,
            gone: std::sync::Mutex::default(),
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
    pub fn emulator(&self) -> &Watched {
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

    /// Whether the computes of its emulators fall asleep.
    pub fn computes(&self) -> Computes {
        self.computes
    }

    /// Notes what counts of a further emulator before it goes: its passwords must not be shown either.
    pub async fn note(&self, emulator: &Emulator) -> Result<()> {
        let tally = Tally::of(emulator).await?;
        let given = emulator.issued_passwords().await?;
        let mut gone = self.gone();
        gone.passwords.extend(given);
        gone.tally += tally;
        Ok(())
    }

    /// Every password that any emulator ever gave.
    pub async fn issued_passwords(&self) -> Result<Vec<String>> {
        let mut given = self.emulator().issued_passwords().await?;
        given.extend(self.gone().passwords.iter().cloned());
        Ok(given)
    }

    /// The connections of all emulators there ever were.
    pub async fn tally(&self) -> Result<Tally> {
        let mut tally = Tally::of(self.emulator()).await?;
        tally += self.gone().tally;
        Ok(tally)
    }

    /// A panic elsewhere cannot leave it half written.
    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
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
            emulator.stop().await;
        }
        self.plane.stop().await;
        self.postgres.stop().await;
    }
}

/// What is known of emulators that are gone.
#[derive(Debug, Default)]
struct Gone {
    passwords: Vec<String>,
    tally: Tally,
}

/// Connections to databases.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Those that were ever signed in.
    pub connections: u64,
    /// Those that found their compute asleep.
    pub cold_starts: u64,
}

impl Tally {
    async fn of(emulator: &Emulator) -> Result<Self> {
        let projects = emulator.projects().await?;
        Ok(Self {
            connections: projects
                .iter()
                .map(|project| project.connections_opened)
                .sum(),
            cold_starts: emulator.cold_starts(),
        })
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.cold_starts += other.cold_starts;
    }
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
