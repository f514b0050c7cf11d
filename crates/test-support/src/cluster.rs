//! A cluster for tests: a control plane, PostgreSQL with the emulator, the controller's chart, and
//! controllers as processes.

mod controllers;
mod install;
mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use crds::{TenantClass, TenantClassSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use local_stack::control_plane::{ControlPlane, Options};
use local_stack::controller::{ControllerOptions, ControllerProcess};
use local_stack::postgres::Postgres;
use local_stack::run_folder::RunFolder;
use neon_emulator::Emulator;
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub(crate) use self::controllers::EXIT_POLL_INTERVAL;
pub(crate) use self::install::through_port;
use self::install::{ParsePort as _, database, install_chart};
pub use self::options::ClusterOptions;
use crate::emulator::{ComputeSuspension, TestEmulator};
use crate::neon::Account;
use crate::proxy::Proxy;
use crate::timeouts;

/// The namespace of the release.
pub const SYSTEM_NAMESPACE: &str = "tenant-system";
/// The name of the release, the Deployment and the `ServiceAccount`.
pub const RELEASE: &str = "tenant-controller";
/// The Secret with the account's API key, in the controller's namespace.
pub const API_KEY_SECRET: &str = "neon-api-key";
/// The default region of the tests' classes.
pub const REGION: &str = "aws-eu-central-1";
/// The field manager of objects that tests apply.
pub const FIELD_MANAGER: &str = "e2e";

#[derive(Debug)]
pub struct Proxies {
    /// In front of the API server, for the controllers only.
    pub kube: Proxy,
    /// In front of the Neon API.
    pub neon: Proxy,
    /// In front of the databases.
    pub data: Proxy,
}

/// A running cluster. Dropping it stops everything; [`Cluster::stop`] also waits.
pub struct Cluster {
    // In drop order.
    controllers: Mutex<BTreeMap<String, ControllerProcess>>,
    emulator: Option<TestEmulator>,
    proxies: Option<Proxies>,
    client: Client,
    plane: ControlPlane,
    postgres: Postgres,
    controller: ControllerOptions,
    psql: PathBuf,
    compute_suspension: ComputeSuspension,
    /// What the checks need of emulators that were stopped.
    stopped_emulators: parking_lot::Mutex<StoppedEmulators>,
    folder: RunFolder,
}

impl Cluster {
    /// Starts everything, waits until the controllers are ready, and applies the class `default`.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        tokio::time::timeout(timeouts::CLUSTER, Self::start_all(options))
            .await
            .with_context(|| {
                format!(
                    "the cluster did not start within {} s",
                    timeouts::CLUSTER.as_secs()
                )
            })?
    }

    async fn start_all(options: ClusterOptions) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let psql = tokio::task::spawn_blocking(installer::psql).await??;
        let folder = RunFolder::new("e2e")?;
        let path = folder.path().to_owned();
        let (plane, (postgres, emulator, neon_and_data)) = tokio::try_join!(
            ControlPlane::start(Options {
                audit: true,
                ..Options::default()
            }),
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
                    through_port(&controller.kubeconfig, &path, "controller", kube.port())?;
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
            compute_suspension: options.compute_suspension,
            stopped_emulators: parking_lot::Mutex::default(),
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

    /// A client with administrator permissions.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    pub fn emulator(&self) -> &TestEmulator {
        match &self.emulator {
            Some(emulator) => emulator,
            // Only `stop` takes the emulator, and it consumes the cluster.
            None => unreachable!("a cluster has an emulator until it is stopped"),
        }
    }

    /// The emulator's account.
    pub fn account(&self) -> Account<'_> {
        Account(self.emulator())
    }

    pub fn compute_suspension(&self) -> ComputeSuspension {
        self.compute_suspension
    }

    /// Records the passwords and connections of another emulator before it stops.
    pub async fn record_emulator(&self, emulator: &Emulator) -> Result<()> {
        let connections = ConnectionCounts::of(emulator).await?;
        let passwords = emulator.issued_passwords().await?;
        let mut stopped = self.stopped_emulators.lock();
        stopped.passwords.extend(passwords);
        stopped.connections += connections;
        Ok(())
    }

    /// Every password that any emulator issued.
    pub async fn issued_passwords(&self) -> Result<Vec<String>> {
        let mut issued = self.emulator().issued_passwords().await?;
        issued.extend(self.stopped_emulators.lock().passwords.iter().cloned());
        Ok(issued)
    }

    /// The connections of all emulators, including stopped ones.
    pub async fn connection_counts(&self) -> Result<ConnectionCounts> {
        let mut counts = ConnectionCounts::of(self.emulator()).await?;
        counts += self.stopped_emulators.lock().connections;
        Ok(counts)
    }

    /// The superuser's URI of the PostgreSQL server.
    pub fn postgres_uri(&self) -> &str {
        self.postgres.uri()
    }

    /// The proxies, if [`ClusterOptions::proxied`] is set.
    pub fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    /// The folder with the logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a psql with TLS support.
    pub fn psql(&self) -> &Path {
        &self.psql
    }

    /// A command that runs kubectl with administrator permissions.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.plane.kubectl();
        command.args(arguments);
        command
    }

    /// The base URL of the Neon API, through the proxy if there is one.
    pub fn neon_url(&self) -> String {
        match &self.proxies {
            Some(proxies) => format!("http://127.0.0.1:{}/api/v2", proxies.neon.port()),
            None => self.emulator().api_url(),
        }
    }

    /// The spec of a class that uses the emulator and the default region.
    pub fn class_spec(&self) -> Value {
        json!({
            "neon": {
                "apiKeySecretRef": {"name": API_KEY_SECRET},
                "baseUrl": self.neon_url(),
                "caBundle": self.emulator().ca_pem(),
            },
            "defaults": {"region": REGION},
            // The tests of a cluster share the class and delete many Tenants at once.
            "massDeletion": {"maxPercentPerMinute": 100},
        })
    }

    pub async fn apply_class(&self, name: &str, spec: &Value) -> Result<TenantClass> {
        // Deserializing first reports a mistake in a test that the API server would silently prune.
        let _: TenantClassSpec =
            serde_json::from_value(spec.clone()).context("invalid spec of a class")?;
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

    /// Applies a Secret with an API key in the controller's namespace.
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

    /// Keeps logs and data after the cluster stops.
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

/// What the checks need of emulators that were stopped.
#[derive(Debug, Default)]
struct StoppedEmulators {
    passwords: Vec<String>,
    connections: ConnectionCounts,
}

/// Numbers of connections to databases.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that were authenticated.
    pub connections: u64,
    /// Connections that started a suspended compute.
    pub cold_starts: u64,
}

impl ConnectionCounts {
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

impl std::ops::AddAssign for ConnectionCounts {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.cold_starts += other.cold_starts;
    }
}

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
