//! One pass: observe, validate, plan, apply, report, until the plan says that nothing is left to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::{ConditionType, Reason, is_true};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use service_kit::error_chain;
use tracing::{Instrument, debug, info_span, warn};

use crate::cache::CachedTenant;
use crate::class;
use crate::context::Context;
use crate::error::{ReconcileError, Retry};
use crate::telemetry::{ReconcileOutcome, StepOutcome};
use crate::tenant::apply::{apply, name, progress};
use crate::tenant::observe::{begin, observe};
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{Intent, Step, plan};
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::{Component, Issue, StatusOutcome};

/// Steps of one pass. The longest way, from nothing to ready with a refused password on the way, takes about ten.
const MAX_STEPS_PER_RECONCILE: usize = 24;
/// A pass that took more steps than that goes on after this.
const STEP_LIMIT_RETRY: Duration = Duration::from_secs(30);

/// How a pass ended.
struct Ending {
    action: Action,
    outcome: ReconcileOutcome,
    reason: Reason,
}

/// Reconciles one Tenant. It never fails: what goes wrong stands in the Tenant's status, and the action says when to look
/// again.
pub async fn reconcile(packed: Arc<CachedTenant>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let start = Instant::now();
    ensure_class_loaded(&ctx, packed.class_name()).await;
    let Some(mut rec) = begin(&ctx, &packed) else {
        return Ok(Action::await_change());
    };
    let span = info_span!("reconcile", tenant.namespace = %rec.key.namespace, tenant.name = %rec.key.name);
    let uid = rec.uid;
    let ending = run(&mut rec).instrument(span).await;
    if !matches!(ending.outcome, ReconcileOutcome::Failed) {
        ctx.backoffs.reset(&uid);
    }
    ctx.metrics
        .record_reconcile(ending.outcome, ending.reason, start.elapsed());
    Ok(ending.action)
}

/// A class that is new is looked at on the way, so that its first Tenant need not wait for the class's own turn; so is one
/// that was edited, or the Tenant would get the account and the migrations of the class as it was.
async fn ensure_class_loaded(ctx: &Context, name: &str) {
    if let Some(class) = ctx.class(name)
        && !ctx.migration_sources.is_current(&class)
        && let Err(error) = class::load(ctx, &class).await
    {
        debug!(
            class.name = name,
            "The class cannot be read yet: {}",
            error_chain(&error)
        );
    }
}

async fn run(rec: &mut Reconciliation<'_>) -> Ending {
    // Its finalizer is not ours any more: whatever happens to it is not our business.
    if rec.deleting() && !observe(rec).has_finalizer {
        rec.ctx.own_writes.forget(rec.uid);
        return Ending {
            action: Action::await_change(),
            outcome: ReconcileOutcome::Released,
            reason: Reason::Deleting,
        };
    }
    for _ in 0..MAX_STEPS_PER_RECONCILE {
        let observed = observe(rec);
        let step = plan(&rec.intent, &observed);
        debug!(step = name(&step), "Planned");
        if let Some(ending) = end(rec, &observed, &step).await {
            return ending;
        }
        if let Err(failure) = take(rec, &observed, &step).await {
            return fail(rec, failure).await;
        }
        if matches!(step, Step::RemoveFinalizer(_)) {
            rec.ctx.own_writes.forget(rec.uid);
            return Ending {
                action: Action::await_change(),
                outcome: ReconcileOutcome::Released,
                reason: Reason::Deleting,
            };
        }
    }
    warn!(
        steps = MAX_STEPS_PER_RECONCILE,
        "A pass did not come to an end; it goes on later"
    );
    Ending {
        action: Action::requeue(STEP_LIMIT_RETRY),
        outcome: ReconcileOutcome::Failed,
        reason: Reason::Progressing,
    }
}

/// Does one step.
async fn take(rec: &mut Reconciliation<'_>, observed: &ObservedState, step: &Step) -> Result<(), ReconcileError> {
    if !rec.ctx.guard.is_leader() {
        return Err(ReconcileError::not_leader(Component::Project));
    }
    // On a Tenant that was ready, people see at once that something is going on. One on its way says so already.
    let was_ready = is_true(&rec.status.conditions, ConditionType::Ready);
    if let Some((component, reason, message)) = progress(step).filter(|_| was_ready) {
        let issue = Issue {
            component,
            reason,
            message: message.to_owned(),
        };
        let outcome = if rec.deleting() {
            StatusOutcome::Deleting(issue)
        } else {
            StatusOutcome::InProgress(issue)
        };
        rec.save(observed, &outcome).await?;
    }
    let result = apply(rec, observed, step)
        .instrument(info_span!("step", step = name(step)))
        .await;
    let outcome = if result.is_ok() {
        StepOutcome::Done
    } else {
        StepOutcome::Failed
    };
    rec.ctx.metrics.record_step(name(step), outcome);
    result
}

