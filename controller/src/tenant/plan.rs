//! What to do next for one Tenant, and nothing more: `(wish, facts) -> step`.
//!
//! Pure: the clock comes in as a value, and the same facts always give the same step. No step trusts what an earlier
//! pass meant to do; each is safe to repeat, and the one that is not, creating a project, is only chosen when the
//! facts show that no earlier request can still land.

mod deletion;

use crds::{DeletionPolicy, Reason, TenantStatus};
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::{EndpointId, ProjectId};

use crate::tenant::desired::{Refusal, Wish};
use crate::tenant::observed::{AccountFacts, Facts, ListingFacts, Schema, SecretFacts};
use deletion::plan_deletion;

/// How old a listing may be while a lost answer is being waited out, before another is asked for.
pub const SETTLE_LISTING_AGE_MAX: SignedDuration = SignedDuration::from_secs(5);

/// That the status names neither project nor request proves nothing before the account was listed once: a status can get
/// lost. Any listing will do, so those who wait for the first one share it.
const LIST_ONCE: Step = Step::List {
    since: Timestamp::MIN,
};

/// How often it is looked whether the Secret of an earlier Tenant is gone; its removal wakes us as a rule.
pub const LEFTOVER_LOOK_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Mark the class as in use, so that it cannot vanish under the Tenant.
    GuardClass,
    /// Put our finalizer on the Tenant.
    AddFinalizer,
    /// Take our finalizer off: the Tenant may go.
    LetGo(Farewell),
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
    Stall(Refusal),
    /// Everything is as wished.
    Rest,
}

/// Why a Tenant may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
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
pub enum Goal {
    /// It is to live, as wished, or the wish cannot be granted.
    Live(Result<Wish, Refusal>),
    /// It is to go, and its project with it or not.
    Go(DeletionPolicy),
}

/// The next step towards the goal.
pub fn plan(goal: &Goal, facts: &Facts) -> Step {
    match goal {
        Goal::Go(policy) => plan_deletion(*policy, facts),
        Goal::Live(_) if facts.suspended => Step::Hold,
        Goal::Live(Err(refusal)) => Step::Stall(refusal.clone()),
        Goal::Live(Ok(wish)) => plan_life(wish, facts),
    }
}

