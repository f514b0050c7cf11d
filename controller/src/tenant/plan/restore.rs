//! A database whose migration failed: restores it, and does not migrate it again for the same rollout
//! unless a user requests it.

use crds::{BackupStatus, Reason, RestoreStatus, annotations};
use neon_client::ids::ProjectId;

use super::{Step, is_requested};
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;

/// The step that a recorded restore needs. A restore is completed even if another rollout has
/// replaced its own meanwhile: Neon may have begun it.
pub(super) fn plan_restore(observed: &ObservedState, id: &ProjectId) -> Option<Step> {
    let backup = observed.status.backup.as_ref()?;
    let restore = backup.restore.as_ref()?;
    if backup.project_id != id.as_str() {
        return None;
    }
    let exists = backup
        .expires_at
        .as_ref()
        .is_none_or(|time| observed.now < time.0);
    let is_open = restore.restored_at.is_none() && restore.abandoned_at.is_none();
    if is_open && exists {
        return Some(Step::Restore(id.clone()));
    }
    let target = observed.schema.as_ref().ok()?;
    let is_same_rollout = target.rollout.as_ref() == Some(&backup.rollout);
    let is_reached = target.is_reached(observed.status.schema.as_ref(), id.as_str());
    (is_same_rollout && !is_reached && !is_requested(observed))
        .then(|| Step::Stalled(issue(backup, restore)))
}

/// What the Tenant reports until it is migrated again.
fn issue(backup: &BackupStatus, restore: &RestoreStatus) -> Issue {
    let version = backup
        .schema_version
        .map_or_else(String::new, |version| format!(" to version {version}"));
    let created = backup
        .created_at
        .as_ref()
        .map_or_else(String::new, |time| format!(" of {}", time.0));
    let outcome = if restore.restored_at.is_some() {
        format!(
            "the database was restored{version} from backup {}{created}, and what was written since then is in branch {} of the \
             project",
            backup.name, restore.failed_branch_name
        )
    } else if restore.abandoned_at.is_some() {
        format!(
            "the database was not restored{version}, because its backup {}{created} is more than an hour old, and a restore would \
             discard what was written since then",
            backup.name
        )
    } else {
        format!(
            "the database was not restored{version}, because backup {} no longer exists",
            backup.name
        )
    };
    Issue::new(
        Component::Schema,
        restore.reason.parse().unwrap_or(Reason::MigrationFailed),
        format!(
            "{}; {outcome}. Correct the migrations, or set the annotation {} to try these again",
            restore.message,
            annotations::RECONCILE_AT
        ),
    )
}
