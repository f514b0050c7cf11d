//! Chooses the next step for a Tenant: `(intent, observed state) -> step`.
//!
//! Pure: the clock is an input, and the same input always gives the same step. The plan does not
//! depend on what an earlier reconciliation intended. Every step can be repeated safely except the
//! creation of a project, which is only chosen when the observed state proves that no earlier
//! request can still take effect.

mod credentials;
mod deletion;
mod duplicates;
mod existing;
mod restore;
mod settings;

use crds::{Reason, TenantStatus};
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::{EndpointId, ProjectId};

use crate::accounts::ObservedListing;
use crate::issue::{Component, Issue};
use crate::schema_assignment::SchemaTarget;
use crate::tenant::desired::DesiredState;
use crate::tenant::intent::Intent;
use crate::tenant::observed::ObservedState;
use crate::tenant::ownership::{Ownership, ownership_issue, recorded_ownership};
use credentials::plan_credentials;
use deletion::plan_deletion;
use duplicates::{choose_project, plan_duplicates};
use existing::plan_existing;
use restore::plan_restore;
pub use settings::settings_changes;
use settings::{has_pending_change, plan_listed_settings, plan_update};

/// Maximum age of the listing that is used while a lost answer is being verified.
pub const MAX_VERIFICATION_LISTING_AGE: SignedDuration = SignedDuration::from_secs(5);

/// Interval at which the controller checks whether the Secret of an earlier Tenant has been
/// deleted. Usually the watch reports the deletion first.
pub const STALE_SECRET_POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// Shortest time for which a backup has to exist from the start of a migration on.
const MIN_BACKUP_LIFETIME: SignedDuration = SignedDuration::from_mins(15);

/// A status can get lost, so a status without a project proves nothing until the account has been
/// listed once. Any listing is recent enough, so all Tenants that wait for the first one share it.
const LIST_IF_NEVER_LISTED: Step = Step::List {
    since: Timestamp::MIN,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put the `in-use` finalizer on the class, so that it cannot be deleted before the Tenant.
    AddClassFinalizer,
    AddFinalizer,
    /// Remove the finalizer, which completes the Tenant's deletion.
    RemoveFinalizer(ReleaseReason),
    /// List the account's projects.
    List {
        /// Earliest start of a listing that is recent enough.
        since: Timestamp,
    },
    /// End the reconciliation and continue later.
    Wait {
        /// When to continue; `None` if a change triggers the next reconciliation.
        until: Option<Timestamp>,
        issue: Issue,
    },
    /// Record the intent, then create a project.
    Create {
        /// Number of the request for this Tenant, from 1.
        attempt: i32,
    },
    /// Record a project that an earlier request of this Tenant created.
    RecoverCreated(ProjectId),
    /// Claim and record a project that existed before the Tenant.
    Adopt(ProjectId),
    /// Claim and record the project of an earlier Tenant of the same namespace and name.
    Reclaim(ProjectId),
    /// Look up a project that the listing lacks and that the Tenant's annotation or its restored
    /// Secret names, and recover it if it was deleted.
    FindNamed(ProjectId),
    /// Read which Tenant has claimed the project.
    Claim {
        project: ProjectId,
        /// Whether to claim it if no Tenant has.
        acquire: bool,
    },
    /// Write the project's id to the annotation of the Tenant.
    AnnotateProject(ProjectId),
    /// Delete a second project that carries the Tenant's mark.
    DeleteDuplicate {
        project: ProjectId,
        /// Whether a user named the project. Otherwise a request of this Tenant created it, and it
        /// must still be unused.
        named: bool,
    },
    /// Read a project that the listing lacks by its id, and recover it if it was deleted.
    VerifyMissing(ProjectId),
    /// Read the compute of a project.
    Inspect(ProjectId),
    /// Apply the desired settings in Neon.
    Update {
        project: ProjectId,
        /// The compute to update as well.
        compute: Option<EndpointId>,
    },
    WriteSecret(ProjectId),
    /// Compare the content of the Secret, which changed since the controller last wrote it.
    CheckSecret(ProjectId),
    /// Create the backup that the rollout requires.
    BackUp(ProjectId),
    /// Restore the database from its backup, because a migration failed.
    Restore(ProjectId),
    /// Connect to the database and apply the missing migrations.
    Migrate(ProjectId),
    DeleteProject(ProjectId),
    /// `spec.suspend` is true: change nothing.
    Suspended,
    /// Progress needs a change by a user or an administrator.
    Stalled(Issue),
    UpToDate,
}

