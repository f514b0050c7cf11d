//! Gathers the observed state of a class's rollouts from the caches.

use std::sync::Arc;

use crds::{
    ConditionType, RolloutPlan, RolloutSettings, SchemaRollout, TenantClass, find_condition,
};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};

use crate::cache::{CachedSchema, CachedTenant, ClassRollouts, ProblemSubject, SchemaProblem};
use crate::context::Context;
use crate::identity::TenantUid;
use crate::migrations::MigrationSet;
use crate::schema_assignment::{
    Place, PlaceInput, ReachInput, has_begun, is_admitted, is_reached, is_skipped, phase, place,
    use_counts_from, used_at,
};

/// Everything that the plan depends on.
#[derive(Clone, Debug)]
pub struct ObservedRollouts {
    pub now: Timestamp,
    pub class: Arc<TenantClass>,
    /// The class's migrations; `None` if they cannot be used at the moment.
    pub content: Option<MigrationSet>,
    /// Oldest first.
    pub rollouts: ClassRollouts,
    /// The Tenants of the class as the newest rollout sees them, in its order. Empty if it has
    /// ended.
    pub members: Vec<Member>,
    /// Largest number of Tenants in progress; `None` for `maxConcurrent`.
    pub limit: Option<usize>,
    /// With `wake: OnUse`: the time from which use counts, if no complete listing of the account has
    /// begun since then, so that it is not known yet which Tenants have been used.
    pub use_unknown_from: Option<Timestamp>,
    /// What the current rollout applies, unless its status says so.
    pub plan: Option<RolloutPlan>,
}

impl ObservedRollouts {
    /// The newest rollout, if it is the one of the class's migrations.
    pub fn current(&self) -> Option<&Arc<SchemaRollout>> {
        let content = self.content.as_ref()?;
        let newest = self.rollouts.last()?;
        (newest.spec.target.digest == content.digest()).then_some(newest)
    }
}

/// A Tenant whose database has a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub struct Member {
    pub uid: TenantUid,
    pub place: Place,
    pub state: MemberState,
    /// Whether its migration has begun.
    pub begun: bool,
    /// Whether a rollout with `wake: OnUse` has admitted the Tenant.
    pub admitted: bool,
    /// Whether it was not ready when the rollout was last continued, so that it may be one of the Tenants
    /// that had failed before.
    pub maybe_retried: bool,
    /// Whether its database was restored after its migration for this rollout had failed.
    pub rolled_back: bool,
    pub namespace: Box<str>,
    pub name: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// The Tenant has the new schema.
    Updated,
    Pending,
    /// The Tenant has not been used since the rollout started, and waits until it is.
    Asleep,
    Failed,
    /// The Tenant cannot be migrated now.
    Skipped,
}

pub fn observe(ctx: &Context, class: &Arc<TenantClass>) -> ObservedRollouts {
    let name = class.name_any();
    let now = ctx.clock.now();
    let content = ctx.migration_sources.for_class(&name).and_then(Result::ok);
    let rollouts = ctx.rollouts.of_class(&name);
    let active = rollouts
        .last()
        .filter(|newest| !phase(newest).is_some_and(crds::RolloutPhase::is_final));
    let members = active.map_or_else(Vec::new, |rollout| {
        let used = used_tenants(ctx, rollout, now);
        members(ctx.tenants_of(&name), rollout, &used, now)
    });
    let limit = active.map(|rollout| limit(ctx, rollout));
    ObservedRollouts {
        now,
        limit,
        use_unknown_from: active.and_then(|rollout| use_unknown_from(ctx, rollout)),
        class: class.clone(),
        content,
        rollouts,
        members,
        plan: None,
    }
}

fn use_unknown_from(ctx: &Context, rollout: &SchemaRollout) -> Option<Timestamp> {
    let account = ctx.accounts.for_class(&rollout.spec.class_name);
    let account = account.and_then(Result::ok);
    use_counts_from(rollout)
        .filter(|from| !account.is_some_and(|account| account.is_listed_since(*from)))
}

/// How many Tenants may be in progress while databases are slow or Neon limits calls.
fn limit(ctx: &Context, rollout: &SchemaRollout) -> usize {
    let class = &rollout.spec.class_name;
    let account = ctx.accounts.for_class(class).and_then(Result::ok);
    let rate_fraction = account.map_or(1.0, |account| account.client().rate_fraction());
    let max_concurrent = rollout.spec.rollout.max_concurrent();
    let name = rollout.name_any();
    ctx.rollout_concurrency
        .limit(class, &name, max_concurrent, rate_fraction)
}

