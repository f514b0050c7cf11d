//! Methods for a test's Tenants: apply, change, delete, inspect and wait.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, Tenant, TenantSpec, annotations, keys};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Scenario, condition, is_current, is_ready, secret_text, status};
use crate::cluster::FIELD_MANAGER;
use crate::{psql, timeouts, wait};

/// Part of the API server's message.
const POLICY_NOT_READY: &str = "failed to configure policy";

/// Sends a request for a deletion. After its start, the API server denies deletions of Tenants until
/// it has discovered the kind of the admission policy's parameters.
pub(super) async fn allowed_deletion(delete: impl AsyncFn() -> kube::Result<()>) -> Result<()> {
    let what = "the admission policy to be usable";
    wait::poll(timeouts::CONVERGE, what, async || match delete().await {
        Err(kube::Error::Api(status)) if status.message.contains(POLICY_NOT_READY) => Ok(None),
        result => Ok(Some(result)),
    })
    .await??;
    Ok(())
}

impl Scenario {
    /// Applies a Tenant with server-side apply. `spec` is the complete spec.
    pub async fn apply(&self, name: &str, spec: Value) -> Result<Tenant> {
        let _: TenantSpec =
            serde_json::from_value(spec.clone()).context("invalid spec of a Tenant")?;
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
    pub async fn apply_and_wait(&self, name: &str, spec: Value) -> Result<Tenant> {
        self.apply(name, spec).await?;
        self.wait_until_ready(name).await
    }

    /// Applies a JSON merge patch to a Tenant.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<Tenant> {
        Ok(self
            .tenants()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?)
    }

    /// Requests a full reconcile, which opens the database, and waits until it is done.
    pub async fn reconcile_and_wait(&self, name: &str) -> Result<Tenant> {
        let requested = self.request_reconcile(name).await?;
        self.wait_for(name, timeouts::CONVERGE, "reconciled", |tenant| {
            status(tenant)
                .is_some_and(|status| status.last_reconcile_at.as_ref() == Some(&requested))
                && is_ready(tenant)
        })
        .await
    }

    /// Requests a full reconcile, which opens the database. Returns the annotation's value.
    pub async fn request_reconcile(&self, name: &str) -> Result<String> {
        let requested = jiff::Timestamp::now().to_string();
        self.patch(
            name,
            json!({"metadata": {"annotations": {(annotations::RECONCILE_AT): requested}}}),
        )
        .await?;
        Ok(requested)
    }

    /// Deletes a Tenant without waiting.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let tenants = self.tenants();
        allowed_deletion(async || {
            tenants
                .delete(name, &DeleteParams::default())
                .await
                .map(drop)
        })
        .await
    }

    pub async fn tenant(&self, name: &str) -> Result<Tenant> {
        Ok(self.tenants().get(name).await?)
    }

    /// Waits until `condition` holds for a Tenant. `description` completes the sentence "the Tenant
    /// is not ...".
    pub async fn wait_for(
        &self,
        name: &str,
        timeout: Duration,
        description: &str,
        mut condition: impl FnMut(&Tenant) -> bool,
    ) -> Result<Tenant> {
        let tenant = wait::until(&self.tenants(), name, timeout, description, |tenant| {
            tenant.is_some_and(&mut condition)
        })
        .await?;
        tenant.with_context(|| format!("the Tenant {name} does not exist"))
    }

    /// Waits until the current generation of a Tenant is `Ready`.
    pub async fn wait_until_ready(&self, name: &str) -> Result<Tenant> {
        self.wait_for(name, timeouts::CONVERGE, "Ready", is_ready)
            .await
    }

    /// Waits until the current generation of a Tenant is `Stalled` with this reason. Returns the
    /// message.
    pub async fn wait_until_stalled(&self, name: &str, reason: Reason) -> Result<String> {
        let description = format!("Stalled with {reason}");
        let tenant = self
            .wait_for(name, timeouts::CONVERGE, &description, |tenant| {
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

    /// Waits until a Tenant's condition `Ready` has this reason. Returns the message.
    pub async fn wait_for_reason(&self, name: &str, reason: Reason) -> Result<String> {
        let ready = |tenant: &Tenant| condition(tenant, ConditionType::Ready).cloned();
        let description = format!("reporting {reason}");
        let tenant = self
            .wait_for(name, timeouts::CONVERGE, &description, |tenant| {
                ready(tenant).is_some_and(|ready| ready.reason == reason.as_str())
            })
            .await?;
        Ok(ready(&tenant)
            .map(|ready| ready.message)
            .unwrap_or_default())
    }

    pub async fn wait_until_deleted(&self, name: &str) -> Result<()> {
        self.wait_until_deleted_within(name, timeouts::CONVERGE)
            .await
    }

    pub async fn wait_until_deleted_within(&self, name: &str, timeout: Duration) -> Result<()> {
        wait::until(&self.tenants(), name, timeout, "deleted", |tenant| {
            tenant.is_none()
        })
        .await?;
        Ok(())
    }

    /// The data of a Tenant's connection Secret.
    pub async fn secret_data(&self, tenant: &Tenant) -> Result<BTreeMap<String, String>> {
        let binding = status(tenant)
            .and_then(|status| status.binding.as_ref())
            .context("the status names no Secret")?;
        let secret = self.secrets().get(&binding.name).await?;
        secret_text(&secret)
    }

    /// Runs a statement in a Tenant's database with psql and the connection string in the Secret's
    /// `key`.
    pub async fn psql(&self, tenant: &Tenant, key: &str, statement: &str) -> Result<String> {
        let secret = self.secret_data(tenant).await?;
        psql::query(&self.cluster, &secret, key, statement).await
    }

    /// Checks that psql can connect to a Tenant's database with its Secret.
    pub async fn check_connection(&self, tenant: &Tenant) -> Result<()> {
        let result = self.psql(tenant, keys::URI, "select 6 * 7").await?;
        ensure!(result == "42", "the database returned {result}");
        Ok(())
    }

    /// The events about an object in the namespace.
    pub async fn events(&self, name: &str) -> Result<Vec<Event>> {
        let events: Api<Event> = Api::namespaced(self.cluster.client(), &self.namespace);
        let all = events
            .list(&ListParams::default().fields(&format!("regarding.name={name}")))
            .await?;
        Ok(all.items)
    }

    /// Waits for an event about an object in the namespace.
    pub async fn wait_for_event(&self, name: &str, reason: Reason) -> Result<Event> {
        wait::poll(
            timeouts::EVENT,
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
}