/// Ends the pass, if the step is one that ends it.
async fn end(rec: &mut Reconciliation<'_>, observed: &ObservedState, step: &Step) -> Option<Ending> {
    let retry = &rec.ctx.config.retry;
    let (outcome, action, outcome, reason) = match step {
        Step::UpToDate => {
            record_effective_spec(rec);
            // No timer of its own: whatever wakes it is a change, a listing, or the look at all of them.
            let action = Action::await_change();
            (
                StatusOutcome::Ready,
                action,
                ReconcileOutcome::Ready,
                Reason::ReconcileSucceeded,
            )
        }
        Step::Suspended => (
            StatusOutcome::Suspended,
            Action::await_change(),
            ReconcileOutcome::Waiting,
            Reason::Suspended,
        ),
        Step::Stalled(issue) => {
            let issue = Issue {
                component: component_of(issue.reason),
                reason: issue.reason,
                message: issue.message.clone(),
            };
            let outcome = if rec.deleting() {
                StatusOutcome::DeletionStalled(issue)
            } else {
                StatusOutcome::Stalled(issue)
            };
            (
                outcome,
                Action::requeue(retry.stalled_interval),
                ReconcileOutcome::Stalled,
                issue.reason,
            )
        }
        Step::Wait {
            until,
            reason,
            message,
        } => {
            let issue = Issue {
                component: component_of(*reason),
                reason: *reason,
                message: message.clone(),
            };
            let outcome = if rec.deleting() {
                StatusOutcome::Deleting(issue)
            } else {
                StatusOutcome::InProgress(issue)
            };
            let wait = until.map_or(retry.stalled_interval, |until| until_then(observed.now, until));
            (
                outcome,
                Action::requeue(wait),
                ReconcileOutcome::Waiting,
                *reason,
            )
        }
        _ => return None,
    };
    let first_ready = matches!(outcome, StatusOutcome::Ready)
        && rec
            .status
            .timings
            .as_ref()
            .is_some_and(|timings| timings.ready_ms.is_none());
    if let Err(failure) = rec.save(observed, &outcome).await {
        return Some(fail(rec, failure).await);
    }
    if first_ready
        && let Some(ready_ms) = rec
            .status
            .timings
            .as_ref()
            .and_then(|timings| timings.ready_ms)
    {
        rec.ctx
            .metrics
            .record_time_to_ready(Duration::from_millis(ready_ms.unsigned_abs()));
    }
    Some(Ending {
        action,
        outcome,
        reason,
    })
}

/// The part that a plan's own reasons speak of.
fn component_of(reason: Reason) -> Component {
    match reason {
        Reason::SecretConflict | Reason::UpdatingSecret => Component::Credentials,
        Reason::MigrationsInvalid => Component::Schema,
        _ => Component::Project,
    }
}

/// Once everything is as wished, what Neon need not be told is in effect too.
fn record_effective_spec(rec: &mut Reconciliation<'_>) {
    if let Intent::Provision(Ok(desired)) = &rec.intent {
        rec.status.effective = Some(desired.effective());
    }
}

fn until_then(now: Timestamp, then: Timestamp) -> Duration {
    then.duration_since(now)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

async fn fail(rec: &mut Reconciliation<'_>, failure: ReconcileError) -> Ending {
    let observed = observe(rec);
    let outcome = failure.outcome(rec.deleting());
    // After a conflict somebody knows better than this pass; any other failure is worth a word in the status.
    let outdated =
        failure.reason == Reason::KubernetesError && matches!(failure.retry, Retry::After(_));
    if !outdated && let Err(unsaid) = rec.save(&observed, &outcome).await {
        debug!(reason = %unsaid.reason, "The status could not be written: {}", unsaid.message);
    }
    let (wait, outcome) = match failure.retry {
        Retry::After(wait) => (wait, ReconcileOutcome::Failed),
        Retry::Backoff => (
            rec.ctx.backoffs.record_failure(&rec.uid),
            ReconcileOutcome::Failed,
        ),
        Retry::OnChange => (
            rec.ctx.config.retry.stalled_interval,
            ReconcileOutcome::Stalled,
        ),
    };
    debug!(reason = %failure.reason, wait_ms = wait.as_millis(), "The pass failed: {}", failure.message);
    Ending {
        action: Action::requeue(wait),
        outcome,
        reason: failure.reason,
    }
}
