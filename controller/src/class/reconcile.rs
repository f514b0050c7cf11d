//! The reconciliation of a class.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crds::{
    ConditionType, OrphanedProjects, TenantClass, TenantClassStatus, annotations, find_condition,
};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use service_kit::error_chain;
use tracing::{info, warn};

use super::apply::apply;
use super::fingerprint::fingerprint;
use super::observe::observe;
use super::plan::plan;
use super::status::{build_status, terminating_message};
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::events::ControllerEvent;

/// Wait after a conflict with another writer.
const CONFLICT_RETRY: Duration = Duration::from_millis(500);

/// Reconciles the classes, and remembers the last fingerprint of each.
pub struct ClassReconciler {
    pub ctx: Arc<Context>,
    fingerprints: Mutex<HashMap<String, u64>>,
}

impl ClassReconciler {
    pub fn new(ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            fingerprints: Mutex::default(),
        }
    }

    /// Forgets a deleted class and queues its Tenants, which then report that it does not exist.
    pub fn forget(&self, class: &str) {
        self.ctx.accounts.remove_class(class);
        self.ctx.migration_sources.remove_class(class);
        self.ctx.deletion_holds.remove_class(class);
        self.ctx.rollout_concurrency.remove_class(class);
        self.ctx.metrics.remove_class(class);
        self.fingerprints.lock().remove(class);
        self.enqueue_tenants(class);
    }

    fn enqueue_tenants(&self, class: &str) {
        for tenant in self.ctx.tenants_of(class) {
            self.ctx.enqueue(ObjectRef::from_obj(&*tenant));
        }
    }

    /// Queues the Tenants of a class that changed since its last reconciliation.
    fn enqueue_tenants_if_changed(&self, class: &TenantClass) {
        let name = class.name_any();
        let current = fingerprint(&self.ctx, class);
        let previous = self.fingerprints.lock().insert(name.clone(), current);
        if previous == Some(current) {
            return;
        }
        if previous.is_some() {
            info!(class.name = %name, "class changed; reconciling its tenants");
        }
        self.enqueue_tenants(&name);
    }
}

/// Reconciles one class. Errors are logged; the returned action says when to retry.
pub async fn reconcile(
    class: Arc<TenantClass>,
    reconciler: Arc<ClassReconciler>,
) -> Result<Action, Infallible> {
    match run(&class, &reconciler).await {
        Ok(()) => Ok(Action::await_change()),
        Err(ClusterError::Conflict { .. } | ClusterError::NotFound { .. }) => {
            Ok(Action::requeue(CONFLICT_RETRY))
        }
        Err(error) => {
            warn!(
                class.name = %class.name_any(),
                error = %error_chain(&error),
                "failed to reconcile the class"
            );
            Ok(Action::requeue(reconciler.ctx.config.reconcile.backoff_max))
        }
    }
}

async fn run(class: &TenantClass, reconciler: &ClassReconciler) -> Result<(), ClusterError> {
    let ctx = &reconciler.ctx;
    let name = class.name_any();
    if !ctx.serves(class) {
        return Ok(());
    }
    ctx.load_class(class).await?;
    // An incomplete count could remove the finalizer of a class that has Tenants. Once the caches
    // are synced, all classes are queued again.
    if !ctx.caches_synced.is_cancelled() {
        return Ok(());
    }
    let tenants = ctx.tenants_of(&name).count();
    if confirm_deletions(ctx, class) {
        reconciler.enqueue_tenants(&name);
    }
    let Some(class) = apply(ctx, class, plan(class, tenants > 0)).await? else {
        return Ok(());
    };
    let observed = observe(ctx, &class, tenants);
    let status = build_status(&class, &observed, ctx.clock.now());
    if let Some(orphaned) = &observed.orphaned {
        ctx.metrics.set_orphaned_projects(&name, orphaned.count);
    }
    if class.status.as_ref() != Some(&status) {
        // Fails if the cached class is outdated, so that nothing is reported twice.
        ctx.cluster.write_class_status(&class, &status).await?;
        if let Some(orphaned) = &observed.orphaned {
            report_orphaned(ctx, &class, orphaned);
        }
        report_terminating(ctx, &class, &status);
        report_held_deletions(ctx, &class, &status);
        report_plan_exceeded(ctx, &class, &status);
    }
    reconciler.enqueue_tenants_if_changed(&class);
    ctx.rollout_queue.enqueue(ObjectRef::from_obj(&class));
    Ok(())
}

/// Releases the held deletions of the class if its annotation confirms them.
fn confirm_deletions(ctx: &Context, class: &TenantClass) -> bool {
    let name = class.name_any();
    let Some(confirmation) = class.annotations().get(annotations::CONFIRM_DELETIONS) else {
        return false;
    };
    let last_requested = ctx
        .pending_deletions(&name)
        .map(|request| request.requested_at)
        .max();
    let now = ctx.clock.now();
    let confirmed = ctx
        .deletion_holds
        .confirm(&name, confirmation, last_requested, now);
    if confirmed {
        info!(class.name = %name, "mass deletion confirmed");
    }
    confirmed
}

/// Warns about orphaned projects, whenever they change.
fn report_orphaned(ctx: &Context, class: &TenantClass, orphaned: &OrphanedProjects) {
    let before = class
        .status
        .as_ref()
        .and_then(|status| status.orphaned_projects.as_ref());
    if orphaned.count == 0 || Some(orphaned) == before {
        return;
    }
    let ids = orphaned.ids.join(", ");
    warn!(
        class.name = %class.name_any(),
        projects.count = orphaned.count,
        projects.ids = ids,
        "account has orphaned projects"
    );
    let event = ControllerEvent::OrphanedProjects(orphaned);
    ctx.events.publish(class.object_ref(&()), &event);
}

/// Warns about deletions that wait for a confirmation, once for each mass deletion.
fn report_held_deletions(ctx: &Context, class: &TenantClass, status: &TenantClassStatus) {
    let held = |status: &TenantClassStatus| status.mass_deletion.clone()?.held_since;
    let since = held(status);
    if since.is_none() || since == class.status.as_ref().and_then(held) {
        return;
    }
    let condition = find_condition(&status.conditions, ConditionType::DeletionsHeld);
    if let Some(condition) = condition {
        warn!(class.name = %class.name_any(), note = condition.message, "mass deletion held");
        let event = ControllerEvent::DeletionsHeld {
            message: &condition.message,
        };
        ctx.events.publish(class.object_ref(&()), &event);
    }
}

/// Warns about defaults and limits that the account's plan does not allow, whenever they change.
fn report_plan_exceeded(ctx: &Context, class: &TenantClass, status: &TenantClassStatus) {
    let message = |status: &TenantClassStatus| {
        find_condition(&status.conditions, ConditionType::PlanExceeded)
            .map(|condition| condition.message.clone())
    };
    let before = class.status.as_ref().and_then(message);
    let Some(note) = message(status).filter(|note| before.as_ref() != Some(note)) else {
        return;
    };
    warn!(class.name = %class.name_any(), note, "class exceeds the account's plan");
    let event = ControllerEvent::PlanExceeded { message: &note };
    ctx.events.publish(class.object_ref(&()), &event);
}

/// Publishes once why a class that is being deleted still exists.
fn report_terminating(ctx: &Context, class: &TenantClass, status: &TenantClassStatus) {
    let reported = class.status.as_ref().and_then(terminating_message);
    if let (None, Some(message)) = (reported, terminating_message(status)) {
        let event = ControllerEvent::ClassTerminating { message };
        ctx.events.publish(class.object_ref(&()), &event);
    }
}
