//! The phase, the reason and the message of a rollout.

use crds::{
    ConditionType, FindingCounts, Reason, RolloutPhase, RolloutPlan, RolloutSettings,
    SchemaRollout, SchemaRolloutStatus,
};
use jiff::Timestamp;

use super::{Counts, wake_cost};
use crate::rollout::desired::recorded_status;
use crate::rollout::observe::wake_by;
use crate::rollout::waves::{Activity, Progress};
use crate::schema_assignment::phase;
use crate::schema_assignment::window::{WindowState, window_state};

pub(super) type State = (RolloutPhase, Reason, String);

pub(super) fn awaiting_approval(rollout: &SchemaRollout, plan: Option<&RolloutPlan>) -> State {
    let found = match plan.and_then(|plan| plan.finding_counts) {
        None => String::new(),
        Some(counts) if counts == FindingCounts::default() => {
            "; the linter found nothing".to_owned()
        }
        Some(counts) => format!(
            "; findings of the linter in status.plan.findings: errors {}, warnings {}, notes {}",
            counts.errors, counts.warnings, counts.notes
        ),
    };
    let message = format!(
        "waiting for an approval{found}. To approve: kubectl patch sro {} --type=merge --patch '{{\"spec\":{{\"approved\":true}}}}'",
        rollout.metadata.name.as_deref().unwrap_or_default()
    );
    let phase = RolloutPhase::AwaitingApproval;
    (phase, Reason::AwaitingApproval, message)
}

pub(super) fn paused(rollout: &SchemaRollout, over_budget: bool, counts: &Counts) -> State {
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    let resume = format!(
        "kubectl patch sro {name} --type=merge --patch '{{\"spec\":{{\"paused\":false}}}}'"
    );
    // The failures are tolerated from now on, so only the recorded reason tells why it paused.
    let paused_by_failures = phase(rollout) == Some(RolloutPhase::Paused)
        && recorded_status(rollout).conditions.iter().any(|condition| {
            condition.type_ == ConditionType::Ready.as_str()
                && condition.reason == Reason::FailureBudgetExceeded.as_str()
        });
    if over_budget || paused_by_failures {
        let restored = match counts.rolled_back {
            0 => String::new(),
            count => format!(" ({count} restored from their backups)"),
        };
        let message = format!(
            "paused because too many Tenants failed{restored}: correct the migrations, which starts a new rollout, or add the Tenants in \
             status.failures to spec.skip, and continue with: {resume}"
        );
        return (RolloutPhase::Paused, Reason::FailureBudgetExceeded, message);
    }
    let message = format!("paused by spec.paused; to continue: {resume}");
    (RolloutPhase::Paused, Reason::RolloutPaused, message)
}

/// The state of a rollout whose window is not open.
pub(super) fn waiting(rollout: &SchemaRollout, now: Timestamp) -> Option<State> {
    let window = rollout.spec.rollout.window.as_ref()?;
    let (reason, message) = match window_state(Some(window), now) {
        WindowState::Open => return None,
        WindowState::ClosedUntil(opens) => (
            Reason::OutsideWindow,
            format!(
                "outside the window; continues at {opens:.0} ({} {})",
                window.from, window.time_zone
            ),
        ),
        WindowState::Unreadable => (
            Reason::UnknownTimeZone,
            format!(
                "the time zone {:?} of the window is unknown: correct spec.rollout.window.timeZone of TenantClass {}, and delete \
                 this SchemaRollout; the controller creates it again with the new settings",
                window.time_zone, rollout.spec.class_name
            ),
        ),
    };
    Some((RolloutPhase::Waiting, reason, message))
}

pub(super) fn failed(counts: &Counts) -> State {
    let message = format!(
        "{} of {} Tenants failed: correct the migrations, which starts a new rollout",
        counts.failed, counts.total
    );
    (RolloutPhase::Failed, Reason::RolloutFailed, message)
}

/// The state of a rollout whose Tenants in use have been migrated.
pub(super) fn asleep(
    settings: &RolloutSettings,
    status: &SchemaRolloutStatus,
    counts: &Counts,
    now: Timestamp,
) -> State {
    let started_at = status.started_at.as_ref().map_or(now, |time| time.0);
    let wake_by = wake_by(settings, started_at);
    let cost = wake_cost(counts).map_or(0, |cost| cost.compute_seconds);
    let message = format!(
        "{} of {} Tenants have the new schema; {} are asleep and are migrated when they are used, or at {wake_by:.0} at the latest; \
         migrating them now would take {} cold starts and {} of compute time",
        counts.updated,
        counts.total,
        counts.asleep,
        counts.asleep,
        duration(cost),
    );
    (RolloutPhase::Waiting, Reason::TenantsAsleep, message)
}

/// A time in minutes, or in hours if it is longer.
fn duration(seconds: i64) -> String {
    match seconds / 60 {
        minutes @ ..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

pub(super) fn running(
    activity: Activity,
    progress: &Progress,
    is_canary: bool,
    counts: &Counts,
) -> State {
    match activity {
        Activity::Done => (
            RolloutPhase::Completed,
            Reason::RolloutCompleted,
            format!(
                "{} of {} Tenants have the new schema, {} failed, {} skipped",
                counts.updated, counts.total, counts.failed, counts.skipped
            ),
        ),
        Activity::Soaking => {
            let until = progress.soak_until.unwrap_or_default();
            let message = format!("the next wave starts at {until:.0}");
            (RolloutPhase::Soaking, Reason::Soaking, message)
        }
        Activity::Migrating | Activity::Asleep => {
            let phase = if is_canary {
                RolloutPhase::Canary
            } else {
                RolloutPhase::Progressing
            };
            let message = format!(
                "{} of {} Tenants have the new schema",
                counts.updated, counts.total
            );
            (phase, Reason::RollingOut, message)
        }
    }
}
