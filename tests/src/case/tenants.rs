//! What a test does with its Tenants: apply, change, delete, wait, look.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, Tenant, TenantSpec, annotations, keys};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Case, condition, is_current, is_ready, status, text};
use crate::cluster::FIELD_MANAGER;
use crate::{limits, psql, wait};

impl Case {
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

    /// Waits until a Tenant gives this reason for not being ready; gives the message.
    pub async fn says(&self, name: &str, reason: Reason) -> Result<String> {
        let ready = |tenant: &Tenant| condition(tenant, ConditionType::Ready).cloned();
        let tenant = self
            .until(
                name,
                limits::CONVERGE,
                &format!("saying {reason}"),
                |tenant| ready(tenant).is_some_and(|ready| ready.reason == reason.as_str()),
            )
            .await?;
        Ok(ready(&tenant)
            .map(|ready| ready.message)
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

    /// Fails unless what a Tenant's Secret says opens its database.
    pub async fn opens(&self, tenant: &Tenant) -> Result<()> {
        let answer = self.psql(tenant, keys::URI, "select 6 * 7").await?;
        ensure!(answer == "42", "the database answers {answer}");
        Ok(())
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
}
