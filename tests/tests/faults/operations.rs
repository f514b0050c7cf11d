//! The operations during which the controller is killed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::{ConditionType, Reason, RolloutPhase, SchemaRollout};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use neon_client::ids::ProjectId;
use neon_client::model::CreateProject;
use neon_emulator::faults::{Effect, Fault};
use serde_json::{Value, json};
use test_support::neon::Account;
use test_support::scenario::{condition, is_ready};
use test_support::{timeouts, wait};

use crate::run::{Run, TENANT};

/// The delay of a project whose request has no response, in milliseconds: it is created after the
/// Tenant's deletion and before the end of the verification window.
const CREATION_DELAY_MS: u64 = 2_500;
const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key, text text not null);",
);
const SECOND: (&str, &str) = (
    "0002_tags.sql",
    "create table tags (name text primary key);\nalter table notes add column tag text references tags;",
);

/// Fails after [`SECOND`] was applied.
const THIRD_BROKEN: (&str, &str) = (
    "0003_authors.sql",
    "alter table notes add column author bigint references authors;",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Adopt,
    Migrate,
    MigrateWithBackup,
    MigrateWithSnapshot,
    /// Migrate several Tenants in waves.
    RollOut,
    RestoreBranch,
    RestoreSnapshot,
    Update,
    RestoreSecret,
    Delete,
    DeleteDuringCreation,
}

/// State from before the operation.
#[derive(Default)]
pub(crate) struct Prepared {
    secret_uid: Option<String>,
    adopted: Option<ProjectId>,
}

impl Operation {
    /// A name that is valid in a namespace's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Migrate => "migrate",
            Self::MigrateWithBackup => "migrate-with-backup",
            Self::MigrateWithSnapshot => "migrate-with-snapshot",
            Self::RollOut => "rollout",
            Self::RestoreBranch => "restore-branch",
            Self::RestoreSnapshot => "restore-snapshot",
            Self::Update => "update",
            Self::RestoreSecret => "restore-secret",
            Self::Delete => "delete",
            Self::DeleteDuringCreation => "delete-during-creation",
        }
    }

    /// Prepares the operation. Effects of the preparation are not counted.
    pub(crate) async fn prepare(self, run: &Run) -> Result<Prepared> {
        let mut before = Prepared::default();
        match self {
            Self::Create => {}
            Self::Adopt => {
                let project = CreateProject {
                    store_passwords: Some(false),
                    ..CreateProject::named("existing")
                };
                let made = Account(&run.lane.emulator)
                    .client()?
                    .projects()
                    .create(project)
                    .send()
                    .await?;
                let namespace = run.scenario.namespace();
                let allowed = json!({"adoption": {"allowed": [
                    {"projectId": made.project.id, "namespace": namespace, "name": TENANT},
                ]}});
                run.change_class(allowed).await?;
                before.adopted = Some(made.project.id);
            }
            Self::Migrate
            | Self::MigrateWithBackup
            | Self::MigrateWithSnapshot
            | Self::RollOut
            | Self::RestoreBranch
            | Self::RestoreSnapshot => {
                let files = run.scenario.apply_config_map(&[FIRST]).await?;
                run.change_class(json!({
                    "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
                    "rollout": self.rollout(),
                }))
                .await?;
                run.apply(json!({})).await?;
                run.scenario.wait_until_ready(TENANT).await?;
                if self == Self::RollOut {
                    for name in OTHERS {
                        let spec = json!({"className": run.class});
                        run.scenario.apply_and_wait(name, spec).await?;
                    }
                    wait_for_rollout(run, 1, timeouts::CONVERGE).await?;
                }
            }
            Self::Update | Self::Delete => {
                run.apply(json!({})).await?;
                run.scenario.wait_until_ready(TENANT).await?;
            }
            Self::RestoreSecret => {
                run.apply(json!({})).await?;
                run.scenario.wait_until_ready(TENANT).await?;
                before.secret_uid = run.scenario.secrets().get(SECRET).await?.uid();
            }
            Self::DeleteDuringCreation => {
                let late = Fault::new(
                    "createProject",
                    Effect::WorkLate {
                        ms: CREATION_DELAY_MS,
                    },
                )
                .times(1);
                run.lane
                    .emulator
                    .faults()
                    .add(late)
                    .context("failed to add the fault")?;
                run.apply(json!({})).await?;
                let is_verifying = |tenant: &crds::Tenant| {
                    let ready = condition(tenant, ConditionType::Ready);
                    ready.is_some_and(|ready| ready.reason == Reason::VerifyingCreation.as_str())
                };
                run.scenario
                    .wait_for(
                        TENANT,
                        timeouts::CONVERGE,
                        "verifying the creation",
                        is_verifying,
                    )
                    .await?;
            }
        }
        Ok(before)
    }

    /// Settings of rollouts.
    fn rollout(self) -> Value {
        match self {
            Self::MigrateWithBackup => json!({"backup": "Branch"}),
            Self::MigrateWithSnapshot => json!({"backup": "Snapshot"}),
            // One Tenant in each of three waves.
            Self::RollOut => json!({"waves": [{"count": 1}], "soakSeconds": 0}),
            Self::RestoreBranch => json!({"backup": "Branch", "onFailure": "RestoreAndPause"}),
            Self::RestoreSnapshot => json!({"backup": "Snapshot", "onFailure": "RestoreAndPause"}),
            _ => json!({}),
        }
    }

    pub(crate) async fn start(self, run: &Run, before: &Prepared) -> Result<()> {
        match self {
            Self::Create => run.apply(json!({})).await.map(drop),
            Self::Adopt => {
                let adopt = json!({"projectId": before.adopted, "resetPassword": true});
                run.apply(json!({"adopt": adopt})).await.map(drop)
            }
            Self::Migrate | Self::MigrateWithBackup | Self::MigrateWithSnapshot | Self::RollOut => {
                run.scenario
                    .apply_config_map(&[FIRST, SECOND])
                    .await
                    .map(drop)
            }
            Self::RestoreBranch | Self::RestoreSnapshot => run
                .scenario
                .apply_config_map(&[FIRST, SECOND, THIRD_BROKEN])
                .await
                .map(drop),
            Self::Update => {
                let spec = json!({"compute": {"minCU": 0.5, "maxCU": 2}, "quota": {"logicalSizeBytes": 5_000_000_000_i64}});
                run.apply(spec).await.map(drop)
            }
            Self::RestoreSecret => {
                run.scenario
                    .secrets()
                    .delete(SECRET, &DeleteParams::default())
                    .await?;
                Ok(())
            }
            Self::Delete | Self::DeleteDuringCreation => run.scenario.delete(TENANT).await,
        }
    }

    /// Waits until the operation is finished.
    pub(crate) async fn wait_until_finished(self, run: &Run, before: &Prepared) -> Result<()> {
        let timeout = timeouts::CREATION_VERIFIED;
        match self {
            Self::Create | Self::Adopt | Self::Update => run
                .scenario
                .wait_for(TENANT, timeout, "Ready", is_ready)
                .await
                .map(drop),
            Self::Migrate | Self::MigrateWithBackup | Self::MigrateWithSnapshot => {
                wait_until_migrated(run, TENANT, timeout).await
            }
            Self::RollOut => {
                for name in [TENANT].into_iter().chain(OTHERS) {
                    wait_until_migrated(run, name, timeout).await?;
                }
                wait_for_rollout(run, 2, timeout).await
            }
            Self::RestoreBranch | Self::RestoreSnapshot => {
                let restored = |tenant: &crds::Tenant| {
                    let status = tenant.status.as_ref();
                    let backup = status.and_then(|status| status.backup.as_ref());
                    let restore = backup.and_then(|backup| backup.restore.as_ref());
                    let stalled = condition(tenant, ConditionType::Stalled);
                    restore.is_some_and(|restore| restore.restored_at.is_some())
                        && stalled.is_some_and(|stalled| stalled.status == "True")
                };
                run.scenario
                    .wait_for(TENANT, timeout, "restored", restored)
                    .await
                    .map(drop)
            }
            Self::RestoreSecret => {
                let is_recreated = |secret: Option<&k8s_openapi::api::core::v1::Secret>| {
                    secret.is_some_and(|secret| {
                        secret.uid() != before.secret_uid && secret.data.is_some()
                    })
                };
                wait::until(
                    &run.scenario.secrets(),
                    SECRET,
                    timeout,
                    "recreated",
                    is_recreated,
                )
                .await?;
                run.scenario
                    .wait_for(TENANT, timeout, "Ready", is_ready)
                    .await
                    .map(drop)
            }
            Self::Delete | Self::DeleteDuringCreation => {
                run.scenario
                    .wait_until_deleted_within(TENANT, timeout)
                    .await
            }
        }
    }

    /// Deletes what the Tenant leaves by design.
    pub(crate) async fn clean_up(self, run: &Run, before: &Prepared) -> Result<()> {
        if let Some(project) = &before.adopted {
            // An adopted project must have been retained, so deleting it must succeed.
            Account(&run.lane.emulator)
                .client()?
                .projects()
                .delete(project)
                .send()
                .await?;
        }
        Ok(())
    }
}

