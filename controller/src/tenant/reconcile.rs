//! The reconcile loop: observe, plan and apply, until the plan has no further step for now.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crds::{ConditionType, Reason, is_true};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use service_kit::error_chain;
use tokio::time::Instant;
use tracing::{Instrument, debug, info_span, warn};

use crate::cache::{CachedTenant, ObservedSecret};
use crate::context::Context;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::inspections::Candidate;
use crate::issue::Component;
use crate::telemetry::{ReconcileOutcome, StepOutcome};
use crate::tenant::annotations::TenantAnnotations;
use crate::tenant::apply::{apply, calls_neon, progress, step_name};
use crate::tenant::observe::{begin, observe};
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{Step, plan};
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// The longest path, from a new Tenant to a ready one with a rejected password on the way, takes
/// about ten steps.
const MAX_STEPS_PER_RECONCILE: usize = 24;
/// Wait after a reconciliation that reached [`MAX_STEPS_PER_RECONCILE`].
const STEP_LIMIT_RETRY: Duration = Duration::from_secs(30);

/// Wait after a conflict, which only means that the watch lags behind by a moment.
const CONFLICT_RETRY: Duration = Duration::from_millis(200);

/// How often the controller checks whether a Secret of another owner with the name of the connection
/// Secret still exists.
const FOREIGN_SECRET_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The end of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Wait before the next reconciliation; `None` if a change triggers it.
    pub retry_after: Option<Duration>,
    pub outcome: ReconcileOutcome,
    /// Reason of the `Ready` condition.
    pub reason: Reason,
}

/// Reconciles one Tenant, for the controller's loop.
pub async fn reconcile(cached: Arc<CachedTenant>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let retry_after = reconcile_once(&cached, &ctx)
        .await
        .and_then(|completion| completion.retry_after);
    Ok(retry_after.map_or_else(Action::await_change, Action::requeue))
}

/// Reconciles one Tenant. Errors are reported in the Tenant's status. `None` if the Tenant is gone
/// or has no valid UID.
pub async fn reconcile_once(cached: &CachedTenant, ctx: &Context) -> Option<Completion> {
    let start = Instant::now();
    ensure_class_loaded(ctx, cached.class_name()).await;
    let mut rec = begin(ctx, cached)?;
    let span =
        info_span!("reconcile", tenant.namespace = %rec.key.namespace, tenant.name = %rec.key.name);
    let uid = rec.uid;
    // The future is large.
    let completion = Box::pin(run(&mut rec)).instrument(span).await;
    if !matches!(completion.outcome, ReconcileOutcome::Failed) {
        ctx.backoffs.reset(&uid);
    }
    ctx.metrics
        .record_reconcile(completion.outcome, completion.reason, start.elapsed());
    Some(completion)
}

/// Loads a class that is new or was edited. The first Tenant of a class then need not wait for the
/// class's own reconciliation, and no Tenant uses the account or the migrations of an outdated
/// class.
async fn ensure_class_loaded(ctx: &Context, name: &str) {
    if let Some(class) = ctx.class(name)
        && ctx.serves(&class)
        && !ctx.migration_sources.is_current(&class)
        && let Err(error) = ctx.load_class(&class).await
    {
        debug!(
            class.name = name,
            error = %error_chain(&error),
            "failed to load the class"
        );
    }
}

async fn run(rec: &mut Reconciliation<'_>) -> Completion {
    // Without our finalizer, a deleted Tenant needs nothing more from the controller.
    if rec.deleting() && !observe(rec).has_finalizer {
        return released(rec);
    }
    report_annotations(rec);
    for _ in 0..MAX_STEPS_PER_RECONCILE {
        if rec.ctx.stopping.is_cancelled() {
            return stopped();
        }
        let observed = observe(rec);
        let step = plan(&rec.intent, &observed);
        debug!(step = step_name(&step), "planned step");
        if let Some(completion) = finish_if_terminal(rec, &observed, &step).await {
            return completion;
        }
        if let Err(error) = execute_step(rec, &observed, &step).await {
            return fail(rec, &error).await;
        }
        if matches!(step, Step::RemoveFinalizer(_)) {
            return released(rec);
        }
    }
    warn!(
        steps = MAX_STEPS_PER_RECONCILE,
        "reconciliation reached the step limit"
    );
    Completion {
        retry_after: Some(STEP_LIMIT_RETRY),
        outcome: ReconcileOutcome::Failed,
        reason: Reason::Progressing,
    }
}

/// The process is shutting down. The next leader continues.
fn stopped() -> Completion {
    Completion {
        retry_after: None,
        outcome: ReconcileOutcome::Waiting,
        reason: Reason::Progressing,
    }
}

/// Warns about annotations that have no effect because of their value or their name, once per change.
fn report_annotations(rec: &Reconciliation<'_>) {
    let problems = TenantAnnotations::read(rec.tenant.annotations()).problems;
    if !rec.ctx.reported_problems.record(rec.uid, &problems) {
        return;
    }
    for problem in problems {
        rec.publish_event(&ControllerEvent::InvalidAnnotation { problem: &problem });
    }
}

