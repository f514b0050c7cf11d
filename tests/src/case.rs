//! What one test has for itself: a namespace, classes of its own, and the ways to apply, wait and look.

mod end;
mod reading;
mod tenants;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use crds::{Tenant, TenantClass};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use neon_emulator::{Emulator, Latency, Limits};
use serde_json::{Value, json};

pub use self::reading::{
    condition, is_available, is_current, is_ready, merge, project_id, status, text,
};
use crate::cluster::{FIELD_MANAGER, SYSTEM_NAMESPACE, create_namespace};
use crate::emulator::Watched;
use crate::{Cluster, command};

/// The part of a test's name that its namespace bears, in characters.
const NAMESPACE_CHARS_MAX: usize = 45;

/// One test's own.
pub struct Case {
    cluster: Arc<Cluster>,
    namespace: String,
    classes: Mutex<Vec<String>>,
    config_maps: Mutex<Vec<String>>,
    emulators: Mutex<Vec<Arc<Watched>>>,
}

impl Case {
    /// A case with a namespace of its own.
    pub async fn new(cluster: Arc<Cluster>, test: &str) -> Result<Self> {
        static CASES: AtomicUsize = AtomicUsize::new(1);
        let test = test.rsplit("::").next().unwrap_or(test).replace('_', "-");
        let short: String = test.chars().take(NAMESPACE_CHARS_MAX).collect();
        let namespace = format!(
            "{}-{}",
            short.trim_end_matches('-'),
            CASES.fetch_add(1, Ordering::Relaxed)
        );
        create_namespace(&cluster.client(), &namespace).await?;
        Ok(Self {
            cluster,
            namespace,
            classes: Mutex::default(),
            config_maps: Mutex::default(),
            emulators: Mutex::default(),
        })
    }

    /// What runs.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Its namespace; names that must be unique in the cluster begin with it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Tenants of its namespace.
    pub fn tenants(&self) -> Api<Tenant> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// The Secrets of its namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// All classes.
    pub fn all_classes(&self) -> Api<TenantClass> {
        Api::all(self.cluster.client())
    }

    /// kubectl in its namespace; gives what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.kubectl_command(arguments)).await
    }

    /// The same, with text on its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        command::output_with_input(self.kubectl_command(arguments), input).await
    }

    /// kubectl in its namespace, to be run.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.kubectl(&["--namespace", &self.namespace]);
        command.args(arguments);
        command
    }

    // --- classes and what they name ---

    /// A class of its own: that of the cluster with these changes (a JSON merge patch of the spec). Gives its name.
    pub async fn class(&self, changes: Value) -> Result<String> {
        self.class_named(&format!("{}-class", self.namespace), changes)
            .await
    }

    /// A class of its own with that name.
    pub async fn class_named(&self, name: &str, changes: Value) -> Result<String> {
        let mut spec = self.cluster.class_spec();
        merge(&mut spec, changes);
        self.cluster.apply_class(name, &spec).await?;
        remember(&self.classes, name);
        Ok(name.to_owned())
    }

    /// A `ConfigMap` of its own in the controller's namespace, whole. Gives its name.
    pub async fn config_map(&self, files: &[(&str, &str)]) -> Result<String> {
        let name = format!("{}-files", self.namespace);
        let data: BTreeMap<_, _> = files.iter().copied().collect();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.config_maps_api()
            .patch(
                &name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(object),
            )
            .await?;
        remember(&self.config_maps, &name);
        Ok(name)
    }

    fn config_maps_api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client(), SYSTEM_NAMESPACE)
    }

    /// An account of its own: an emulator with a state and faults of its own, and a class that leads to it.
    pub async fn class_with_account(&self, changes: Value) -> Result<(String, Arc<Watched>)> {
        self.class_with_limits(changes, 0, Limits::default()).await
    }

    /// The same with these limits, and this seed of the dice of its faults.
    pub async fn class_with_limits(
        &self,
        changes: Value,
        seed: u64,
        limits: Limits,
    ) -> Result<(String, Arc<Watched>)> {
        let builder = Emulator::builder()
            .postgres(self.cluster.postgres_uri())
            .control_database(self.namespace.replace('-', "_"))
            .seed(seed);
        let computes = self.cluster.computes();
        let emulator = Watched::start(builder, computes, Latency::instant(), limits).await?;
        let emulator = Arc::new(emulator);
        held(&self.emulators).push(Arc::clone(&emulator));
        let mut all =
            json!({"neon": {"baseUrl": emulator.api_url(), "caBundle": emulator.ca_pem()}});
        merge(&mut all, changes);
        Ok((self.class(all).await?, emulator))
    }
}

fn remember(names: &Mutex<Vec<String>>, name: &str) {
    let mut names = held(names);
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// A panic elsewhere cannot leave a list half written.
fn held<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
