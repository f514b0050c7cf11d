//! One pass: observe, validate, plan, apply, report, until the plan says that nothing is left to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::{ConditionType, Reason, is_true};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use service_kit::error_chain;
use tracing::{Instrument, debug, info_span, warn};

use crate::cache::PackedTenant;
use crate::class;
use crate::context::Context;
use crate::error::{Failure, Retry};
use crate::telemetry::{ReconcileOutcome, StepOutcome};
use crate::tenant::apply::{apply, name, progress};
use crate::tenant::observe::{begin, observe};
use crate::tenant::observed::Facts;
use crate::tenant::plan::{Goal, Step, plan};
use crate::tenant::reconciliation::Pass;
use crate::tenant::status::{Area, Finding, Verdict};

/// Steps of one pass. The longest way, from nothing to ready with a refused password on the way, takes about ten.
const PASS_STEPS_MAX: usize = 24;
/// A pass that took more steps than that goes on after this.
const ENDLESS_RETRY: Duration = Duration::from_secs(30);

/// How a pass ended.
struct Ending {
    action: Action,
    outcome: ReconcileOutcome,
    reason: Reason,
}

/// Reconciles one Tenant. It never fails: what goes wrong stands in the Tenant's status, and the action says when to look
/// again.
pub async fn reconcile(packed: Arc<PackedTenant>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let start = Instant::now();
    look_at_class(&ctx, packed.class_name()).await;
    let Some(mut pass) = begin(&ctx, &packed) else {
        return Ok(Action::await_change());
    };
    let span = info_span!("reconcile", tenant.namespace = %pass.key.namespace, tenant.name = %pass.key.name);
    let uid = pass.uid;
    let ending = run(&mut pass).instrument(span).await;
    if !matches!(ending.outcome, ReconcileOutcome::Failed) {
        ctx.backoffs.forget(&uid);
    }
    ctx.metrics
        .reconciled(ending.outcome, ending.reason, start.elapsed());
    Ok(ending.action)
}

/// A class that is new is looked at on the way, so that its first Tenant need not wait for the class's own turn; so is one
/// that was edited, or the Tenant would get the account and the migrations of the class as it was.
async fn look_at_class(ctx: &Context, name: &str) {
    if let Some(class) = ctx.class(name)
        && !ctx.schemas.is_current(&class)
        && let Err(error) = class::load(ctx, &class).await
    {
        debug!(
            class.name = name,
            "The class cannot be read yet: {}",
            error_chain(&error)
        );
    }
}

async fn run(pass: &mut Pass<'_>) -> Ending {
    // Its finalizer is not ours any more: whatever happens to it is not our business.
    if pass.deleting() && !observe(pass).has_finalizer {
        pass.ctx.recent.forget(pass.uid);
        return Ending {
            action: Action::await_change(),
            outcome: ReconcileOutcome::Released,
            reason: Reason::Deleting,
        };
    }
    for _ in 0..PASS_STEPS_MAX {
        let facts = observe(pass);
        let step = plan(&pass.goal, &facts);
        debug!(step = name(&step), "Planned");
        if let Some(ending) = end(pass, &facts, &step).await {
            return ending;
        }
        if let Err(failure) = take(pass, &facts, &step).await {
            return fail(pass, failure).await;
        }
        if matches!(step, Step::LetGo(_)) {
            pass.ctx.recent.forget(pass.uid);
            return Ending {
                action: Action::await_change(),
                outcome: ReconcileOutcome::Released,
                reason: Reason::Deleting,
            };
        }
    }
    warn!(
        steps = PASS_STEPS_MAX,
        "A pass did not come to an end; it goes on later"
    );
    Ending {
        action: Action::requeue(ENDLESS_RETRY),
        outcome: ReconcileOutcome::Failed,
        reason: Reason::Progressing,
    }
}

/// Does one step.
async fn take(pass: &mut Pass<'_>, facts: &Facts, step: &Step) -> Result<(), Failure> {
    if !pass.ctx.guard.holds() {
        return Err(Failure::deposed(Area::Project));
    }
    // On a Tenant that was ready, people see at once that something is going on. One on its way says so already.
    let was_ready = is_true(&pass.status.conditions, ConditionType::Ready);
    if let Some((area, reason, message)) = progress(step).filter(|_| was_ready) {
        let finding = Finding {
            area,
            reason,
            message: message.to_owned(),
        };
        let verdict = if pass.deleting() {
            Verdict::Deleting(finding)
        } else {
            Verdict::Progress(finding)
        };
        pass.save(facts, &verdict).await?;
    }
    let result = apply(pass, facts, step)
        .instrument(info_span!("step", step = name(step)))
        .await;
    let outcome = if result.is_ok() {
        StepOutcome::Done
    } else {
        StepOutcome::Failed
    };
    pass.ctx.metrics.step(name(step), outcome);
    result
}

