//! Builds the status of a rollout: `(rollout, Tenants) -> status`. Pure.
//!
//! Conditions follow kstatus. A rollout that has ended is `Ready`; one that waits for a user is
//! `Stalled`.

mod state;

use crds::{
    Approval, ConditionType, Reason, RolloutFailure, RolloutPhase, RolloutPlan, RolloutStrategy,
    SchemaRollout, SchemaRolloutStatus, WakeCost, set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use self::state::{State, asleep, awaiting_approval, failed, paused, running, waiting};
use super::desired::recorded_status;
use super::observe::{Member, MemberState, wake_by};
use super::waves::{Activity, Progress, advance, in_progress, wave_ends};
use crate::identity::TenantUid;
use crate::schema_assignment::{may_begin, reach};

/// Neon's shortest suspend timeout, in seconds.
const MIN_SUSPEND_TIMEOUT_S: i64 = 60;
/// Failed Tenants that the status lists.
pub const MAX_FAILURES: usize = 10;

/// Numbers of Tenants by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    total: usize,
    updated: usize,
    pending: usize,
    asleep: usize,
    failed: usize,
    skipped: usize,
    /// Those of the pending ones whose migration has begun.
    begun: usize,
    /// Those of the pending ones that may have failed before.
    maybe_retried: usize,
    rolled_back: usize,
}

impl Counts {
    fn of(members: &[Member]) -> Self {
        let mut counts = Self {
            total: members.len(),
            ..Self::default()
        };
        for member in members {
            if member.state == MemberState::Pending {
                counts.begun += usize::from(member.begun);
                counts.maybe_retried += usize::from(member.maybe_retried);
            }
            let is_rolled_back = member.rolled_back && member.state != MemberState::Updated;
            counts.rolled_back += usize::from(is_rolled_back);
            match member.state {
                MemberState::Updated => counts.updated += 1,
                MemberState::Pending => counts.pending += 1,
                MemberState::Asleep => counts.asleep += 1,
                MemberState::Failed => counts.failed += 1,
                MemberState::Skipped => counts.skipped += 1,
            }
        }
        counts
    }

    /// Tenants that are to be migrated.
    fn left(&self) -> usize {
        self.pending + self.asleep
    }
}

/// Whether too many Tenants failed, so that the rollout has to pause.
pub fn is_over_budget(rollout: &SchemaRollout, members: &[Member]) -> bool {
    let settings = &rollout.spec.rollout;
    if settings.strategy == RolloutStrategy::AllAtOnce {
        return false;
    }
    let status = recorded_status(rollout);
    let failed = Counts::of(members).failed;
    let tolerated = usize::try_from(status.tolerated_failures).unwrap_or_default();
    // The recorded wave counts: these Tenants failed in it.
    let is_canary = status.wave.is_none_or(|wave| wave == 0);
    let budget = if is_canary {
        0
    } else {
        budget(rollout, members)
    };
    failed > tolerated.saturating_add(budget)
}

/// The number of Tenants that may fail.
fn budget(rollout: &SchemaRollout, members: &[Member]) -> usize {
    let share = rollout.spec.rollout.failure_budget;
    let budget = share.of(members.len());
    if share.count.is_some() {
        budget
    } else {
        budget.max(1)
    }
}

/// What the status of a rollout depends on besides the Tenants.
#[derive(Debug, Default)]
pub struct StatusInput {
    /// Whether the class has no earlier rollout.
    pub is_first: bool,
    /// The failed Tenants to report.
    pub failures: Vec<RolloutFailure>,
    /// The plan to record, unless it is recorded.
    pub plan: Option<RolloutPlan>,
    /// Largest number of Tenants in progress; `None` for `maxConcurrent`.
    pub limit: Option<usize>,
    /// Whether it is not known yet which Tenants have been used since the rollout started.
    pub use_unknown: bool,
    pub now: Timestamp,
}