fn released(rec: &Reconciliation<'_>) -> Completion {
    rec.ctx.own_writes.remove(rec.uid);
    rec.ctx.reported_problems.forget(rec.uid);
    rec.ctx.inspections.forget(rec.uid);
    rec.ctx.connection_refusals.forget(rec.uid);
    rec.ctx.unapplied_settings.forget(rec.uid);
    Completion {
        retry_after: None,
        outcome: ReconcileOutcome::Released,
        reason: Reason::Deleting,
    }
}

async fn execute_step(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    step: &Step,
) -> Result<(), ReconcileError> {
    if !rec.ctx.guard.is_leader() {
        return Err(ReconcileError::not_leader(Component::Project));
    }
    // A Tenant that was ready reports a long step at its start. The status of any other already
    // says that work is in progress, unless it has none yet: the first listing can take long.
    // Opening a database is always reported: if that ended the process, the status shows which
    // database did.
    let reports = match step {
        Step::List { since } => *since == Timestamp::MIN && rec.status.phase.is_none(),
        Step::Migrate(_) => true,
        _ => is_true(&rec.status.conditions, ConditionType::Ready),
    };
    if let Some(issue) = progress(step).filter(|_| reports) {
        rec.save_status(observed, &StatusOutcome::InProgress(issue))
            .await?;
    }
    if calls_neon(step) {
        check_account(rec, observed, step).await?;
    }
    let mut result = apply(rec, observed, step)
        .instrument(info_span!("step", step = step_name(step)))
        .await;
    if let Err(error) = result {
        result = verify_project(rec, observed, step, error).await;
    }
    let outcome = if result.is_ok() {
        StepOutcome::Done
    } else {
        StepOutcome::Failed
    };
    rec.ctx.metrics.record_step(step_name(step), outcome);
    result
}

/// Reads the project of a step for which Neon did not find something: the listing may be older than
/// the project's deletion. Returns the step's error if the project existed all the time.
async fn verify_project(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    step: &Step,
    error: ReconcileError,
) -> Result<(), ReconcileError> {
    let (Step::Inspect(project)
    | Step::WriteSecret(project)
    | Step::CheckSecret(project)
    | Step::BackUp(project)
    | Step::Restore(project)
    | Step::Update { project, .. }) = step
    else {
        return Err(error);
    };
    if !error.is_not_found() {
        return Err(error);
    }
    let was_found = rec.state.project_found;
    rec.state.project_recovered = false;
    apply(rec, observed, &Step::VerifyMissing(project.clone())).await?;
    if was_found && !rec.state.project_recovered {
        return Err(error);
    }
    Ok(())
}

/// Makes sure that the calls of the step go to the account of the class's projects. The account must
/// be recorded in the class before the first call that needs it: otherwise a crash followed by
/// another key would leave a project behind in the former account.
async fn check_account(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    step: &Step,
) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    let (client, owner) = account.identified_client().await?;
    if let Some(issue) = account.mismatch_of(&owner, rec.bound_account()) {
        return Err(issue.into());
    }
    if rec.bound_account().is_none() && !matches!(step, Step::List { .. }) {
        let class = ObjectRef::new(&rec.tenant.spec.class_name);
        rec.ctx.class_queue.enqueue(class);
        return Err(ReconcileError::transient(
            Component::Project,
            Reason::Waiting,
            "waiting until the TenantClass has recorded its Neon account",
        ));
    }
    // No user waits for a compute that is read in turn.
    let is_background = observed.inspection_due && matches!(step, Step::Inspect(_));
    rec.checked_client = Some(if is_background {
        client.background()
    } else {
        client
    });
    Ok(())
}

/// The outcome to report if the step ends the reconciliation; `None` for other steps.
fn terminal_outcome(step: &Step) -> Option<StatusOutcome> {
    match step {
        Step::UpToDate => Some(StatusOutcome::Ready),
        Step::Suspended => Some(StatusOutcome::Suspended),
        Step::Stalled(issue) => Some(StatusOutcome::Stalled(issue.clone())),
        Step::Wait { issue, .. } => Some(StatusOutcome::InProgress(issue.clone())),
        _ => None,
    }
}

/// What a reconciliation would do.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Execute a step, or correct a status that another client wrote.
    Due,
    /// Nothing, until it is the Tenant's turn to have its compute read.
    UpToDate(Candidate),
    /// Nothing, until something changes.
    Waiting,
}

/// What a reconciliation would do now.
pub fn pending_work(rec: &mut Reconciliation<'_>) -> Work {
    let observed = observe(rec);
    let step = plan(&rec.intent, &observed);
    let Some(outcome) = terminal_outcome(&step) else {
        return Work::Due;
    };
    if outcome == StatusOutcome::Ready {
        record_effective_spec(rec);
    }
    if rec.next_status(&observed, &outcome) != rec.tenant.status.clone().unwrap_or_default() {
        return Work::Due;
    }
    match (&rec.status.project, &observed.listing.own) {
        (Some(project), Some(listed)) if outcome == StatusOutcome::Ready => {
            Work::UpToDate(Candidate {
                tenant: rec.uid,
                changed: project.checked_at.as_ref() != Some(&listed.updated_at),
            })
        }
        _ => Work::Waiting,
    }
}

