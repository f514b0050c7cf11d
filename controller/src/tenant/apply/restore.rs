//! Restores a database from its backup after a migration failed for good.
//!
//! A restore must have its effect once: a second one would discard what the application wrote after
//! the first. The restore is recorded in the status before its first request, with the name of the
//! branch that keeps the failed state. Names of branches are unique in a project, so a branch with
//! this name shows that the restore has been done, and Neon refuses to do it again.

use crds::{BackupStatus, Reason, RestoreStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::ids::{BranchId, ProjectId, SnapshotId};
use neon_client::model::{
    FinalizeRestore, Operation, RestoreBranch, RestoreSnapshot, UpdateBranch,
};

use super::backup::{branch_in_use, is_missing};
use super::operations::wait_for_operations;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::issue::{Component, Issue};
use crate::migrations::{MigrationError, MigrationFailure};
use crate::tenant::observed::ObservedState;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

const RESTORE: &str = "restore the database from its backup";

/// Age up to which a backup is restored. A migration whose errors are transient can fail for good much
/// later, and a restore can be refused for a long time; then a user must decide whether to discard what was
/// written in the meantime.
const MAX_RESTORED_AGE: SignedDuration = SignedDuration::from_hours(1);

/// Records that the database is to be restored, if its rollout asks for that and the failed migration
/// has changed it. `reported` is what the failure is reported as.
pub(super) fn request_restore(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    failure: &MigrationFailure,
    reported: &ReconcileError,
) -> bool {
    let error = &failure.error;
    let is_permanent = matches!(reported.retry, Retry::OnChange | Retry::OnChangeOrAfter(_));
    // Other errors mean that no migration was begun.
    let is_failed = error.reason() == Reason::MigrationFailed || error.is_size_limit();
    let Ok(target) = &observed.schema else {
        return false;
    };
    let is_wanted = target
        .backup
        .is_some_and(|backup| backup.restore_on_failure);
    if !(is_permanent && is_failed && is_wanted) {
        return false;
    }
    let now = rec.ctx.clock.now();
    let (project, schema) = (rec.project(), rec.status.schema.clone());
    let Some(backup) = &mut rec.status.backup else {
        return false;
    };
    let is_of_rollout = Some(&backup.rollout) == target.rollout.as_ref()
        && project.is_some_and(|project| project.as_str() == backup.project_id);
    let has_backup = is_of_rollout && backup.id().is_some() && backup.restore.is_none();
    // Without a recorded schema, it is unknown which files the database had before.
    let is_known = backup.schema_version.is_some();
    let differs = schema.is_some_and(|schema| {
        (schema.version, &schema.checksum) != (backup.schema_version, &backup.schema_checksum)
    });
    let is_changed = !failure.applied.is_empty()
        || is_known && differs
        || matches!(error, MigrationError::TransactionEnded { .. });
    if !(has_backup && is_changed) {
        return false;
    }
    let issue = reported.to_issue();
    backup.restore = Some(RestoreStatus {
        requested_at: Time(now),
        failed_branch_name: derived_name(&backup.name, "failed"),
        reason: issue.reason.as_str().to_owned(),
        message: issue.message,
        restored_at: None,
        abandoned_at: None,
    });
    // Otherwise the request would lead to a further attempt after the restore.
    rec.status
        .last_reconcile_at
        .clone_from(&observed.reconcile_at);
    true
}

/// Restores the database, or finds that an earlier request has, and records the schema of the backup.
pub(super) async fn restore(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let backup = rec.status.backup.clone();
    let Some((backup, restore)) = backup.and_then(|backup| {
        let restore = backup.restore.clone()?;
        Some((backup, restore))
    }) else {
        return Err(ReconcileError::transient(
            Component::Schema,
            Reason::Restoring,
            "no restore is recorded",
        ));
    };
    rec.save_status(observed, &StatusOutcome::InProgress(progress(&backup)))
        .await?;
    let is_done = is_restored(rec, id, &restore).await?;
    if !is_done && is_too_old(&backup, rec.ctx.clock.now()) {
        abandon(rec);
        return Ok(());
    }
    if !is_done
        && let Err(error) = request(rec, id, &backup, &restore).await
        // An earlier request can take effect late, so that Neon refuses this one.
        && !is_restored(rec, id, &restore).await?
    {
        if error.is_not_found() && is_missing(rec, id, &backup).await? {
            expire(rec);
            return Ok(());
        }
        return Err(error);
    }
    branch_in_use(rec, id).await?;
    record(rec);
    rec.publish_event(&ControllerEvent::DatabaseRestored {
        backup: &backup.name,
        created_at: backup.created_at.as_ref().map(|time| time.0),
        failed_branch: &restore.failed_branch_name,
    });
    Ok(())
}

/// What the conditions report meanwhile.
fn progress(backup: &BackupStatus) -> Issue {
    Issue::new(
        Component::Schema,
        Reason::Restoring,
        format!(
            "restoring the database from backup {}, because its migration failed",
            backup.name
        ),
    )
}

/// Whether the restore has been done: its request moved the failed state to the branch of this name.
async fn is_restored(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    restore: &RestoreStatus,
) -> Result<bool, ReconcileError> {
    let found = rec
        .neon()?
        .branch_named(id, &restore.failed_branch_name)
        .await;
    found
        .map(|branch| branch.is_some())
        .map_err(|error| neon_error("look up the branch that a restore leaves", error))
}

async fn request(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    backup: &BackupStatus,
    restore: &RestoreStatus,
) -> Result<(), ReconcileError> {
    let branch = backup.branch_id.as_deref().and_then(|id| id.parse().ok());
    let snapshot = backup.snapshot_id.as_deref().and_then(|id| id.parse().ok());
    match (branch, snapshot) {
        (Some(branch), _) => restore_branch(rec, id, &branch, restore).await,
        (None, Some(snapshot)) => restore_snapshot(rec, id, &snapshot, backup, restore).await,
        (None, None) => Err(ReconcileError::permanent(
            Component::Schema,
            Reason::Restoring,
            "status.backup names neither a branch nor a snapshot",
        )),
    }
}

/// Neon makes the restored branch a child of the backup, and a branch with children cannot expire, so
/// the expiration of the backup is removed first.
async fn restore_branch(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    source: &BranchId,
    restore: &RestoreStatus,
) -> Result<(), ReconcileError> {
    let neon = rec.neon()?;
    let kept = UpdateBranch::default().expires_at(None);
    neon.update_branch(id, source, kept)
        .await
        .map_err(|error| neon_error("keep the backup of the database", error))?;
    let target = branch_in_use(rec, id).await?;
    let body = RestoreBranch::from_head(source.clone())
        .preserve_under_name(restore.failed_branch_name.as_str());
    let restored = neon.restore_branch(id, &target, body).await;
    let restored = restored.map_err(|error| neon_error(RESTORE, error))?;
    wait(rec, id, &restored.operations).await
}

/// Restores the snapshot to a branch with a name of its own, so that an earlier restore is found, and
/// lets it replace the branch of the compute.
async fn restore_snapshot(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    snapshot: &SnapshotId,
    backup: &BackupStatus,
    restore: &RestoreStatus,
) -> Result<(), ReconcileError> {
    let neon = rec.neon()?;
    let name = derived_name(&backup.name, "restored");
    let found = neon.branch_named(id, &name).await;
    let found = found.map_err(|error| neon_error("look up the restored branch", error))?;
    let branch = if let Some(branch) = found {
        branch.id
    } else {
        let target = branch_in_use(rec, id).await?;
        let body = RestoreSnapshot::default()
            .name(name)
            .target_branch_id(target);
        let restored = neon.restore_snapshot(id, snapshot, body).await;
        let restored = restored.map_err(|error| neon_error(RESTORE, error))?;
        wait(rec, id, &restored.operations).await?;
        restored.branch.id
    };
    let body = FinalizeRestore::default().name(restore.failed_branch_name.as_str());
    let finalized = neon.finalize_restore(id, &branch, body).await;
    let finalized = finalized.map_err(|error| neon_error(RESTORE, error))?;
    wait(rec, id, &finalized.operations).await
}

async fn wait(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    operations: &[Operation],
) -> Result<(), ReconcileError> {
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    wait_for_operations(rec, id, &ids).await
}

fn neon_error(action: &str, error: neon_client::Error) -> ReconcileError {
    ReconcileError::neon(Component::Schema, action, error)
}

fn is_too_old(backup: &BackupStatus, now: Timestamp) -> bool {
    let created_at = backup.created_at.as_ref();
    created_at.is_some_and(|created_at| now.duration_since(created_at.0) > MAX_RESTORED_AGE)
}

/// Records that the database keeps what it has.
fn abandon(rec: &mut Reconciliation<'_>) {
    let now = rec.ctx.clock.now();
    let backup = rec.status.backup.as_mut();
    if let Some(restore) = backup.and_then(|backup| backup.restore.as_mut()) {
        restore.abandoned_at = Some(Time(now));
    }
}

/// Records that the backup no longer exists.
fn expire(rec: &mut Reconciliation<'_>) {
    let now = rec.ctx.clock.now();
    if let Some(backup) = &mut rec.status.backup {
        backup.expires_at = Some(Time(now));
    }
}

/// Records the schema of the backup, which the database has now.
fn record(rec: &mut Reconciliation<'_>) {
    let now = Time(rec.ctx.clock.now());
    let Some(backup) = &mut rec.status.backup else {
        return;
    };
    if let Some(schema) = &mut rec.status.schema {
        schema.version = backup.schema_version;
        schema.checksum.clone_from(&backup.schema_checksum);
        schema.applied_at = Some(now.clone());
    }
    if backup.branch_id.is_some() {
        backup.expires_at = None;
    }
    if let Some(restore) = &mut backup.restore {
        restore.restored_at = Some(now);
    }
}

/// The name of a backup with another prefix.
fn derived_name(backup: &str, prefix: &str) -> String {
    let rollout = backup.strip_prefix(super::backup::NAME_PREFIX);
    format!("{prefix}-{}", rollout.unwrap_or(backup))
}
