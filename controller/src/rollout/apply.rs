//! Executes a step of a rollout.

use crds::{
    ConditionType, Reason, RolloutFailure, RolloutPhase, SchemaRollout, SchemaRolloutStatus,
    find_condition, is_true,
};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use tracing::{info, warn};

use super::desired::recorded_status;
use super::observe::{ObservedRollouts, reached};
use super::plan::RolloutStep;
use super::status::MAX_FAILURES;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::events::ControllerEvent;
use crate::schema_assignment::{may_begin, reach};

/// Longest message of a failed Tenant in a rollout's status, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

pub async fn apply(
    ctx: &Context,
    observed: &ObservedRollouts,
    step: &RolloutStep,
) -> Result<(), ClusterError> {
    match step {
        RolloutStep::Create(rollout) => {
            let created = ctx.cluster.create_rollout(rollout).await?;
            info!(
                class.name = %rollout.spec.class_name,
                rollout.name = %created.name_any(),
                schema.version = created.spec.target.version,
                "created a schema rollout"
            );
            report(ctx, &created, Reason::RolloutStarted, &started(&created));
            ctx.rollouts.record_write(created);
        }
        RolloutStep::Pause(rollout) => {
            let paused = ctx.cluster.pause_rollout(rollout).await?;
            ctx.rollouts.record_write(paused);
        }
        RolloutStep::WriteStatus(rollout, status) => {
            let written = ctx.cluster.write_rollout_status(rollout, status).await?;
            report_change(ctx, rollout, status);
            record_metrics(ctx, &written);
            ctx.rollouts.record_write(written.clone());
            if reaches_further_tenant(rollout, &written) {
                enqueue_reached(ctx, observed, &written);
            }
        }
        RolloutStep::Delete(rollout) => {
            ctx.cluster.delete_rollout(rollout).await?;
            ctx.rollouts.remove(&rollout.name_any());
        }
        RolloutStep::Wait(_) => {}
    }
    Ok(())
}

/// Whether the rollout has reached a further Tenant.
fn reaches_further_tenant(before: &SchemaRollout, after: &SchemaRollout) -> bool {
    let known = admitted(before);
    reach(before) != reach(after) || admitted(after).iter().any(|uid| !known.contains(uid))
}

fn admitted(rollout: &SchemaRollout) -> &[String] {
    let status = rollout.status.as_ref();
    status.map_or(&[], |status| &status.admitted)
}

/// Queues the Tenants that the rollout has reached and that have not begun to migrate, if Tenants may
/// begin now.
pub fn enqueue_reached(ctx: &Context, observed: &ObservedRollouts, rollout: &SchemaRollout) {
    if !may_begin(rollout, observed.now) {
        return;
    }
    let class = observed.class.name_any();
    for tenant in reached(ctx.tenants_of(&class), rollout) {
        ctx.enqueue(ObjectRef::from_obj(&*tenant));
    }
}

/// What the status reports about these failed Tenants, which are pairs of namespace and name. A Tenant
/// that is being retried keeps what was reported about it.
pub fn describe_failures(
    ctx: &Context,
    reported: &[RolloutFailure],
    failed: &[(&str, &str)],
) -> Vec<RolloutFailure> {
    let failures = failed.iter().take(MAX_FAILURES).map(|(namespace, name)| {
        let tenant = ctx
            .tenant_named(namespace, name)
            .and_then(|tenant| tenant.decompress());
        let status = tenant.and_then(|tenant| tenant.status).unwrap_or_default();
        let earlier = reported
            .iter()
            .find(|failure| failure.namespace == *namespace && failure.name == *name);
        if let Some(earlier) =
            earlier.filter(|_| !is_true(&status.conditions, ConditionType::Stalled))
        {
            return earlier.clone();
        }
        let ready = find_condition(&status.conditions, ConditionType::Ready);
        RolloutFailure {
            namespace: (*namespace).to_owned(),
            name: (*name).to_owned(),
            reason: ready.map_or_else(String::new, |ready| ready.reason.clone()),
            message: ready.map_or_else(String::new, |ready| {
                ready.message.chars().take(MAX_MESSAGE_CHARS).collect()
            }),
        }
    });
    failures.collect()
}

fn started(rollout: &SchemaRollout) -> String {
    format!(
        "class {} has new migrations, up to version {}",
        rollout.spec.class_name, rollout.spec.target.version
    )
}

/// Publishes an event if the reason of the condition `Ready` changed.
fn report_change(ctx: &Context, before: &SchemaRollout, status: &SchemaRolloutStatus) {
    let Some(ready) = find_condition(&status.conditions, ConditionType::Ready) else {
        return;
    };
    let reported = before
        .status
        .as_ref()
        .and_then(|status| find_condition(&status.conditions, ConditionType::Ready));
    if reported.is_some_and(|reported| reported.reason == ready.reason) {
        return;
    }
    if let Ok(reason) = ready.reason.parse() {
        report(ctx, before, reason, &ready.message);
    }
}

fn report(ctx: &Context, rollout: &SchemaRollout, reason: Reason, message: &str) {
    let event = ControllerEvent::RolloutChanged { reason, message };
    let (class, name) = (&rollout.spec.class_name, rollout.name_any());
    match event.event_type() {
        EventType::Normal => info!(
            class.name = %class,
            rollout.name = %name,
            %reason,
            note = message,
            "schema rollout changed"
        ),
        EventType::Warning => warn!(
            class.name = %class,
            rollout.name = %name,
            %reason,
            note = message,
            "schema rollout needs attention"
        ),
    }
    ctx.events.publish(rollout.object_ref(&()), &event);
}

/// Sets the metrics of the class to the state of its newest rollout.
pub fn record_metrics(ctx: &Context, rollout: &SchemaRollout) {
    let status = recorded_status(rollout);
    if status.phase == Some(RolloutPhase::Superseded) {
        return;
    }
    let class = &rollout.spec.class_name;
    ctx.metrics.set_rollout_tenants(
        class,
        [
            status.updated,
            status.pending,
            status.asleep,
            status.failed,
            status.skipped,
        ],
    );
    let concurrency = status.concurrency.unwrap_or_default();
    ctx.metrics.set_rollout_concurrency(class, concurrency);
    let is_paused = status.phase == Some(RolloutPhase::Paused);
    ctx.metrics.set_rollout_paused(class, is_paused);
}