/// Completes the reconciliation if the step is one that ends it.
async fn finish_if_terminal(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    step: &Step,
) -> Option<Completion> {
    let stalled_interval = rec.ctx.config.reconcile.stalled_retry_interval;
    let status = terminal_outcome(step)?;
    let completion = match step {
        Step::Suspended => Completion {
            retry_after: None,
            outcome: ReconcileOutcome::Waiting,
            reason: Reason::Suspended,
        },
        Step::Stalled(issue) => Completion {
            retry_after: Some(match issue.reason {
                // No watch shows when the Secret of another owner is deleted.
                Reason::SecretConflict => FOREIGN_SECRET_POLL_INTERVAL,
                _ => stalled_interval,
            }),
            outcome: ReconcileOutcome::Stalled,
            reason: issue.reason,
        },
        Step::Wait { until, issue } => Completion {
            retry_after: Some(until.map_or(stalled_interval, |until| {
                duration_until(until, observed.now)
            })),
            outcome: ReconcileOutcome::Waiting,
            reason: issue.reason,
        },
        _ => {
            record_effective_spec(rec);
            Completion {
                // A change, a listing or the periodic resync triggers the next reconciliation.
                retry_after: None,
                outcome: ReconcileOutcome::Ready,
                reason: Reason::ReconcileSucceeded,
            }
        }
    };
    record_unapplied_settings(rec, &status);
    let had_ready_time = ready_ms(rec).is_some();
    if let Err(error) = rec.save_status(observed, &status).await {
        return Some(fail(rec, &error).await);
    }
    if let Some(ready_ms) = ready_ms(rec).filter(|_| !had_ready_time) {
        rec.ctx
            .metrics
            .record_time_to_ready(Duration::from_millis(ready_ms.unsigned_abs()));
    }
    Some(completion)
}

/// Remembers settings that Neon has just accepted without applying them.
fn record_unapplied_settings(rec: &Reconciliation<'_>, outcome: &StatusOutcome) {
    let unapplied = &rec.ctx.unapplied_settings;
    match outcome {
        StatusOutcome::Ready => unapplied.forget(rec.uid),
        StatusOutcome::Stalled(issue) if issue.reason == Reason::SettingsNotApplied => {
            if let Some(sent) = &rec.state.settings_sent {
                unapplied.record(rec.uid, sent.clone(), rec.ctx.clock.now());
            }
        }
        _ => {}
    }
}

fn ready_ms(rec: &Reconciliation<'_>) -> Option<i64> {
    rec.status.timings.as_ref()?.ready_ms
}

/// Records the whole desired state as in effect, including what Neon does not store, and forgets a
/// former Secret that no longer exists.
fn record_effective_spec(rec: &mut Reconciliation<'_>) {
    if let Some(desired) = rec.intent.desired() {
        rec.status.effective = Some(desired.effective());
    }
    if let Some(previous) = rec
        .status
        .binding
        .as_ref()
        .and_then(|binding| binding.previous_name.clone())
        && !matches!(
            rec.ctx
                .secrets
                .lookup(&rec.key_of(&previous), rec.uid, &rec.key.name),
            ObservedSecret::Owned { .. }
        )
        && let Some(binding) = &mut rec.status.binding
    {
        binding.previous_name = None;
    }
}

fn duration_until(then: Timestamp, now: Timestamp) -> Duration {
    then.duration_since(now)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

async fn fail(rec: &mut Reconciliation<'_>, error: &ReconcileError) -> Completion {
    let observed = observe(rec);
    if error.retry.may_write_status()
        && let Err(error) = rec
            .save_status(&observed, &StatusOutcome::from(error))
            .await
    {
        debug!(
            reason = %error.issue.reason,
            error = %error_chain(&error),
            "failed to write the status"
        );
    }
    let (wait, outcome) = match error.retry {
        Retry::After(delay) => (delay, ReconcileOutcome::Failed),
        Retry::Backoff => (
            rec.ctx.backoffs.record_failure(&rec.uid),
            ReconcileOutcome::Failed,
        ),
        Retry::Conflict | Retry::NotLeader => (CONFLICT_RETRY, ReconcileOutcome::Failed),
        Retry::OnChange => (
            rec.ctx.config.reconcile.stalled_retry_interval,
            ReconcileOutcome::Stalled,
        ),
        Retry::OnChangeOrAfter(delay) => (delay, ReconcileOutcome::Stalled),
    };
    debug!(
        reason = %error.issue.reason,
        error = %error_chain(error),
        wait_ms = wait.as_millis(),
        "reconciliation failed"
    );
    Completion {
        retry_after: Some(wait),
        outcome,
        reason: error.issue.reason,
    }
}
