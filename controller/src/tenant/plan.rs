//! What to do next for one Tenant, and nothing more: `(wish, facts) -> step`.
//!
//! Pure: the clock comes in as a value, and the same facts always give the same step. No step trusts what an earlier
//! pass meant to do; each is safe to repeat, and the one that is not, creating a project, is only chosen when the
//! facts show that no earlier request can still land.

mod deletion;

use crds::{DeletionPolicy, Reason, TenantStatus};
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::{EndpointId, ProjectId};

use crate::tenant::desired::{Issue, DesiredState};
use crate::tenant::observed::{ObservedAccount, ObservedState, ObservedListing, Schema, ObservedSecret};
use deletion::plan_deletion;

/// How old a listing may be while a lost answer is being waited out, before another is asked for.
pub const MAX_VERIFICATION_LISTING_AGE: SignedDuration = SignedDuration::from_secs(5);

/// That the status names neither project nor request proves nothing before the account was listed once: a status can get
/// lost. Any listing will do, so those who wait for the first one share it.
const LIST_IF_NEVER_LISTED: Step = Step::List {
    since: Timestamp::MIN,
};

/// How often it is looked whether the Secret of an earlier Tenant is gone; its removal wakes us as a rule.
pub const STALE_SECRET_POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Mark the class as in use, so that it cannot vanish under the Tenant.
    GuardClass,
    /// Put our finalizer on the Tenant.
    AddFinalizer,
    /// Take our finalizer off: the Tenant may go.
    LetGo(ReleaseReason),
    /// Read the whole account, in a listing that begins no earlier than this.
    List {
        /// The earliest beginning that will do.
        since: Timestamp,
    },
    /// Nothing can be done before this moment, or before the next event.
    Wait {
        /// When to look again; `None`: something will wake us.
        until: Option<Timestamp>,
        /// What the condition says meanwhile.
        reason: Reason,
        /// And in words.
        message: String,
    },
    /// Record the intent, then ask Neon for a project.
    Create {
        /// Counts the requests for this Tenant, from 1.
        attempt: i32,
    },
    /// Take up a project that bears our mark: an earlier request of ours landed.
    TakeUp(ProjectId),
    /// Take over a project that existed before the Tenant.
    Adopt(ProjectId),
    /// Delete a second project of our own making.
    RemoveTwin(ProjectId),
    /// The listings lack the project: ask for it by id, and recover it if it was deleted.
    ConfirmGone(ProjectId),
    /// Something about the project changed: look at its compute.
    Inspect(ProjectId),
    /// Bring settings and compute to what is wished.
    Update {
        /// The project.
        project: ProjectId,
        /// The compute to change as well.
        compute: Option<EndpointId>,
    },
    /// Write the Secret.
    WriteSecret(ProjectId),
    /// Open the database and bring its schema up to date.
    Migrate(ProjectId),
    /// Delete the project.
    DeleteProject(ProjectId),
    /// `spec.suspend` holds every change back.
    Hold,
    /// A person has to mend something.
    Stall(Issue),
    /// Everything is as wished.
    Rest,
}

/// Why a Tenant may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// It never had a project, or the project is deleted.
    Gone,
    /// Its project stays, by policy.
    Retained,
    /// Its account cannot be reached and a person let it go.
    Abandoned,
}

/// What is to become of the Tenant.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each running pass"
)]
pub enum Intent {
    /// It is to live, as wished, or the wish cannot be granted.
    Live(Result<DesiredState, Issue>),
    /// It is to go, and its project with it or not.
    Go(DeletionPolicy),
}

/// The next step towards the goal.
pub fn plan(intent: &Intent, observed: &ObservedState) -> Step {
    match intent {
        Intent::Delete(policy) => plan_deletion(*policy, observed),
        Intent::Provision(_) if observed.suspended => Step::Suspended,
        Intent::Provision(Err(issue)) => Step::Stalled(issue.clone()),
        Intent::Provision(Ok(desired)) => plan_reconcile(desired, observed),
    }
}