/// Why the finalizer may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The project is deleted, or never existed.
    Deleted,
    /// The project is retained by policy.
    Retained,
    /// The recorded project does not belong to the Tenant.
    NotOwned,
    /// The account cannot be reached, and the `orphan` annotation allows leaving the project
    /// behind.
    Orphaned,
}

/// The next step towards the intent.
pub fn plan(intent: &Intent, observed: &ObservedState) -> Step {
    match intent {
        Intent::Delete(policy) => plan_deletion(*policy, observed),
        Intent::Provision(_) if observed.suspended => Step::Suspended,
        Intent::Provision(Err(issue)) => wait_or_stall(issue),
        Intent::Provision(Ok(desired)) => plan_reconcile(desired, observed),
    }
}

/// The step that a pending creation request needs; `None` once it is certain that the request had
/// no effect.
fn resolve_pending_creation(
    status: &TenantStatus,
    listing: &ObservedListing,
    now: Timestamp,
) -> Option<Step> {
    let request = status.creation.as_ref()?;
    let settled_at = request.settled_at.0;
    if listing.as_of.is_some_and(|as_of| as_of >= settled_at) {
        return None;
    }
    if now >= settled_at {
        return Some(Step::List { since: settled_at });
    }
    let issue = Issue::new(
        Component::Project,
        Reason::VerifyingCreation,
        format!(
            "no response to creation request {}; its project may still appear until {settled_at:.0}",
            request.attempt
        ),
    );
    Some(list_or_wait(listing, now, issue, Some(settled_at)))
}

/// Lists the account if the last listing is older than [`MAX_VERIFICATION_LISTING_AGE`]; otherwise
/// waits until then, at most until the given time. The age counts from the end of the listing:
/// listing a large account can take longer than the maximum age.
fn list_or_wait(
    listing: &ObservedListing,
    now: Timestamp,
    issue: Issue,
    at_most_until: Option<Timestamp>,
) -> Step {
    match listing.done_at.or(listing.as_of) {
        Some(done_at) if done_at + MAX_VERIFICATION_LISTING_AGE > now => {
            let next = done_at + MAX_VERIFICATION_LISTING_AGE;
            Step::Wait {
                until: Some(at_most_until.map_or(next, |end| end.min(next))),
                issue,
            }
        }
        _ => Step::List { since: now },
    }
}

/// The step for a missing prerequisite: wait if the controller has not read it yet, otherwise
/// report it.
fn wait_or_stall(issue: &Issue) -> Step {
    match issue.reason {
        Reason::Waiting => Step::Wait {
            until: None,
            issue: issue.clone(),
        },
        _ => Step::Stalled(issue.clone()),
    }
}

fn plan_reconcile(desired: &DesiredState, observed: &ObservedState) -> Step {
    if let Err(issue) = &observed.account {
        return wait_or_stall(issue);
    }
    if !observed.class_has_finalizer {
        return Step::AddClassFinalizer;
    }
    if !observed.has_finalizer {
        return Step::AddFinalizer;
    }
    plan_project(desired, observed)
        .or_else(|| plan_credentials(desired, observed))
        .or_else(|| plan_schema(observed))
        .unwrap_or(Step::UpToDate)
}

fn plan_project(desired: &DesiredState, observed: &ObservedState) -> Option<Step> {
    let status = &observed.status;
    let Some(project) = &status.project else {
        return Some(plan_creation(desired, observed));
    };
    let Ok(id) = project.id.parse::<ProjectId>() else {
        return Some(Step::Stalled(invalid_project_id(&project.id)));
    };
    match recorded_ownership(observed, project, &id) {
        Ownership::Own => {}
        Ownership::Refused(issue) => return Some(Step::Stalled(issue)),
        Ownership::Unlisted => return Some(LIST_IF_NEVER_LISTED),
        Ownership::Unclaimed => {
            return Some(Step::Claim {
                project: id,
                acquire: true,
            });
        }
    }
    if let Some(step) = plan_duplicates(observed, &id) {
        return Some(step);
    }
    if observed.annotated_project.as_ref() != Some(&id) {
        return Some(Step::AnnotateProject(id));
    }
    if observed.listing.unavailable {
        return Some(Step::Wait {
            until: None,
            issue: Issue::new(
                Component::Project,
                Reason::ProjectUnavailable,
                format!(
                    "Neon currently cannot read project {id}, so the project is not deleted yet"
                ),
            ),
        });
    }
    if let Some(listed) = &observed.listing.own {
        return plan_listed_settings(id, project, listed, desired, observed);
    }
    if observed.listing.as_of.is_some() && !observed.project_found {
        return Some(Step::VerifyMissing(id));
    }
    has_pending_change(desired, observed).then(|| plan_update(id, desired, observed))
}

