//! What a controller is doing when it is killed.

use anyhow::{Context as _, Result};
use crds::{ConditionType, Reason};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use neon_client::ids::ProjectId;
use neon_client::model::CreateProject;
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use tests::case::{condition, is_ready};
use tests::neon::Account;
use tests::{limits, wait};

use crate::run::{Run, TENANT};

/// How late the project of an unanswered request comes, in milliseconds: after the deletion, and before the request is given up.
const LATE_MS: u64 = 2_500;
const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key, text text not null);",
);
const SECOND: (&str, &str) = (
    "0002_tags.sql",
    "create table tags (name text primary key);\nalter table notes add column tag text references tags;",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Create,
    Adopt,
    Migrate,
    Update,
    RestoreSecret,
    Delete,
    DeleteUnanswered,
}

/// What the scenario needs to know at its end.
#[derive(Default)]
pub(crate) struct Before {
    secret_uid: Option<String>,
    adopted: Option<ProjectId>,
}

impl Scenario {
    /// Its name, fit for a namespace.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Migrate => "migrate",
            Self::Update => "update",
            Self::RestoreSecret => "restore-secret",
            Self::Delete => "delete",
            Self::DeleteUnanswered => "delete-unanswered",
        }
    }

    /// Everything before the change. Effects of this are not counted.
    pub(crate) async fn prepare(self, run: &Run) -> Result<Before> {
        let mut before = Before::default();
        match self {
            Self::Create => {}
            Self::Adopt => {
                let project = CreateProject {
                    store_passwords: Some(false),
                    ..CreateProject::named("somebody's own")
                };
                let made = Account(&run.place.emulator)
                    .client()?
                    .projects()
                    .create(project)
                    .send()
                    .await?;
                let allowed = json!({"adoption": {"allowedProjectIds": [made.project.id]}});
                run.change_class(allowed).await?;
                before.adopted = Some(made.project.id);
            }
            Self::Migrate => {
                let files = run.case.config_map(&[FIRST]).await?;
                run.change_class(
                    json!({"migrations": {"source": "ConfigMap", "configMap": {"name": files}}}),
                )
                .await?;
                run.apply(json!({})).await?;
                run.case.ready(TENANT).await?;
            }
            Self::Update | Self::Delete => {
                run.apply(json!({})).await?;
                run.case.ready(TENANT).await?;
            }
            Self::RestoreSecret => {
                run.apply(json!({})).await?;
                run.case.ready(TENANT).await?;
                before.secret_uid = run.case.secrets().get(TENANT_SECRET).await?.uid();
            }
            Self::DeleteUnanswered => {
                let late = Fault::new("createProject", Effect::WorkLate { ms: LATE_MS }).times(1);
                run.place
                    .emulator
                    .faults()
                    .add(late)
                    .context("no room for a fault")?;
                run.apply(json!({})).await?;
                let settling = |tenant: &crds::Tenant| {
                    let ready = condition(tenant, ConditionType::Ready);
                    ready.is_some_and(|ready| ready.reason == Reason::VerifyingCreation.as_str())
                };
                run.case
                    .until(TENANT, limits::CONVERGE, "settling", settling)
                    .await?;
            }
        }
        Ok(before)
    }

    /// The change.
    pub(crate) async fn act(self, run: &Run, before: &Before) -> Result<()> {
        match self {
            Self::Create => run.apply(json!({})).await.map(drop),
            Self::Adopt => {
                let adopt = json!({"projectId": before.adopted, "resetPassword": true});
                run.apply(json!({"adopt": adopt})).await.map(drop)
            }
            Self::Migrate => run.case.config_map(&[FIRST, SECOND]).await.map(drop),
            Self::Update => {
                let edited = json!({"compute": {"minCU": 0.5, "maxCU": 2}, "quota": {"logicalSizeBytes": 5_000_000_000_i64}});
                run.apply(edited).await.map(drop)
            }
            Self::RestoreSecret => {
                run.case
                    .secrets()
                    .delete(TENANT_SECRET, &DeleteParams::default())
                    .await?;
                Ok(())
            }
            Self::Delete | Self::DeleteUnanswered => run.case.delete(TENANT).await,
        }
    }

    /// Waits until the change is in effect.
    pub(crate) async fn ended(self, run: &Run, before: &Before) -> Result<()> {
        let limit = limits::SETTLE;
        match self {
            Self::Create | Self::Adopt | Self::Update => run
                .case
                .until(TENANT, limit, "Ready", is_ready)
                .await
                .map(drop),
            Self::Migrate => {
                let migrated = |tenant: &crds::Tenant| {
                    let schema = tenant
                        .status
                        .as_ref()
                        .and_then(|status| status.schema.as_ref());
                    schema.is_some_and(|schema| schema.version == Some(2)) && is_ready(tenant)
                };
                run.case
                    .until(TENANT, limit, "migrated", migrated)
                    .await
                    .map(drop)
            }
            Self::RestoreSecret => {
                let full = |secret: Option<&k8s_openapi::api::core::v1::Secret>| {
                    secret.is_some_and(|secret| {
                        secret.uid() != before.secret_uid && secret.data.is_some()
                    })
                };
                wait::until(
                    &run.case.secrets(),
                    TENANT_SECRET,
                    limit,
                    "written again",
                    full,
                )
                .await?;
                run.case
                    .until(TENANT, limit, "Ready", is_ready)
                    .await
                    .map(drop)
            }
            Self::Delete | Self::DeleteUnanswered => run.case.gone_within(TENANT, limit).await,
        }
    }

    /// Takes away what the Tenant leaves by design.
    pub(crate) async fn clean(self, run: &Run, before: &Before) -> Result<()> {
        if let Some(project) = &before.adopted {
            // An adopted project is retained: that it can be deleted shows that it was.
            Account(&run.place.emulator)
                .client()?
                .projects()
                .delete(project)
                .send()
                .await?;
        }
        Ok(())
    }
}

/// The name that the Secret has where the Tenant names none.
const TENANT_SECRET: &str = "acme-connection";
