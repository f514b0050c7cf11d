//! The reconciliation of the rollouts of a class: observe, plan and apply, until the plan has no
//! further step for now.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crds::{RolloutPhase, RolloutPlan, SchemaRollout, TenantClass};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use service_kit::error_chain;
use tracing::{debug, warn};

use super::apply::{apply, describe_failures, enqueue_reached, record_metrics};
use super::desired::rollout_plan;
use super::observe::{ObservedRollouts, observe};
use super::plan::{RolloutStep, plan};
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::schema_assignment::phase;

/// More steps than one change of a class needs.
const MAX_STEPS: usize = 24;
/// Wait after a conflict with another writer, or after [`MAX_STEPS`].
const CONFLICT_RETRY: Duration = Duration::from_millis(500);

/// Reconciles the rollouts of one class. Errors are logged; the returned action says when to retry.
pub async fn reconcile(class: Arc<TenantClass>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    match run(&class, &ctx).await {
        Ok(retry_after) => Ok(retry_after.map_or_else(Action::await_change, Action::requeue)),
        Err(
            ClusterError::Conflict { what }
            | ClusterError::NotFound { what }
            | ClusterError::Exists { what },
        ) => {
            debug!(class.name = %class.name_any(), what, "the rollouts changed meanwhile");
            Ok(Action::requeue(CONFLICT_RETRY))
        }
        Err(error) => {
            warn!(
                class.name = %class.name_any(),
                error = %error_chain(&error),
                "failed to reconcile the schema rollouts of the class"
            );
            Ok(Action::requeue(ctx.config.reconcile.backoff_max))
        }
    }
}

/// Returns the wait before the next reconciliation; `None` if a change triggers it.
async fn run(class: &Arc<TenantClass>, ctx: &Context) -> Result<Option<Duration>, ClusterError> {
    // Incomplete caches would show fewer Tenants than there are. Migrations of an outdated class would
    // become a rollout of their own.
    if !ctx.serves(class)
        || !ctx.caches_synced.is_cancelled()
        || !ctx.migration_sources.is_current(class)
    {
        return Ok(None);
    }
    for _ in 0..MAX_STEPS {
        if ctx.stopping.is_cancelled() || !ctx.guard.is_leader() {
            return Ok(None);
        }
        let mut observed = observe(ctx, class);
        request_listing(ctx, &observed);
        observed.plan = missing_plan(&observed).await;
        let newest = observed.rollouts.last();
        let reported = newest.and_then(|newest| Some(&*newest.status.as_ref()?.failures));
        let step = plan(&observed, &|failed| {
            describe_failures(ctx, reported.unwrap_or_default(), failed)
        });
        if let RolloutStep::Wait(until) = step {
            if let Some(newest) = observed.rollouts.last() {
                record_metrics(ctx, newest);
                if !observed.members.is_empty() {
                    enqueue_reached(ctx, &observed, newest);
                }
            }
            let wait = until.map(|until| until.duration_since(observed.now));
            return Ok(wait.map(|wait| wait.try_into().unwrap_or(Duration::ZERO)));
        }
        apply(ctx, &observed, &step).await?;
    }
    Ok(Some(CONFLICT_RETRY))
}

/// Requests the listing that shows which Tenants have been used since the rollout started.
fn request_listing(ctx: &Context, observed: &ObservedRollouts) {
    let account = ctx.accounts.for_class(&observed.class.name_any());
    if let (Some(Ok(account)), Some(from)) = (account, observed.use_unknown_from)
        && from <= observed.now
    {
        account.request_listing_since(from);
    }
}

/// What the current rollout applies, if its status does not say so yet.
async fn missing_plan(observed: &ObservedRollouts) -> Option<RolloutPlan> {
    let current = observed.current()?;
    let recorded = current
        .status
        .as_ref()
        .and_then(|status| status.plan.as_ref());
    // A plan without counts is from a version without the linter.
    let is_planned = recorded.is_some_and(|plan| plan.finding_counts.is_some());
    if is_planned || phase(current).is_some_and(RolloutPhase::is_final) {
        return None;
    }
    let content = observed.content.clone()?;
    let completed = last_completed(&observed.rollouts);
    tokio::task::spawn_blocking(move || rollout_plan(&content, completed.as_deref()))
        .await
        .ok()
}

/// The newest rollout before the current one that was completed. One that was replaced or failed before
/// its end did not bring its migrations to all Tenants.
fn last_completed(rollouts: &[Arc<SchemaRollout>]) -> Option<Arc<SchemaRollout>> {
    let mut earlier = rollouts.iter().rev().skip(1);
    earlier
        .find(|rollout| phase(rollout) == Some(RolloutPhase::Completed))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_plan_compares_with_the_newest_completed_rollout() {
        let rollouts = |phases: &[&str]| -> Vec<Arc<SchemaRollout>> {
            let rollout = |(index, phase): (usize, &&str)| {
                let rollout = json!({
                    "apiVersion": "dbpertenant.dev/v1alpha1",
                    "kind": "SchemaRollout",
                    "metadata": { "name": format!("r{index}") },
                    "spec": {
                        "className": "standard", "revision": index,
                        "target": { "version": 1, "digest": "d", "versions": [1] },
                    },
                    "status": { "phase": phase },
                });
                Arc::new(serde_json::from_value(rollout).unwrap())
            };
            phases.iter().enumerate().map(rollout).collect()
        };
        for (phases, expected) in [
            (&["Completed", "Canary"][..], Some("r0")),
            (&["Completed", "Superseded", "Canary"], Some("r0")),
            (&["Completed", "Completed", "Failed", "Canary"], Some("r1")),
            (&["Superseded", "Canary"], None),
            (&["Completed"], None),
        ] {
            let found = last_completed(&rollouts(phases)).map(|rollout| rollout.name_any());
            assert_eq!(found.as_deref(), expected, "{phases:?}");
        }
    }
}