/// The status to write while a rollout is the newest of its class.
pub fn build_status(
    rollout: &SchemaRollout,
    members: &[Member],
    input: StatusInput,
) -> SchemaRolloutStatus {
    let StatusInput {
        is_first,
        failures,
        plan,
        limit,
        use_unknown,
        now,
    } = input;
    let mut status = recorded_status(rollout);
    if plan.is_some() {
        status.plan = plan;
    }
    let settings = &rollout.spec.rollout;
    let counts = Counts::of(members);
    let recorded = Progress {
        wave: status
            .wave
            .and_then(|wave| usize::try_from(wave).ok())
            .unwrap_or_default(),
        reach: reach(rollout),
        admitted: status
            .admitted
            .iter()
            .filter_map(|uid| TenantUid::parse(uid))
            .collect(),
        soak_until: status.soak_until.as_ref().map(|time| time.0),
    };
    let over_budget = is_over_budget(rollout, members);
    let most = settings.max_concurrent();
    let limit = limit.map_or(most, |limit| limit.min(most));
    // The first rollout of a class needs no approval if no Tenant has to be migrated.
    let nothing_to_approve = is_first && counts.left() == 0;
    let awaits_approval = settings.approval == Approval::Manual
        && !rollout.spec.approved
        && status.started_at.is_none()
        && !nothing_to_approve;
    let (progress, state) = if awaits_approval {
        (recorded, awaiting_approval(rollout, status.plan.as_ref()))
    } else if rollout.spec.paused || over_budget {
        (recorded, paused(rollout, over_budget, &counts))
    } else if let Some(waiting) = waiting(rollout, now).filter(|_| counts.left() > 0) {
        (recorded, waiting)
    } else {
        let (progress, activity) = advance(settings, members, limit, use_unknown, recorded, now);
        let over_all = settings.strategy == RolloutStrategy::AllAtOnce
            && counts.failed > budget(rollout, members);
        let is_canary = settings.strategy == RolloutStrategy::Waves && progress.wave == 0;
        let state = match activity {
            Activity::Done if over_all => failed(&counts),
            Activity::Asleep => asleep(settings, &status, &counts, now),
            _ => running(activity, &progress, is_canary, &counts),
        };
        (progress, state)
    };
    // A Tenant that is being retried does not show its failure.
    let may_fail_again = number(counts.failed + counts.maybe_retried);
    status.tolerated_failures = status.tolerated_failures.min(may_fail_again);
    if rollout.spec.paused {
        // A user who continues the rollout knows of these failures.
        status.tolerated_failures = status.tolerated_failures.max(number(counts.failed));
    }
    let waves = wave_ends(settings, members).len();
    status.wave = (!awaits_approval).then(|| number(progress.wave.min(waves - 1)));
    status.waves = Some(number(waves));
    status.reach = progress.reach.map(|reach| reach.to_string());
    status.admitted = progress.admitted.iter().map(ToString::to_string).collect();
    status.soak_until = progress.soak_until.map(Time);
    status.total = number(counts.total);
    status.updated = number(counts.updated);
    status.pending = number(counts.pending);
    status.in_progress = number(if may_begin(rollout, now) {
        in_progress(settings, members, &progress)
    } else {
        counts.begun
    });
    let is_migrating = matches!(state.0, RolloutPhase::Canary | RolloutPhase::Progressing);
    let is_limited = settings.strategy == RolloutStrategy::Waves;
    status.concurrency = (is_migrating && is_limited).then(|| number(limit));
    status.asleep = number(counts.asleep);
    status.wake_cost = wake_cost(&counts);
    status.failed = number(counts.failed);
    status.skipped = number(counts.skipped);
    status.rolled_back = number(counts.rolled_back);
    status.failures = failures;
    let is_outside_window = matches!(state.1, Reason::OutsideWindow | Reason::UnknownTimeZone);
    let has_begun = !awaits_approval && !is_outside_window;
    if has_begun && status.started_at.is_none() {
        status.started_at = Some(Time(now));
        status.wake_by = settings
            .wakes_on_use()
            .then(|| Time(wake_by(settings, now)));
    }
    finish(rollout, status, state, now)
}

/// What it would cost to start the computes of the Tenants that are asleep.
fn wake_cost(counts: &Counts) -> Option<WakeCost> {
    let cold_starts = number(counts.asleep);
    (cold_starts > 0).then(|| WakeCost {
        cold_starts,
        compute_seconds: cold_starts.saturating_mul(MIN_SUSPEND_TIMEOUT_S),
    })
}

/// The status of a rollout that a newer one has replaced.
pub fn superseded_status(rollout: &SchemaRollout, now: Timestamp) -> SchemaRolloutStatus {
    let mut status = recorded_status(rollout);
    status.soak_until = None;
    status.admitted = Vec::new();
    status.concurrency = None;
    status.in_progress = 0;
    let message =
        "a newer rollout of the class, or a class without migrations, has replaced this one";
    let state = (
        RolloutPhase::Superseded,
        Reason::RolloutSuperseded,
        message.to_owned(),
    );
    finish(rollout, status, state, now)
}

/// Adds the phase, the conditions and what follows from them.
fn finish(
    rollout: &SchemaRollout,
    mut status: SchemaRolloutStatus,
    (phase, reason, message): State,
    now: Timestamp,
) -> SchemaRolloutStatus {
    let generation = rollout.metadata.generation;
    let stalled = matches!(
        phase,
        RolloutPhase::AwaitingApproval | RolloutPhase::Paused | RolloutPhase::Failed
    ) || reason == Reason::UnknownTimeZone;
    for (kind, value) in [
        (ConditionType::Ready, Some(phase.is_final())),
        (
            ConditionType::Reconciling,
            (!phase.is_final() && !stalled).then_some(true),
        ),
        (ConditionType::Stalled, stalled.then_some(true)),
    ] {
        let Some(value) = value else {
            status
                .conditions
                .retain(|existing| existing.type_ != kind.as_str());
            continue;
        };
        let condition = Condition {
            type_: kind.as_str().to_owned(),
            status: if value { "True" } else { "False" }.to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.clone(),
            observed_generation: generation,
            // `set_condition` sets the transition time.
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        set_condition(&mut status.conditions, condition, &Time(now));
    }
    status.observed_generation = generation;
    status.phase = Some(phase);
    if !phase.is_final() {
        status.finished_at = None;
    } else if status.finished_at.is_none() {
        status.finished_at = Some(Time(now));
    }
    status
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
