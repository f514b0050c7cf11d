//! What one test has for itself: a namespace, classes of its own, and the ways to apply, wait and look.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{
    ConditionType, Reason, Tenant, TenantClass, TenantSpec, TenantStatus, annotations,
    find_condition, is_true,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use neon::ids::ProjectId;
use neon_emulator::{Config, Emulator};
use serde_json::{Value, json};

use crate::cluster::{FIELD_MANAGER, SYSTEM_NAMESPACE, create_namespace};
use crate::{Cluster, checks, command, limits, psql, wait};

/// The part of a test's name that its namespace bears, in characters.
const NAMESPACE_CHARS_MAX: usize = 45;
/// How much of the controllers' logs a report shows: lines about the test's namespace, and the last of all.
const LOG_LINES_OF_CASE: usize = 60;
const LOG_LINES: usize = 15;

/// One test's own.
pub struct Case {
    cluster: Arc<Cluster>,
    namespace: String,
    classes: Mutex<Vec<String>>,
    config_maps: Mutex<Vec<String>>,
    emulators: Mutex<Vec<Arc<Emulator>>>,
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

    /// An account of its own: an emulator with a state, faults and latencies of its own, and a class that leads to it.
    pub async fn class_with_account(
        &self,
        changes: Value,
        edit: impl FnOnce(&mut Config),
    ) -> Result<(String, Arc<Emulator>)> {
        let mut config = Config::new(self.cluster.postgres_uri());
        config.control_database = self.namespace.replace('-', "_");
        edit(&mut config);
        let emulator = Arc::new(Emulator::start(config).await?);
        self.emulators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&emulator));
        let mut all =
            json!({"neon": {"baseUrl": emulator.api_url(), "caBundle": emulator.ca_pem()}});
        merge(&mut all, changes);
        Ok((self.class(all).await?, emulator))
    }

    // --- Tenants ---

    /// Applies a Tenant (server-side, whole spec).
    pub async fn apply(&self, name: &str, spec: Value) -> Result<Tenant> {
        let _: TenantSpec = serde_json::from_value(spec.clone()).context("no spec of a Tenant")?;
        let tenant = json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec,
        });
        Ok(self
            .tenants()
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(tenant),
            )
            .await?)
    }

    /// Applies a Tenant and waits until it is `Ready`.
    pub async fn apply_ready(&self, name: &str, spec: Value) -> Result<Tenant> {
        self.apply(name, spec).await?;
        self.ready(name).await
    }

    /// Changes a Tenant by a JSON merge patch.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<Tenant> {
        Ok(self
            .tenants()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?)
    }

    /// Asks for a pass that opens the database, and waits until it was made.
    pub async fn look_closely(&self, name: &str) -> Result<Tenant> {
        let asked = self.ask_for_a_close_look(name).await?;
        self.until(name, limits::CONVERGE, "looked at closely", |tenant| {
            status(tenant).is_some_and(|status| status.last_reconcile_at.as_ref() == Some(&asked))
                && is_ready(tenant)
        })
        .await
    }

    /// Asks for a pass that opens the database. Gives the annotation's value.
    pub async fn ask_for_a_close_look(&self, name: &str) -> Result<String> {
        let asked = jiff::Timestamp::now().to_string();
        self.patch(
            name,
            json!({"metadata": {"annotations": {(annotations::RECONCILE_AT): asked}}}),
        )
        .await?;
        Ok(asked)
    }

    /// Deletes a Tenant, without waiting.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.tenants()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// The Tenant as it is.
    pub async fn tenant(&self, name: &str) -> Result<Tenant> {
        Ok(self.tenants().get(name).await?)
    }

    /// Waits until a Tenant is as `found` wants it.
    pub async fn until(
        &self,
        name: &str,
        limit: Duration,
        what: &str,
        mut found: impl FnMut(&Tenant) -> bool,
    ) -> Result<Tenant> {
        let tenant = wait::until(&self.tenants(), name, limit, what, |tenant| {
            tenant.is_some_and(&mut found)
        })
        .await?;
        tenant.with_context(|| format!("the Tenant {name} is not there"))
    }

    /// Waits until the newest spec of a Tenant is in effect.
    pub async fn ready(&self, name: &str) -> Result<Tenant> {
        self.until(name, limits::CONVERGE, "Ready", is_ready).await
    }

    /// Waits until a Tenant's newest spec is `Stalled` for that reason; gives the message.
    pub async fn stalled(&self, name: &str, reason: Reason) -> Result<String> {
        let what = format!("Stalled with {reason}");
        let tenant = self
            .until(name, limits::CONVERGE, &what, |tenant| {
                is_current(tenant)
                    && condition(tenant, ConditionType::Stalled).is_some_and(|stalled| {
                        stalled.status == "True" && stalled.reason == reason.as_str()
                    })
            })
            .await?;
        Ok(condition(&tenant, ConditionType::Stalled)
            .map(|stalled| stalled.message.clone())
            .unwrap_or_default())
    }

    /// Waits until a Tenant is gone.
    pub async fn gone(&self, name: &str) -> Result<()> {
        self.gone_within(name, limits::CONVERGE).await
    }

    /// Waits until a Tenant is gone, with another limit.
    pub async fn gone_within(&self, name: &str, limit: Duration) -> Result<()> {
        wait::until(&self.tenants(), name, limit, "gone", |tenant| {
            tenant.is_none()
        })
        .await?;
        Ok(())
    }

    /// What the Secret of a Tenant holds, as text.
    pub async fn secret(&self, tenant: &Tenant) -> Result<BTreeMap<String, String>> {
        let binding = status(tenant)
            .and_then(|status| status.binding.as_ref())
            .context("the status names no Secret")?;
        let secret = self.secrets().get(&binding.name).await?;
        text(&secret)
    }

    /// Runs a statement in a Tenant's database by psql, with what its Secret says under `key`.
    pub async fn psql(&self, tenant: &Tenant, key: &str, statement: &str) -> Result<String> {
        psql::psql(&self.cluster, &self.secret(tenant).await?, key, statement).await
    }

    /// Events about an object of its namespace.
    pub async fn events(&self, name: &str) -> Result<Vec<Event>> {
        let events: Api<Event> = Api::namespaced(self.cluster.client(), &self.namespace);
        let all = events
            .list(&ListParams::default().fields(&format!("regarding.name={name}")))
            .await?;
        Ok(all.items)
    }

    /// Waits for an event about an object of its namespace.
    pub async fn event(&self, name: &str, reason: Reason) -> Result<Event> {
        wait::poll(
            limits::EVENT,
            &format!("an event {reason} about {name}"),
            async || {
                let events = self.events(name).await?;
                Ok(events
                    .into_iter()
                    .find(|event| event.reason.as_deref() == Some(reason.as_str())))
            },
        )
        .await
    }

    // --- the end ---

    /// Checks that no password is shown, takes everything away, and sees it go.
    pub async fn finish(&self) -> Result<()> {
        let emulators = held(&self.emulators).clone();
        for emulator in emulators {
            self.cluster.note_passwords(&emulator).await?;
        }
        let secrets = checks::secrets(&self.cluster).await?;
        let shown = checks::holding(
            &secrets,
            [(
                "the case's objects".to_owned(),
                self.objects().await.as_str(),
            )],
        );
        ensure!(
            shown.is_empty(),
            "passwords are shown:\n{}",
            shown.join("\n")
        );
        self.tenants()
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        for tenant in self.tenants().list(&ListParams::default()).await? {
            self.gone_within(&tenant.name_any(), limits::SETTLE)
                .await
                .context("at the end of the test")?;
        }
        for class in taken(&self.classes) {
            let deleted = self
                .all_classes()
                .delete(&class, &DeleteParams::default())
                .await;
            if !matches!(&deleted, Err(kube::Error::Api(status)) if status.is_not_found()) {
                deleted?;
            }
            wait::until(
                &self.all_classes(),
                &class,
                limits::CONVERGE,
                "gone",
                |class| class.is_none(),
            )
            .await?;
        }
        let emulators = std::mem::take(
            &mut *self
                .emulators
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for emulator in emulators.into_iter().filter_map(Arc::into_inner) {
            emulator.shutdown().await;
        }
        self.clear().await;
        Ok(())
    }

    /// Takes away what can be taken away at once, after a failure.
    pub async fn abandon(&self) {
        for class in taken(&self.classes) {
            let _ = self
                .all_classes()
                .delete(&class, &DeleteParams::default())
                .await;
        }
        self.clear().await;
    }

    async fn clear(&self) {
        for name in taken(&self.config_maps) {
            let _ = self
                .config_maps_api()
                .delete(&name, &DeleteParams::default())
                .await;
        }
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let _ = namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await;
    }

    /// Everything of the case that people can read, as YAML.
    async fn objects(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "tenants.dbpertenant.dev", "--output=yaml"][..],
            &["get", "events.events.k8s.io", "--output=yaml"],
            &["get", "tenantclasses.dbpertenant.dev", "--output=yaml"],
        ] {
            text.push_str(
                &self
                    .kubectl(arguments)
                    .await
                    .unwrap_or_else(|error| format!("{error:#}\n")),
            );
        }
        text
    }

    /// What somebody needs who wants to know why the test failed.
    pub async fn report(&self) -> String {
        let mut parts = vec![format!("--- namespace {}", self.namespace)];
        for arguments in [
            &["get", "tenants.dbpertenant.dev", "--output=yaml"][..],
            &[
                "get",
                "events.events.k8s.io",
                "--output=custom-columns=AT:.metadata.creationTimestamp,TYPE:.type,REASON:.reason,ABOUT:.regarding.name,NOTE:.note",
            ],
            &[
                "get",
                "secrets",
                "--output=custom-columns=NAME:.metadata.name,TYPE:.type,OWNER:.metadata.ownerReferences[*].name",
            ],
        ] {
            let said = self
                .kubectl(arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            parts.push(format!("--- kubectl {}\n{said}", arguments[..2].join(" ")));
        }
        let classes = held(&self.classes).clone();
        for class in classes {
            let said = self
                .kubectl(&["get", "tenantclass", &class, "--output=yaml"])
                .await;
            parts.push(format!(
                "--- TenantClass {class}\n{}",
                said.unwrap_or_else(|error| format!("{error:#}"))
            ));
        }
        for log in self.cluster.logs().unwrap_or_default() {
            let bytes = std::fs::read(&log).unwrap_or_default();
            let all = String::from_utf8_lossy(&bytes);
            let about: Vec<&str> = all
                .lines()
                .filter(|line| line.contains(&self.namespace))
                .collect();
            let last: Vec<&str> = all
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            parts.push(format!(
                "--- {} about the namespace\n{}",
                log.display(),
                tail(&about, LOG_LINES_OF_CASE)
            ));
            parts.push(format!(
                "--- {} at its end\n{}",
                log.display(),
                tail(&last, LOG_LINES)
            ));
        }
        parts.join("\n")
    }
}

