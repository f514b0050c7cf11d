//! Chooses the next step for the rollouts of a class. Pure.

use std::sync::Arc;

use crds::{RolloutFailure, RolloutPhase, SchemaRollout, SchemaRolloutStatus};
use jiff::{SignedDuration, Timestamp};

use super::desired::{desired_rollout, recorded_status};
use super::observe::{MemberState, ObservedRollouts};
use super::status::{StatusInput, build_status, is_over_budget, superseded_status};
use crate::schema_assignment::phase;
use crate::schema_assignment::window::{WindowState, window_state};

/// Rollouts of a class that are kept.
const MAX_ROLLOUTS: usize = 10;
/// How often a rollout with Tenants in progress is evaluated if nothing changes: time may have made a
/// Tenant overdue.
const PROGRESS_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per running reconciliation"
)]
pub enum RolloutStep {
    /// Create the rollout of the class's current migrations.
    Create(SchemaRollout),
    /// Set `spec.paused`, because too many Tenants failed.
    Pause(Arc<SchemaRollout>),
    WriteStatus(Arc<SchemaRollout>, SchemaRolloutStatus),
    /// Delete a rollout that ended long ago.
    Delete(Arc<SchemaRollout>),
    /// Nothing to do, until something changes or at this time.
    Wait(Option<Timestamp>),
}

/// Returns what to report about failed Tenants, which are pairs of namespace and name.
pub type DescribeFailures<'a> = &'a dyn Fn(&[(&str, &str)]) -> Vec<RolloutFailure>;

/// The next step.
pub fn plan(observed: &ObservedRollouts, describe: DescribeFailures<'_>) -> RolloutStep {
    let now = observed.now;
    let Some(content) = &observed.content else {
        return RolloutStep::Wait(None);
    };
    // A class that is being deleted accepts no new rollout, which would block its deletion.
    let is_deleting = observed.class.metadata.deletion_timestamp.is_some();
    let current = observed.current();
    if current.is_none() && !content.is_empty() && !is_deleting {
        let rollout = desired_rollout(&observed.class, content, &observed.rollouts);
        return RolloutStep::Create(rollout);
    }
    let is_replaced = |rollout: &&Arc<SchemaRollout>| {
        !current.is_some_and(|current| Arc::ptr_eq(current, rollout))
            && !phase(rollout).is_some_and(RolloutPhase::is_final)
    };
    if let Some(replaced) = observed.rollouts.iter().find(is_replaced) {
        let status = superseded_status(replaced, now);
        return RolloutStep::WriteStatus(replaced.clone(), status);
    }
    if let Some(old) = outdated(&observed.rollouts) {
        return RolloutStep::Delete(old);
    }
    let Some(rollout) = current else {
        return RolloutStep::Wait(None);
    };
    if phase(rollout).is_some_and(RolloutPhase::is_final) {
        return plan_ended(rollout);
    }
    let failed: Vec<(&str, &str)> = observed
        .members
        .iter()
        .filter(|member| member.state == MemberState::Failed)
        .map(|member| (&*member.namespace, &*member.name))
        .collect();
    let input = StatusInput {
        is_first: observed.rollouts.len() == 1,
        failures: describe(&failed),
        plan: observed.plan.clone(),
        limit: observed.limit,
        use_unknown: observed.use_unknown_from.is_some(),
        now,
    };
    let status = build_status(rollout, &observed.members, input);
    if rollout.status.as_ref() != Some(&status) {
        return RolloutStep::WriteStatus(rollout.clone(), status);
    }
    // The reason is written to the status first, because a failed Tenant shows no failure while it is
    // retried.
    if !rollout.spec.paused && is_over_budget(rollout, &observed.members) {
        return RolloutStep::Pause(rollout.clone());
    }
    let window = window_state(rollout.spec.rollout.window.as_ref(), now);
    let continues = match (status.phase, window) {
        (Some(RolloutPhase::Waiting), WindowState::ClosedUntil(opens)) => Some(opens),
        _ => status.soak_until.map(|time| time.0),
    };
    let wakes = status.wake_by.filter(|_| status.asleep > 0);
    let in_progress = (status.in_progress > 0).then(|| now + PROGRESS_INTERVAL);
    let use_known = observed.use_unknown_from.map(|from| {
        if now < from {
            from
        } else {
            now + PROGRESS_INTERVAL
        }
    });
    let times = continues.into_iter().chain(in_progress).chain(use_known);
    RolloutStep::Wait(times.chain(wakes.map(|time| time.0)).min())
}

/// A rollout that has ended changes only if a user edits it.
fn plan_ended(rollout: &Arc<SchemaRollout>) -> RolloutStep {
    let status = recorded_status(rollout);
    if status.observed_generation == rollout.metadata.generation {
        return RolloutStep::Wait(None);
    }
    let status = SchemaRolloutStatus {
        observed_generation: rollout.metadata.generation,
        ..status
    };
    RolloutStep::WriteStatus(rollout.clone(), status)
}

/// The oldest rollout that is not kept. The newest one and the newest completed one determine the
/// schemas of Tenants.
fn outdated(rollouts: &[Arc<SchemaRollout>]) -> Option<Arc<SchemaRollout>> {
    if rollouts.len() <= MAX_ROLLOUTS {
        return None;
    }
    let completed = rollouts
        .iter()
        .rposition(|rollout| phase(rollout) == Some(RolloutPhase::Completed));
    let (_, old) = rollouts
        .iter()
        .enumerate()
        .find(|(index, _)| Some(*index) != completed && index + 1 != rollouts.len())?;
    Some(old.clone())
}

#[cfg(test)]
mod tests;
