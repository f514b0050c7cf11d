//! The operations during which the controller is killed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
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

/// Fails instead of [`SECOND`].
const SECOND_BROKEN: (&str, &str) = (
    "0002_tags.sql",
    "alter table notes add column tag text references tags;",
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
    /// Migrate two Tenants in two waves.
    RollOut,
    /// Replace a rollout that its canary has paused.
    CorrectRollout,
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
            Self::CorrectRollout => "correct-rollout",
            Self::RestoreBranch => "restore-branch",
            Self::RestoreSnapshot => "restore-snapshot",
            Self::Update => "update",
            Self::RestoreSecret => "restore-secret",
            Self::Delete => "delete",
            Self::DeleteDuringCreation => "delete-during-creation",
        }
    }

    fn has_two_tenants(self) -> bool {
        matches!(self, Self::RollOut | Self::CorrectRollout)
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
            | Self::CorrectRollout
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
                if self.has_two_tenants() {
                    let spec = json!({"className": run.class});
                    run.scenario.apply_and_wait(OTHER_TENANT, spec).await?;
                }
                if self == Self::CorrectRollout {
                    let broken = [FIRST, SECOND_BROKEN];
                    run.scenario.apply_config_map(&broken).await?;
                    wait_for_phase(run, RolloutPhase::Paused, (0, 1), timeouts::CONVERGE).await?;
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
            // The canary is one Tenant, and the last wave has the others.
            Self::RollOut | Self::CorrectRollout => json!({"waves": [], "soakSeconds": 0}),
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
            Self::Migrate
            | Self::MigrateWithBackup
            | Self::MigrateWithSnapshot
            | Self::RollOut
            | Self::CorrectRollout => run
                .scenario
                .apply_config_map(&[FIRST, SECOND])
                .await
                .map(drop),
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
            Self::RollOut | Self::CorrectRollout => {
                wait_until_migrated(run, TENANT, timeout).await?;
                wait_until_migrated(run, OTHER_TENANT, timeout).await?;
                wait_for_phase(run, RolloutPhase::Completed, (2, 0), timeout).await
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

/// Waits until the newest rollout of the second version has this phase and these numbers of updated and
/// failed Tenants, of two, and all others are finished.
async fn wait_for_phase(
    run: &Run,
    phase: RolloutPhase,
    (updated, failed): (i64, i64),
    timeout: Duration,
) -> Result<()> {
    let rollouts: Api<SchemaRollout> = Api::all(run.scenario.cluster().client());
    wait::poll(timeout, "the rollout", async || {
        let mut of_class = rollouts.list(&ListParams::default()).await?.items;
        of_class.retain(|rollout| rollout.spec.class_name == run.class);
        of_class.sort_by_key(|rollout| rollout.spec.revision);
        let newest = of_class.pop().context("there is no rollout")?;
        ensure!(newest.spec.target.version == 2, "{}", newest.name_any());
        let status = newest.status.unwrap_or_default();
        let counts = (status.total, status.updated, status.failed);
        let expected = (Some(phase), (2, updated, failed));
        ensure!(
            (status.phase, counts) == expected,
            "{:?} {counts:?}",
            status.phase
        );
        for older in of_class {
            let phase = older.status.unwrap_or_default().phase;
            ensure!(
                phase.is_some_and(RolloutPhase::is_final),
                "an older one: {phase:?}"
            );
        }
        Ok(Some(()))
    })
    .await
}

/// The second Tenant of a rollout.
const OTHER_TENANT: &str = "acme-2";
/// The default name of the Tenant's Secret.
const SECRET: &str = "acme-connection";