fn tail(lines: &[&str], max: usize) -> String {
    lines[lines.len().saturating_sub(max)..].join("\n")
}

fn remember(names: &Mutex<Vec<String>>, name: &str) {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// A panic elsewhere cannot leave a list half written.
fn held<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn taken(names: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *names.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A JSON merge patch (RFC 7396).
pub fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(object) = into.as_object_mut() {
                object.remove(&key);
            }
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// A Secret's data as text.
pub fn text(secret: &Secret) -> Result<BTreeMap<String, String>> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| Ok((key.clone(), String::from_utf8(value.0.clone())?)))
        .collect()
}

/// The status, if there is one.
pub fn status(tenant: &Tenant) -> Option<&TenantStatus> {
    tenant.status.as_ref()
}

/// A condition of a Tenant.
pub fn condition(
    tenant: &Tenant,
    kind: ConditionType,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    find_condition(&status(tenant)?.conditions, kind)
}

/// Whether the status speaks of the newest spec.
pub fn is_current(tenant: &Tenant) -> bool {
    status(tenant).is_some_and(|status| status.observed_generation == tenant.metadata.generation)
}

/// Whether the newest spec is in effect.
pub fn is_ready(tenant: &Tenant) -> bool {
    is_current(tenant)
        && status(tenant).is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
}

/// Whether the tenant can be served.
pub fn is_available(tenant: &Tenant) -> bool {
    status(tenant).is_some_and(|status| is_true(&status.conditions, ConditionType::Available))
}

/// The project of a Tenant.
pub fn project_id(tenant: &Tenant) -> Result<ProjectId> {
    let project = status(tenant)
        .and_then(|status| status.project.as_ref())
        .context("the status names no project")?;
    project.id.parse().context("status.project.id is no id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_adds_replaces_and_removes() {
        let mut value = json!({"kept": 1, "gone": 2, "deep": {"kept": 3, "other": 4}});
        merge(
            &mut value,
            json!({"gone": null, "new": {"a": [1]}, "deep": {"other": 5}}),
        );
        assert_eq!(
            value,
            json!({"kept": 1, "new": {"a": [1]}, "deep": {"kept": 3, "other": 5}})
        );
    }
}