/// The next step for a Tenant without a project.
fn plan_creation(desired: &DesiredState, observed: &ObservedState) -> Step {
    if let Some(adopt) = &desired.adopt {
        return ownership_issue(observed, &adopt.project, None)
            .map_or_else(|| Step::Adopt(adopt.project.clone()), Step::Stalled);
    }
    if let Some(step) = choose_project(observed) {
        return step;
    }
    match observed.listing.as_of {
        None => return LIST_IF_NEVER_LISTED,
        // A user may have recovered the project of an earlier Tenant since, to apply this one.
        Some(as_of) if as_of < observed.created_at => {
            return Step::List {
                since: observed.created_at,
            };
        }
        Some(_) => {}
    }
    if let Some(step) = plan_existing(desired, observed) {
        return step;
    }
    resolve_pending_creation(&observed.status, &observed.listing, observed.now).unwrap_or_else(
        || {
            let previous = observed
                .status
                .creation
                .as_ref()
                .map_or(0, |request| request.attempt);
            Step::Create {
                attempt: previous.saturating_add(1),
            }
        },
    )
}

fn invalid_project_id(id: &str) -> Issue {
    Issue::new(
        Component::Project,
        Reason::ProjectNotFound,
        format!(
            "status.project.id {id:?} is not a valid project id: restore the status from a backup"
        ),
    )
}

fn plan_schema(observed: &ObservedState) -> Option<Step> {
    let status = &observed.status;
    let project = status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    if let Some(step) = plan_restore(observed, &id) {
        return Some(step);
    }
    let target = match &observed.schema {
        Err(issue) => return Some(wait_or_stall(issue)),
        Ok(target) => target,
    };
    let current = target.is_reached(status.schema.as_ref(), &project.id);
    let requested = is_requested(observed);
    if !current && lacks_backup(observed, target, &project.id) {
        return Some(Step::BackUp(id));
    }
    (!current || requested).then_some(Step::Migrate(id))
}

/// Whether a user requests a migration.
fn is_requested(observed: &ObservedState) -> bool {
    observed.reconcile_at.is_some() && observed.reconcile_at != observed.status.last_reconcile_at
}

/// Whether the rollout requires a backup and no usable one exists: there is none, it expires too soon,
/// or the database has already been restored from it.
fn lacks_backup(observed: &ObservedState, target: &SchemaTarget, project: &str) -> bool {
    let status = &observed.status;
    let is_backed_up = status.backup.as_ref().is_some_and(|backup| {
        let expires_at = backup.expires_at.as_ref().map(|time| time.0);
        Some(&backup.rollout) == target.rollout.as_ref()
            && backup.project_id == project
            && backup.id().is_some()
            && backup.restore.is_none()
            && outlasts_migration(expires_at, observed.now)
    });
    target.backup.is_some() && may_have_data(status, project) && !is_backed_up
}

/// Whether a backup exists for long enough to be used if a migration that starts now fails.
pub(super) fn outlasts_migration(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_none_or(|expires_at| expires_at.duration_since(now) >= MIN_BACKUP_LIFETIME)
}

/// Whether the database can contain data: a schema was applied, the Tenant was ready, or the project is
/// older than the Tenant.
fn may_have_data(status: &TenantStatus, project: &str) -> bool {
    let has_schema = status.schema.as_ref().is_some_and(|schema| {
        schema.version.is_some() && schema.project_id.as_deref() == Some(project)
    });
    let timings = status.timings.as_ref();
    let was_ready = timings.is_some_and(|timings| timings.ready_ms.is_some());
    let recorded = status.project.as_ref();
    let is_older = recorded.is_some_and(|project| project.adopted || project.reclaimed);
    has_schema || was_ready || is_older
}

#[cfg(test)]
mod tests;
