//! Creates the backup of a database that a rollout requires before its migration: a branch of the
//! project without a compute, or a snapshot. Neon deletes both when they expire.
//!
//! The name of the backup is recorded before the request, so that a backup whose response was lost is
//! found by its name. If such a request takes effect even later, Neon rejects the second request for a
//! branch of the same name, and there are two snapshots, which both expire. The name contains the time
//! at which it was chosen: if the status is lost, an earlier backup is not taken for the new one, and
//! an earlier restore not for one from the new backup.

use crds::{BackupStatus, Reason};
use jiff::{SignedDuration, Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{Branch, CreateBranch, CreateSnapshot, Snapshot};
use neon_client::{Error, ErrorKind};

use super::compute::{no_read_write_compute, read_write_compute, record_compute};
use crate::error::ReconcileError;
use crate::issue::{Component, Issue};
use crate::schema_assignment::BackupKind;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::outlasts_migration;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// Longest part of a backup's name that comes from its rollout, in bytes. A rollout's name ends with
/// what distinguishes it from others.
const MAX_ROLLOUT_BYTES: usize = 200;
/// Start of the names of backups.
pub(super) const NAME_PREFIX: &str = "before-";

/// A backup in Neon.
#[derive(Debug, Default)]
struct Backup {
    branch_id: Option<String>,
    snapshot_id: Option<String>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

/// Creates the backup, or finds the one that an earlier request created, and records it.
pub(super) async fn back_up(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let target = observed.schema.as_ref().ok();
    let required = target.and_then(|target| Some((target.rollout.clone()?, target.backup?)));
    let Some((rollout, required)) = required else {
        return Err(ReconcileError::transient(
            Component::Schema,
            Reason::Migrating,
            "the rollout no longer requires a backup",
        ));
    };
    let attempt = attempt(rec.status.backup.as_ref(), &rollout, id);
    let new_name = backup_name(&rollout, attempt, rec.ctx.clock.now());
    let recorded = rec.status.backup.as_ref();
    let name = recorded.map_or_else(|| new_name.clone(), |recorded| recorded.name.clone());
    let schema = rec.status.schema.as_ref();
    let mut requested = BackupStatus {
        rollout,
        project_id: id.to_string(),
        name,
        branch_id: None,
        snapshot_id: None,
        created_at: None,
        expires_at: None,
        attempt,
        schema_version: schema.and_then(|schema| schema.version),
        schema_checksum: schema.and_then(|schema| schema.checksum.clone()),
        restore: None,
    };
    let mut backup = None;
    if recorded == Some(&requested) {
        backup = find_usable(rec, id, required.kind, &requested.name).await?;
    } else {
        requested.name = new_name;
        rec.status.backup = Some(requested.clone());
        rec.save_status(
            observed,
            &StatusOutcome::InProgress(progress(required.kind)),
        )
        .await?;
    }
    let backup = if let Some(backup) = backup {
        backup
    } else {
        let expires_at = rec.ctx.clock.now() + SignedDuration::from_secs(required.expiry_seconds);
        // Neon's resolution.
        let expires_at = expires_at.round(Unit::Second).ok();
        create(rec, id, required.kind, &requested.name, expires_at).await?
    };
    rec.status.backup = Some(BackupStatus {
        branch_id: backup.branch_id,
        snapshot_id: backup.snapshot_id,
        created_at: Some(Time(backup.created_at.unwrap_or(rec.ctx.clock.now()))),
        expires_at: backup.expires_at.map(Time),
        ..requested
    });
    Ok(())
}

/// What the conditions report meanwhile.
fn progress(kind: BackupKind) -> Issue {
    let message = match kind {
        BackupKind::Branch => "creating a branch of the project as a backup",
        BackupKind::Snapshot => "creating a snapshot of the project's branch as a backup",
    };
    Issue::new(Component::Schema, Reason::BackingUp, message)
}

/// Number of the next backup for the rollout. A backup that Neon has confirmed is replaced because it
/// expires, or because the database was restored from it.
fn attempt(recorded: Option<&BackupStatus>, rollout: &str, id: &ProjectId) -> i32 {
    let recorded =
        recorded.filter(|backup| backup.rollout == rollout && backup.project_id == id.as_str());
    recorded.map_or(1, |backup| {
        let is_replaced = backup.id().is_some();
        backup.attempt.saturating_add(i32::from(is_replaced))
    })
}

fn backup_name(rollout: &str, attempt: i32, chosen_at: Timestamp) -> String {
    let start = rollout.len().saturating_sub(MAX_ROLLOUT_BYTES);
    let rollout = rollout.get(start..).unwrap_or(rollout);
    let time = chosen_at.strftime("%Y%m%dT%H%M%SZ");
    if attempt == 1 {
        format!("{NAME_PREFIX}{rollout}-{time}")
    } else {
        format!("{NAME_PREFIX}{rollout}-{time}-{attempt}")
    }
}

/// Whether Neon has the backup no longer.
pub(super) async fn is_missing(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    backup: &BackupStatus,
) -> Result<bool, ReconcileError> {
    let kind = if backup.branch_id.is_some() {
        BackupKind::Branch
    } else {
        BackupKind::Snapshot
    };
    let found = find(rec, id, kind, &backup.name).await?;
    Ok(found.is_none())
}

/// The backup with this name, unless it expires too soon. Until Neon has deleted such a branch, no other
/// one of its name can be created.
async fn find_usable(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    kind: BackupKind,
    name: &str,
) -> Result<Option<Backup>, ReconcileError> {
    let now = rec.ctx.clock.now();
    let found = find(rec, id, kind, name).await?;
    Ok(found.filter(|backup| outlasts_migration(backup.expires_at, now)))
}

async fn find(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    kind: BackupKind,
    name: &str,
) -> Result<Option<Backup>, ReconcileError> {
    let neon = rec.neon()?;
    let found = match kind {
        BackupKind::Branch => {
            let found = neon.branch_named(id, name).await;
            found.map(|branch| branch.map(Backup::from))
        }
        BackupKind::Snapshot => {
            let found = neon.snapshot_named(id, name).await;
            found.map(|snapshot| snapshot.map(Backup::from))
        }
    };
    found.map_err(|error| ReconcileError::neon(Component::Schema, "look up the backup", error))
}

async fn create(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    kind: BackupKind,
    name: &str,
    expires_at: Option<Timestamp>,
) -> Result<Backup, ReconcileError> {
    let branch = branch_in_use(rec, id).await?;
    let neon = rec.neon()?;
    let created = match kind {
        BackupKind::Branch => {
            let mut body = CreateBranch::named(name).parent_id(branch);
            body.branch.expires_at = expires_at;
            let created = neon.create_branch(id, body).await;
            created.map(|created| Backup::from(created.branch))
        }
        BackupKind::Snapshot => {
            let body = CreateSnapshot {
                name: Some(name.to_owned()),
                expires_at,
            };
            let created = neon.create_snapshot(id, &branch, body).await;
            created.map(|created| Backup {
                expires_at: created.snapshot.expires_at.or(expires_at),
                ..Backup::from(created.snapshot)
            })
        }
    };
    let error = match created {
        Ok(backup) => return Ok(backup),
        Err(error) => error,
    };
    // An earlier request can take effect late.
    if matches!(
        error.kind(),
        ErrorKind::Conflict | ErrorKind::LimitExceeded | ErrorKind::PlanLimit
    ) && let Some(backup) = find_usable(rec, id, kind, name).await?
    {
        return Ok(backup);
    }
    Err(creation_error(kind, error))
}

/// The branch that the Tenant's compute is on. A restore in Neon moves the compute to another branch.
pub(super) async fn branch_in_use(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<BranchId, ReconcileError> {
    let compute = read_write_compute(rec, id, "read the project's compute").await?;
    let Some(compute) = compute else {
        return Err(no_read_write_compute(rec, Component::Schema, id));
    };
    record_compute(rec, &compute);
    Ok(compute.branch_id)
}

fn creation_error(kind: BackupKind, error: Error) -> ReconcileError {
    let at_limit = matches!(
        error.kind(),
        ErrorKind::LimitExceeded | ErrorKind::PlanLimit
    );
    match kind {
        BackupKind::Snapshot if at_limit => ReconcileError::permanent(
            Component::Schema,
            Reason::PlanLimit,
            "failed to create a snapshot as a backup: the account's plan allows no further snapshot of the project (Neon's \
             Free plan allows one, paid plans ten); delete a snapshot of the project in Neon, wait until one expires, use \
             backup: Branch in the class, upgrade the plan, or skip the Tenant",
        )
        .with_source(error),
        BackupKind::Snapshot => {
            ReconcileError::neon(Component::Schema, "create a snapshot as a backup", error)
        }
        BackupKind::Branch if at_limit => ReconcileError::neon(
            Component::Schema,
            "create a branch as a backup; delete branches of the project in Neon, upgrade the account's plan, or skip the Tenant",
            error,
        ),
        BackupKind::Branch => {
            ReconcileError::neon(Component::Schema, "create a branch as a backup", error)
        }
    }
}

impl From<Branch> for Backup {
    fn from(branch: Branch) -> Self {
        Self {
            branch_id: Some(branch.id.to_string()),
            created_at: Some(branch.created_at),
            expires_at: branch.expires_at,
            ..Self::default()
        }
    }
}

impl From<Snapshot> for Backup {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            snapshot_id: Some(snapshot.id.to_string()),
            created_at: snapshot.created_at,
            expires_at: snapshot.expires_at,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use neon_client::Route;

    use super::*;

    #[test]
    fn backups_have_different_names_of_limited_length() {
        let now: Timestamp = "2026-12-01T14:55:23.5Z".parse().unwrap();
        assert_eq!(
            backup_name("default-7-3f2a91c0", 1, now),
            "before-default-7-3f2a91c0-20261201T145523Z"
        );
        assert_eq!(
            backup_name("default-7-3f2a91c0", 2, now),
            "before-default-7-3f2a91c0-20261201T145523Z-2"
        );
        let long = |end: &str| backup_name(&format!("{}-{end}", "c".repeat(240)), 1, now);
        assert_ne!(long("7-3f2a91c0"), long("8-b81d04e7"));
        assert!(long("7-3f2a91c0").len() < 256);
    }

    #[test]
    fn a_refused_backup_names_the_limit() {
        let reason = |kind, route| {
            let error = Error::new(route, ErrorKind::LimitExceeded);
            creation_error(kind, error).issue.reason
        };
        assert_eq!(
            reason(BackupKind::Snapshot, Route::CreateSnapshot),
            Reason::PlanLimit
        );
        assert_eq!(
            reason(BackupKind::Branch, Route::CreateBranch),
            Reason::AccountLimit
        );
    }
}