/// Returns whether a Tenant has been used since the rollout started: its application says so, or a
/// listing of the account shows that its compute was active.
fn used_tenants(
    ctx: &Context,
    rollout: &SchemaRollout,
    now: Timestamp,
) -> impl Fn(&CachedTenant) -> bool {
    let from = use_counts_from(rollout);
    let account = ctx.accounts.for_class(&rollout.spec.class_name);
    let active = from
        .zip(account.and_then(Result::ok))
        .map(|(from, account)| account.active_since(from))
        .unwrap_or_default();
    move |tenant| {
        let project = tenant.recorded_project();
        project.is_some_and(|project| active.contains(project))
            || from.is_some() && used_at(tenant.schema().used_at, now) >= from
    }
}

/// The members among the Tenants of a class, in the order of the rollout.
pub fn members(
    tenants: impl Iterator<Item = Arc<CachedTenant>>,
    rollout: &SchemaRollout,
    is_used: &dyn Fn(&CachedTenant) -> bool,
    now: Timestamp,
) -> Vec<Member> {
    let settings = &rollout.spec.rollout;
    let status = rollout.status.as_ref();
    let wake_by = status.and_then(|status| status.wake_by.as_ref());
    let is_too_late = wake_by.is_some_and(|wake_by| now >= wake_by.0);
    let may_sleep = settings.wakes_on_use() && !is_too_late;
    let mut members: Vec<Member> = tenants
        .filter(|tenant| tenant.deletion_requested_at().is_none())
        .filter(|tenant| tenant.schema().is_known)
        .filter_map(|tenant| {
            let uid = tenant.uid()?;
            let meta = tenant.meta();
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            let name = meta.name.as_deref().unwrap_or_default();
            let schema = tenant.schema();
            let is_skipped = is_skipped(rollout, namespace, name);
            let has_failed = has_failed(rollout, namespace, name);
            let state = state(schema, is_skipped, has_failed, rollout, now);
            let begun = has_begun(schema.rollout.as_deref(), rollout);
            let admitted = settings.wakes_on_use() && is_admitted(uid, rollout);
            let is_chosen = begun || admitted;
            let sleeps = may_sleep && !is_chosen && state == MemberState::Pending;
            Some(Member {
                uid,
                place: place(place_input(schema), rollout),
                state: if sleeps && !is_used(&tenant) {
                    MemberState::Asleep
                } else {
                    state
                },
                begun,
                admitted,
                maybe_retried: is_maybe_retried(schema, rollout),
                rolled_back: schema.rolled_back.as_deref() == rollout.metadata.name.as_deref(),
                namespace: namespace.into(),
                name: name.into(),
            })
        })
        .collect();
    members.sort_unstable_by(|a, b| {
        (a.place, &a.namespace, &a.name).cmp(&(b.place, &b.namespace, &b.name))
    });
    // Without a canary, the rollout would continue untested.
    let canary = canary_size(settings, &members);
    for member in &mut members[..canary] {
        if member.state == MemberState::Asleep {
            member.state = MemberState::Pending;
        }
    }
    members
}

/// The number of Tenants in the canary, which are the first ones.
pub fn canary_size(settings: &RolloutSettings, members: &[Member]) -> usize {
    if settings.canary.selector.is_some() {
        members.partition_point(|member| member.place.is_selected_canary())
    } else {
        settings.canary.of(members.len())
    }
}

/// When a rollout with `wake: OnUse` that started at this time migrates the Tenants that have not been
/// used.
pub fn wake_by(settings: &RolloutSettings, started_at: Timestamp) -> Timestamp {
    started_at + SignedDuration::from_secs(settings.wake_deadline_seconds)
}