/// What an outstanding request to create a project still asks for; `None` once it is sure that it did not land.
fn resolve_pending_creation(status: &TenantStatus, listing: &ObservedListing, now: Timestamp) -> Option<Step> {
    let intent = status.creation.as_ref()?;
    let settled_at = intent.settled_at.0;
    if listing.as_of.is_some_and(|as_of| as_of >= settled_at) {
        return None;
    }
    if now >= settled_at {
        return Some(Step::List { since: settled_at });
    }
    // Counted from its end: a large account may take longer to list than a listing stays fresh.
    match listing.done_at.or(listing.as_of) {
        Some(done_at) if done_at + MAX_VERIFICATION_LISTING_AGE > now => Some(Step::Wait {
            until: Some(settled_at.min(done_at + MAX_VERIFICATION_LISTING_AGE)),
            reason: Reason::VerifyingCreation,
            message: format!(
                "the answer to request {} for a project was lost; until {settled_at:.0} its project may still appear",
                intent.attempt
            ),
        }),
        _ => Some(Step::List { since: now }),
    }
}

/// Something is missing. What is only not read yet comes by itself; for the rest a person is needed.
fn missing(issue: &Issue) -> Step {
    match issue.reason {
        Reason::Waiting => Step::Wait {
            until: None,
            reason: issue.reason,
            message: issue.message.clone(),
        },
        _ => Step::Stalled(issue.clone()),
    }
}

fn plan_reconcile(desired: &DesiredState, observed: &ObservedState) -> Step {
    if let ObservedAccount::Unusable(issue) = &observed.account {
        return missing(issue);
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
        return Some(Step::Stalled(no_project_id(&project.id)));
    };
    if let Some(issue) = adoption_conflict(desired, observed, &id) {
        return Some(Step::Stalled(issue));
    }
    // A twin is told by our own mark: an adopted project has none, and a person's copy does not either.
    if let Some(twin) = observed
        .listing
        .marked
        .iter()
        .find(|seen| seen.id != id && !project.adopted)
    {
        return Some(Step::DeleteDuplicate(twin.id.clone()));
    }
    if observed.listing.unavailable {
        return Some(Step::Wait {
            until: None,
            reason: Reason::ProjectUnavailable,
            message: format!("Neon cannot read project {id} at the moment; it is not deleted"),
        });
    }
    if let Some(seen) = &observed.listing.own {
        let checked = project.checked_at.as_deref() == Some(seen.updated_at.as_str());
        if !checked && observed.endpoint.is_none() {
            return Some(Step::Inspect(id));
        }
        let drifted = !checked && seen.differs_from(desired, &observed.project_name, project.adopted);
        let resized = observed
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.differs_from(desired));
        return (drifted || resized || pending(desired, observed)).then(|| update(id, desired, observed));
    }
    if observed.listing.as_of.is_some() && !observed.project_found {
        return Some(Step::VerifyMissing(id));
    }
    pending(desired, observed).then(|| update(id, desired, observed))
}

fn update(project: ProjectId, desired: &DesiredState, observed: &ObservedState) -> Step {
    // Where nothing is known to be in effect (a project taken up after a lost answer), a size that is wished is sent.
    let in_effect = observed
        .status
        .effective
        .as_ref()
        .map(|effective| effective.compute)
        .unwrap_or_default();
    let resize = observed
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.differs_from(desired))
        || in_effect != desired.effective().compute;
    let endpoint = observed
        .endpoint
        .as_ref()
        .map(|endpoint| endpoint.id.clone())
        .or_else(|| {
            observed
                .status
                .project
                .as_ref()
                .and_then(|project| project.endpoint_id.as_ref())
                .and_then(|id| id.parse().ok())
        });
    match endpoint {
        // Which compute to change is not known: look first.
        None if resize => Step::Inspect(project),
        endpoint => Step::Update {
            project,
            compute: endpoint.filter(|_| resize),
        },
    }
}

