//! Creates the backup of a database that a roll-out requires before its migration: a branch of the
//! project without a compute, which Neon deletes when it expires.
//!
//! The name of the branch is derived from the roll-out and recorded before the request, so that a
//! branch whose response was lost is found by its name. If such a request takes effect even later, the
//! second request fails, because Neon rejects a second branch of the same name, and the branch is found.

use crds::{BackupStatus, Reason};
use jiff::{SignedDuration, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::ErrorKind;
use neon_client::ids::ProjectId;
use neon_client::model::{Branch, CreateBranch};

use crate::error::ReconcileError;
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::outlasts_migration;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// Longest part of a branch's name that comes from its roll-out, in bytes. A roll-out's name ends with
/// what distinguishes it from others.
const MAX_ROLLOUT_BYTES: usize = 200;

/// Creates the backup, or finds the one that an earlier request created, and records it.
pub(super) async fn back_up(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let target = observed.schema.as_ref().ok();
    let required = target.and_then(|target| {
        let expiry = SignedDuration::from_secs(target.backup_expiry_seconds?);
        Some((target.rollout.clone()?, expiry))
    });
    let Some((rollout, expiry)) = required else {
        return Err(ReconcileError::transient(
            Component::Schema,
            Reason::Migrating,
            "the roll-out no longer requires a backup",
        ));
    };
    let branch_name = branch_name(&rollout);
    let requested = BackupStatus {
        rollout,
        project_id: id.to_string(),
        branch_name: branch_name.clone(),
        branch_id: None,
        expires_at: None,
    };
    let mut branch = None;
    if rec.status.backup.as_ref() == Some(&requested) {
        branch = find(rec, id, &branch_name).await?;
    } else {
        rec.status.backup = Some(requested.clone());
        rec.save_status(observed, &StatusOutcome::InProgress(progress()))
            .await?;
    }
    let branch = match branch {
        Some(branch) => branch,
        None => create(rec, id, &branch_name, expiry).await?,
    };
    rec.status.backup = Some(BackupStatus {
        branch_id: Some(branch.id.to_string()),
        expires_at: branch.expires_at.map(Time),
        ..requested
    });
    Ok(())
}

/// What the conditions report meanwhile.
fn progress() -> Issue {
    let message = "creating a branch of the project as a backup";
    Issue::new(Component::Schema, Reason::BackingUp, message)
}

fn branch_name(rollout: &str) -> String {
    let start = rollout.len().saturating_sub(MAX_ROLLOUT_BYTES);
    format!("before-{}", rollout.get(start..).unwrap_or(rollout))
}

/// The branch with this name, unless it expires too soon. Until Neon has deleted it then, no other one can
/// be created.
async fn find(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    name: &str,
) -> Result<Option<Branch>, ReconcileError> {
    let found = rec.neon()?.branch_named(id, name).await.map_err(|error| {
        let action = "look up the branch with the backup";
        ReconcileError::neon(Component::Schema, action, error)
    })?;
    let now = rec.ctx.clock.now();
    Ok(found.filter(|branch| outlasts_migration(branch.expires_at, now)))
}

async fn create(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    name: &str,
    expiry: SignedDuration,
) -> Result<Branch, ReconcileError> {
    let expires_at = rec.ctx.clock.now() + expiry;
    let mut body = CreateBranch::named(name);
    // Neon's resolution.
    body.branch.expires_at = expires_at.round(Unit::Second).ok();
    let project = rec.status.project.as_ref();
    body.branch.parent_id = project
        .and_then(|project| project.branch_id.as_deref())
        .and_then(|branch| branch.parse().ok());
    let error = match rec.neon()?.create_branch(id, body).await {
        Ok(created) => return Ok(created.branch),
        Err(error) => error,
    };
    // The record of an earlier request can get lost with the status.
    if error.kind() == ErrorKind::Conflict
        && let Some(branch) = find(rec, id, name).await?
    {
        return Ok(branch);
    }
    let action = match error.kind() {
        ErrorKind::LimitExceeded => {
            "create a branch as a backup; delete branches of the project in Neon, upgrade the account's plan, or skip the Tenant"
        }
        _ => "create a branch as a backup",
    };
    Err(ReconcileError::neon(Component::Schema, action, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_of_different_rollouts_have_different_names_of_limited_length() {
        assert_eq!(
            branch_name("default-7-3f2a91c0"),
            "before-default-7-3f2a91c0"
        );
        let long = |end: &str| branch_name(&format!("{}-{end}", "c".repeat(240)));
        assert_ne!(long("7-3f2a91c0"), long("8-b81d04e7"));
        assert!(long("7-3f2a91c0").len() < 256);
    }
}