/// Waits until a Tenant has the second version of the schema.
async fn wait_until_migrated(run: &Run, name: &str, timeout: Duration) -> Result<()> {
    let migrated = |tenant: &crds::Tenant| {
        let schema = tenant
            .status
            .as_ref()
            .and_then(|status| status.schema.as_ref());
        schema.is_some_and(|schema| schema.version == Some(2)) && is_ready(tenant)
    };
    run.scenario
        .wait_for(name, timeout, "migrated", migrated)
        .await
        .map(drop)
}

/// Waits until the rollout of a version is completed and counts each Tenant once.
async fn wait_for_rollout(run: &Run, version: i64, timeout: Duration) -> Result<()> {
    let rollouts: Api<SchemaRollout> = Api::all(run.scenario.cluster().client());
    let what = format!("the completed rollout of version {version}");
    let tenants = i64::try_from(OTHERS.len() + 1)?;
    wait::poll(timeout, &what, async || {
        let all = rollouts.list(&ListParams::default()).await?;
        let mut of_class = all.iter().filter(|rollout| {
            rollout.spec.class_name == run.class && rollout.spec.target.version == version
        });
        let status = of_class.next().and_then(|rollout| rollout.status.as_ref());
        Ok(status
            .is_some_and(|status| {
                status.phase == Some(RolloutPhase::Completed)
                    && (status.total, status.updated, status.failed) == (tenants, tenants, 0)
            })
            .then_some(()))
    })
    .await
}

/// The further Tenants of a rollout.
const OTHERS: [&str; 2] = ["acme-2", "acme-3"];
/// The default name of the Tenant's Secret.
const SECRET: &str = "acme-connection";
