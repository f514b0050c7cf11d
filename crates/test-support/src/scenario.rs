//! A test's own namespace and classes, and methods to apply objects and to wait for their state.

mod teardown;
mod tenants;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use crds::{Tenant, TenantClass};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use neon_emulator::{Emulator, Limits, Plan};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cluster::{FIELD_MANAGER, SYSTEM_NAMESPACE, create_namespace};
use crate::emulator::{self, TestEmulator, plan_limits};
pub use crate::objects::{
    condition, is_available, is_current, is_ready, merge, project_id, secret_text, status,
};
use crate::{Cluster, command};

/// How many characters of a test's name its namespace contains.
const MAX_NAMESPACE_CHARS: usize = 45;

/// The environment of one test on a cluster that other tests may use as well.
pub struct Scenario {
    cluster: Arc<Cluster>,
    namespace: String,
    class_names: Mutex<Vec<String>>,
    config_map_names: Mutex<Vec<String>>,
    emulators: Mutex<Vec<Arc<TestEmulator>>>,
}

impl Scenario {
    /// Creates a namespace whose name is derived from the test's.
    pub async fn new(cluster: Arc<Cluster>, test: &str) -> Result<Self> {
        static SCENARIOS: AtomicUsize = AtomicUsize::new(1);
        let test = test.rsplit("::").next().unwrap_or(test).replace('_', "-");
        let short: String = test.chars().take(MAX_NAMESPACE_CHARS).collect();
        let namespace = format!(
            "{}-{}",
            short.trim_end_matches('-'),
            SCENARIOS.fetch_add(1, Ordering::Relaxed)
        );
        create_namespace(&cluster.client(), &namespace).await?;
        Ok(Self {
            cluster,
            namespace,
            class_names: Mutex::default(),
            config_map_names: Mutex::default(),
            emulators: Mutex::default(),
        })
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The test's namespace. Names of cluster-scoped objects should begin with it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Tenants in the namespace.
    pub fn tenants(&self) -> Api<Tenant> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// The Secrets in the namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// All classes of the cluster.
    pub fn classes(&self) -> Api<TenantClass> {
        Api::all(self.cluster.client())
    }

    /// Runs kubectl in the namespace and returns its output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.kubectl_command(arguments)).await
    }

    /// Like [`Scenario::kubectl`], with text for the standard input.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        command::output_with_input(self.kubectl_command(arguments), input).await
    }

    /// A command that runs kubectl in the namespace.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.kubectl(&["--namespace", &self.namespace]);
        command.args(arguments);
        command
    }

    // --- classes and the objects they refer to ---

    /// Applies a class of this test: the cluster's class spec with `changes`, a JSON merge patch.
    /// Returns its name.
    pub async fn apply_class(&self, changes: Value) -> Result<String> {
        self.apply_class_named(&format!("{}-class", self.namespace), changes)
            .await
    }

    /// Like [`Scenario::apply_class`], with a name.
    pub async fn apply_class_named(&self, name: &str, changes: Value) -> Result<String> {
        let mut spec = self.cluster.class_spec();
        merge(&mut spec, changes);
        self.cluster.apply_class(name, &spec).await?;
        remember(&self.class_names, name);
        Ok(name.to_owned())
    }

    /// Applies this test's `ConfigMap` in the controller's namespace, with all its files. Returns
    /// its name.
    pub async fn apply_config_map(&self, files: &[(&str, &str)]) -> Result<String> {
        let name = format!("{}-files", self.namespace);
        self.apply_config_map_named(&name, files).await?;
        Ok(name)
    }

    /// Like [`Scenario::apply_config_map`], with a name.
    pub async fn apply_config_map_named(&self, name: &str, files: &[(&str, &str)]) -> Result<()> {
        let data: BTreeMap<_, _> = files.iter().copied().collect();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.config_maps()
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(object),
            )
            .await?;
        remember(&self.config_map_names, name);
        Ok(())
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client(), SYSTEM_NAMESPACE)
    }

    /// Starts an emulator for this test, with its own account and faults, and applies a class that
    /// uses it.
    pub async fn apply_class_with_emulator(
        &self,
        changes: Value,
    ) -> Result<(String, Arc<TestEmulator>)> {
        self.apply_class_with_limits(changes, 0, plan_limits()?)
            .await
    }

    /// Like [`Scenario::apply_class_with_emulator`], on this plan instead of the one that the tests run
    /// on.
    pub async fn apply_class_on_plan(&self, plan: Plan) -> Result<(String, Arc<TestEmulator>)> {
        let limits = Limits {
            plan,
            ..Limits::default()
        };
        self.apply_class_with_limits(json!({}), 0, limits).await
    }

    /// Like [`Scenario::apply_class_with_emulator`], with the emulator's limits and the seed of its
    /// random faults and SQLSTATEs.
    pub async fn apply_class_with_limits(
        &self,
        changes: Value,
        seed: u64,
        limits: Limits,
    ) -> Result<(String, Arc<TestEmulator>)> {
        let builder = Emulator::builder()
            .postgres(self.cluster.postgres_uri())
            .control_database(self.namespace.replace('-', "_"))
            .seed(seed);
        let suspension = self.cluster.compute_suspension();
        let emulator =
            TestEmulator::start(builder, suspension, emulator::latency()?, limits).await?;
        let emulator = Arc::new(emulator);
        self.emulators.lock().push(Arc::clone(&emulator));
        let mut all =
            json!({"neon": {"baseUrl": emulator.api_url(), "caBundle": emulator.ca_pem()}});
        merge(&mut all, changes);
        Ok((self.apply_class(all).await?, emulator))
    }
}

fn remember(names: &Mutex<Vec<String>>, name: &str) {
    let mut names = names.lock();
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