/// Whether something that Neon has to be told differs between what is in effect and what is wished.
fn pending(desired: &DesiredState, observed: &ObservedState) -> bool {
    let Some(in_effect) = &observed.status.effective else {
        return true;
    };
    let wished = desired.effective();
    let project = observed.status.project.as_ref();
    let renamed =
        project.is_some_and(|project| !project.adopted && project.name != observed.project_name);
    renamed
        || in_effect.compute != wished.compute
        || in_effect.quota != wished.quota
        || in_effect.history_retention_seconds != wished.history_retention_seconds
        || in_effect.allowed_ips != wished.allowed_ips
}

/// The Tenant has no project yet.
fn plan_creation(desired: &DesiredState, observed: &ObservedState) -> Step {
    if let Some(adopt) = &desired.adopt {
        return adoption_conflict(desired, observed, &adopt.project)
            .map_or_else(|| Step::Adopt(adopt.project.clone()), Step::Stalled);
    }
    // Of several that landed, the first is kept; the others are removed as twins once this one is recorded.
    if let Some(seen) = observed
        .listing
        .marked
        .iter()
        .min_by_key(|seen| (seen.created_at, &seen.id))
    {
        return Step::RecoverCreated(seen.id.clone());
    }
    if observed.listing.as_of.is_none() {
        return LIST_IF_NEVER_LISTED;
    }
    resolve_pending_creation(&observed.status, &observed.listing, observed.now).unwrap_or_else(|| {
        let before = observed
            .status
            .creation
            .as_ref()
            .map_or(0, |intent| intent.attempt);
        Step::Create {
            attempt: before.saturating_add(1),
        }
    })
}

fn no_project_id(id: &str) -> Issue {
    Issue {
        reason: Reason::ProjectNotFound,
        message: format!(
            "status.project.id {id:?} is no project id: restore the status from a backup"
        ),
    }
}

fn adoption_conflict(desired: &DesiredState, observed: &ObservedState, project: &ProjectId) -> Option<Issue> {
    desired.adopt.as_ref()?;
    let other = observed.taken_by.as_ref()?;
    Some(Issue {
        reason: Reason::ProjectInUse,
        message: format!(
            "project {project} belongs to Tenant {other}: a project has one Tenant at most"
        ),
    })
}

fn plan_credentials(desired: &DesiredState, observed: &ObservedState) -> Option<Step> {
    let project = observed.status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    match &observed.secret {
        ObservedSecret::NotOwned => Some(Step::Stalled(Issue {
            reason: Reason::SecretConflict,
            message: format!(
                "Secret {0} exists and is not this Tenant's, so it is left as it is: delete it, or name another in \
                 spec.connectionSecret.name",
                desired.secret_name
            ),
        })),
        ObservedSecret::OwnedByPredecessor => Some(Step::Wait {
            until: Some(observed.now + STALE_SECRET_POLL_INTERVAL),
            reason: Reason::UpdatingSecret,
            message: format!(
                "Secret {} of an earlier Tenant of this name is still being removed",
                desired.secret_name
            ),
        }),
        ObservedSecret::Owned {
            intact: true,
            project: of,
            ca_digest,
        } if *of == Some(id.clone())
            && *ca_digest == observed.ca_digest
            && !observed.password_rejected
            && observed.status.connection.is_some()
            && observed
                .status
                .binding
                .as_ref()
                .is_some_and(|binding| binding.name == desired.secret_name) =>
        {
            None
        }
        _ => Some(Step::WriteSecret(id)),
    }
}

fn plan_schema(observed: &ObservedState) -> Option<Step> {
    let status = &observed.status;
    let project = status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    let target = match &observed.schema {
        Schema::Unusable(issue) => return Some(missing(issue)),
        Schema::Target(target) => target,
    };
    let current = status.schema.as_ref().is_some_and(|schema| {
        schema.project_id.as_deref() == Some(project.id.as_str())
            && schema.version == Some(target.version)
            && schema.checksum.as_deref() == Some(target.digest.as_str())
    });
    let asked = observed.reconcile_at.is_some() && observed.reconcile_at != status.last_reconcile_at;
    (!current || asked).then_some(Step::Migrate(id))
}

#[cfg(test)]
mod tests;