/// What an outstanding request to create a project still asks for; `None` once it is sure that it did not land.
fn settle(status: &TenantStatus, listing: &ListingFacts, now: Timestamp) -> Option<Step> {
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
        Some(done_at) if done_at + SETTLE_LISTING_AGE_MAX > now => Some(Step::Wait {
            until: Some(settled_at.min(done_at + SETTLE_LISTING_AGE_MAX)),
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
fn missing(refusal: &Refusal) -> Step {
    match refusal.reason {
        Reason::Waiting => Step::Wait {
            until: None,
            reason: refusal.reason,
            message: refusal.message.clone(),
        },
        _ => Step::Stall(refusal.clone()),
    }
}

fn plan_life(wish: &Wish, facts: &Facts) -> Step {
    if let AccountFacts::Unusable(refusal) = &facts.account {
        return missing(refusal);
    }
    if !facts.class_guarded {
        return Step::GuardClass;
    }
    if !facts.has_finalizer {
        return Step::AddFinalizer;
    }
    plan_project(wish, facts)
        .or_else(|| plan_credentials(wish, facts))
        .or_else(|| plan_schema(facts))
        .unwrap_or(Step::Rest)
}

fn plan_project(wish: &Wish, facts: &Facts) -> Option<Step> {
    let status = &facts.status;
    let Some(project) = &status.project else {
        return Some(plan_birth(wish, facts));
    };
    let Ok(id) = project.id.parse::<ProjectId>() else {
        return Some(Step::Stall(no_project_id(&project.id)));
    };
    if let Some(refusal) = adoption_conflict(wish, facts, &id) {
        return Some(Step::Stall(refusal));
    }
    // A twin is told by our own mark: an adopted project has none, and a person's copy does not either.
    if let Some(twin) = facts
        .listing
        .marked
        .iter()
        .find(|seen| seen.id != id && !project.adopted)
    {
        return Some(Step::RemoveTwin(twin.id.clone()));
    }
    if facts.listing.unavailable {
        return Some(Step::Wait {
            until: None,
            reason: Reason::ProjectUnavailable,
            message: format!("Neon cannot read project {id} at the moment; it is not deleted"),
        });
    }
    if let Some(seen) = &facts.listing.own {
        let checked = project.checked_at.as_deref() == Some(seen.updated_at.as_str());
        if !checked && facts.endpoint.is_none() {
            return Some(Step::Inspect(id));
        }
        let drifted = !checked && seen.differs_from(wish, &facts.project_name, project.adopted);
        let resized = facts
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.differs_from(wish));
        return (drifted || resized || pending(wish, facts)).then(|| update(id, wish, facts));
    }
    if facts.listing.as_of.is_some() && !facts.confirmed {
        return Some(Step::ConfirmGone(id));
    }
    pending(wish, facts).then(|| update(id, wish, facts))
}

fn update(project: ProjectId, wish: &Wish, facts: &Facts) -> Step {
    // Where nothing is known to be in effect (a project taken up after a lost answer), a size that is wished is sent.
    let in_effect = facts
        .status
        .effective
        .as_ref()
        .map(|effective| effective.compute)
        .unwrap_or_default();
    let resize = facts
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.differs_from(wish))
        || in_effect != wish.effective().compute;
    let endpoint = facts
        .endpoint
        .as_ref()
        .map(|endpoint| endpoint.id.clone())
        .or_else(|| {
            facts
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
fn pending(wish: &Wish, facts: &Facts) -> bool {
    let Some(in_effect) = &facts.status.effective else {
        return true;
    };
    let wished = wish.effective();
    let project = facts.status.project.as_ref();
    let renamed =
        project.is_some_and(|project| !project.adopted && project.name != facts.project_name);
    renamed
        || in_effect.compute != wished.compute
        || in_effect.quota != wished.quota
        || in_effect.history_retention_seconds != wished.history_retention_seconds
        || in_effect.allowed_ips != wished.allowed_ips
}

/// The Tenant has no project yet.
fn plan_birth(wish: &Wish, facts: &Facts) -> Step {
    if let Some(adopt) = &wish.adopt {
        return adoption_conflict(wish, facts, &adopt.project)
            .map_or_else(|| Step::Adopt(adopt.project.clone()), Step::Stall);
    }
    // Of several that landed, the first is kept; the others are removed as twins once this one is recorded.
    if let Some(seen) = facts
        .listing
        .marked
        .iter()
        .min_by_key(|seen| (seen.created_at, &seen.id))
    {
        return Step::TakeUp(seen.id.clone());
    }
    if facts.listing.as_of.is_none() {
        return LIST_ONCE;
    }
    settle(&facts.status, &facts.listing, facts.now).unwrap_or_else(|| {
        let before = facts
            .status
            .creation
            .as_ref()
            .map_or(0, |intent| intent.attempt);
        Step::Create {
            attempt: before.saturating_add(1),
        }
    })
}

fn no_project_id(id: &str) -> Refusal {
    Refusal {
        reason: Reason::ProjectNotFound,
        message: format!(
            "status.project.id {id:?} is no project id: restore the status from a backup"
        ),
    }
}

fn adoption_conflict(wish: &Wish, facts: &Facts, project: &ProjectId) -> Option<Refusal> {
    wish.adopt.as_ref()?;
    let other = facts.taken_by.as_ref()?;
    Some(Refusal {
        reason: Reason::ProjectInUse,
        message: format!(
            "project {project} belongs to Tenant {other}: a project has one Tenant at most"
        ),
    })
}

fn plan_credentials(wish: &Wish, facts: &Facts) -> Option<Step> {
    let project = facts.status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    match &facts.secret {
        SecretFacts::Foreign => Some(Step::Stall(Refusal {
            reason: Reason::SecretConflict,
            message: format!(
                "Secret {0} exists and is not this Tenant's, so it is left as it is: delete it, or name another in \
                 spec.connectionSecret.name",
                wish.secret_name
            ),
        })),
        SecretFacts::Leftover => Some(Step::Wait {
            until: Some(facts.now + LEFTOVER_LOOK_INTERVAL),
            reason: Reason::UpdatingSecret,
            message: format!(
                "Secret {} of an earlier Tenant of this name is still being removed",
                wish.secret_name
            ),
        }),
        SecretFacts::Ours {
            intact: true,
            project: of,
            ca_digest,
        } if *of == Some(id.clone())
            && *ca_digest == facts.ca_digest
            && !facts.password_rejected
            && facts.status.connection.is_some()
            && facts
                .status
                .binding
                .as_ref()
                .is_some_and(|binding| binding.name == wish.secret_name) =>
        {
            None
        }
        _ => Some(Step::WriteSecret(id)),
    }
}

fn plan_schema(facts: &Facts) -> Option<Step> {
    let status = &facts.status;
    let project = status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    let target = match &facts.schema {
        Schema::Unusable(refusal) => return Some(missing(refusal)),
        Schema::Target(target) => target,
    };
    let current = status.schema.as_ref().is_some_and(|schema| {
        schema.project_id.as_deref() == Some(project.id.as_str())
            && schema.version == Some(target.version)
            && schema.checksum.as_deref() == Some(target.digest.as_str())
    });
    let asked = facts.reconcile_at.is_some() && facts.reconcile_at != status.last_reconcile_at;
    (!current || asked).then_some(Step::Migrate(id))
}

#[cfg(test)]
mod tests;