/// The Tenants that the rollout has reached and that have not begun to migrate.
pub fn reached<'a>(
    tenants: impl Iterator<Item = Arc<CachedTenant>> + 'a,
    rollout: &'a SchemaRollout,
) -> impl Iterator<Item = Arc<CachedTenant>> + 'a {
    tenants.filter(move |tenant| {
        let (meta, schema) = (tenant.meta(), tenant.schema());
        let is_updated = schema.checksum.as_deref() == Some(rollout.spec.target.digest.as_str());
        let is_attempted = schema.rollout.as_deref() == rollout.metadata.name.as_deref();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let is_reached = tenant.uid().is_some_and(|uid| {
            let input = ReachInput {
                uid,
                place: place_input(schema),
                has_schema: schema.is_known,
                begun: schema.rollout.as_deref(),
            };
            is_reached(input, rollout)
        });
        let is_excluded = schema.suspended || is_skipped(rollout, namespace, name);
        !is_updated && !is_attempted && is_reached && !is_excluded
    })
}

/// What determines the place of a cached Tenant.
fn place_input(schema: &CachedSchema) -> PlaceInput<'_> {
    PlaceInput {
        order: schema.order,
        created_at: schema.created_at,
        labels: schema.labels.as_deref(),
    }
}

/// Whether the rollout reports the Tenant as failed.
fn has_failed(rollout: &SchemaRollout, namespace: &str, name: &str) -> bool {
    let status = rollout.status.as_ref();
    status.is_some_and(|status| {
        let mut failures = status.failures.iter();
        failures.any(|failure| failure.namespace == namespace && failure.name == name)
    })
}

/// Whether a Tenant whose migration has begun was not ready when the rollout was last continued.
fn is_maybe_retried(schema: &CachedSchema, rollout: &SchemaRollout) -> bool {
    let conditions = rollout.status.as_ref().map(|status| &status.conditions[..]);
    // Present while the rollout neither is paused nor has ended.
    let continued = find_condition(conditions.unwrap_or_default(), ConditionType::Reconciling);
    let is_earlier = |since: Timestamp| {
        continued.is_none_or(|continued| since <= continued.last_transition_time.0)
    };
    has_begun(schema.rollout.as_deref(), rollout)
        && schema
            .problem
            .as_ref()
            .is_some_and(|problem| is_earlier(problem.since))
}

fn state(
    schema: &CachedSchema,
    is_skipped: bool,
    has_failed: bool,
    rollout: &SchemaRollout,
    now: Timestamp,
) -> MemberState {
    if schema.checksum.as_deref() == Some(rollout.spec.target.digest.as_str()) {
        return MemberState::Updated;
    }
    if is_skipped || schema.suspended {
        return MemberState::Skipped;
    }
    // While it is being retried, its conditions do not show the failure.
    if has_failed {
        return MemberState::Failed;
    }
    let is_attempted = schema.rollout.as_deref() == rollout.metadata.name.as_deref();
    let Some(problem) = &schema.problem else {
        return MemberState::Pending;
    };
    match problem.subject {
        ProblemSubject::Schema if problem.stalled && is_attempted => MemberState::Failed,
        ProblemSubject::Account | ProblemSubject::Class | ProblemSubject::Other
            if problem.stalled && !holds(problem, rollout) =>
        {
            MemberState::Skipped
        }
        _ if is_attempted && is_overdue(problem.since, rollout, now) => MemberState::Failed,
        _ => MemberState::Pending,
    }
}

/// Whether the rollout waits for a Tenant with this problem, instead of going on without it. Otherwise it
/// would be completed when all Tenants get the problem at once, and they would be migrated at once when
/// it is solved. A Tenant that its class did not allow before the rollout started is left out.
fn holds(problem: &SchemaProblem, rollout: &SchemaRollout) -> bool {
    let status = rollout.status.as_ref();
    let started_at = status.and_then(|status| status.started_at.as_ref());
    match problem.subject {
        ProblemSubject::Account => true,
        ProblemSubject::Class => started_at.is_none_or(|started| problem.since >= started.0),
        ProblemSubject::Schema | ProblemSubject::Other => false,
    }
}

/// Whether a Tenant that the rollout has begun to migrate has not been ready for too long.
fn is_overdue(since: Timestamp, rollout: &SchemaRollout, now: Timestamp) -> bool {
    let started_at = rollout
        .status
        .as_ref()
        .and_then(|status| status.started_at.as_ref());
    let since = started_at.map_or(since, |started| since.max(started.0));
    let deadline = SignedDuration::from_secs(rollout.spec.rollout.progress_deadline_seconds);
    now.duration_since(since) >= deadline
}

#[cfg(test)]
mod tests;