/// Ends the pass, if the step is one that ends it.
async fn end(pass: &mut Pass<'_>, facts: &Facts, step: &Step) -> Option<Ending> {
    let retry = &pass.ctx.config.retry;
    let (verdict, action, outcome, reason) = match step {
        Step::Rest => {
            settle_figures(pass);
            // No timer of its own: whatever wakes it is a change, a listing, or the look at all of them.
            let action = Action::await_change();
            (
                Verdict::Ready,
                action,
                ReconcileOutcome::Ready,
                Reason::ReconcileSucceeded,
            )
        }
        Step::Hold => (
            Verdict::Suspended,
            Action::await_change(),
            ReconcileOutcome::Waiting,
            Reason::Suspended,
        ),
        Step::Stall(refusal) => {
            let finding = Finding {
                area: area_of(refusal.reason),
                reason: refusal.reason,
                message: refusal.message.clone(),
            };
            let verdict = if pass.deleting() {
                Verdict::DeletionStalled(finding)
            } else {
                Verdict::Stalled(finding)
            };
            (
                verdict,
                Action::requeue(retry.stalled_interval),
                ReconcileOutcome::Stalled,
                refusal.reason,
            )
        }
        Step::Wait {
            until,
            reason,
            message,
        } => {
            let finding = Finding {
                area: area_of(*reason),
                reason: *reason,
                message: message.clone(),
            };
            let verdict = if pass.deleting() {
                Verdict::Deleting(finding)
            } else {
                Verdict::Progress(finding)
            };
            let wait = until.map_or(retry.stalled_interval, |until| until_then(facts.now, until));
            (
                verdict,
                Action::requeue(wait),
                ReconcileOutcome::Waiting,
                *reason,
            )
        }
        _ => return None,
    };
    let first_ready = matches!(verdict, Verdict::Ready)
        && pass
            .status
            .timings
            .as_ref()
            .is_some_and(|timings| timings.ready_ms.is_none());
    if let Err(failure) = pass.save(facts, &verdict).await {
        return Some(fail(pass, failure).await);
    }
    if first_ready
        && let Some(ready_ms) = pass
            .status
            .timings
            .as_ref()
            .and_then(|timings| timings.ready_ms)
    {
        pass.ctx
            .metrics
            .became_ready(Duration::from_millis(ready_ms.unsigned_abs()));
    }
    Some(Ending {
        action,
        outcome,
        reason,
    })
}

/// The part that a plan's own reasons speak of.
fn area_of(reason: Reason) -> Area {
    match reason {
        Reason::SecretConflict | Reason::UpdatingSecret => Area::Credentials,
        Reason::MigrationsInvalid => Area::Schema,
        _ => Area::Project,
    }
}

/// Once everything is as wished, what Neon need not be told is in effect too.
fn settle_figures(pass: &mut Pass<'_>) {
    if let Goal::Live(Ok(wish)) = &pass.goal {
        pass.status.effective = Some(wish.effective());
    }
}

fn until_then(now: Timestamp, then: Timestamp) -> Duration {
    then.duration_since(now)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

async fn fail(pass: &mut Pass<'_>, failure: Failure) -> Ending {
    let facts = observe(pass);
    let verdict = failure.verdict(pass.deleting());
    // After a conflict somebody knows better than this pass; any other failure is worth a word in the status.
    let outdated =
        failure.reason == Reason::KubernetesError && matches!(failure.retry, Retry::After(_));
    if !outdated && let Err(unsaid) = pass.save(&facts, &verdict).await {
        debug!(reason = %unsaid.reason, "The status could not be written: {}", unsaid.message);
    }
    let (wait, outcome) = match failure.retry {
        Retry::After(wait) => (wait, ReconcileOutcome::Failed),
        Retry::Backoff => (
            pass.ctx.backoffs.failed(&pass.uid),
            ReconcileOutcome::Failed,
        ),
        Retry::OnChange => (
            pass.ctx.config.retry.stalled_interval,
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
