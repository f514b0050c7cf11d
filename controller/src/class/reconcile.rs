//! One pass over a TenantClass: read its key and its migrations, count its Tenants, keep it while it is in use, say what is
//! wrong with it. Tenants are woken when something about their class changed that concerns them.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crds::{
    ConditionType, OrphanedProjects, Reason, TenantClass, TenantClassStatus, finalizers, is_true,
    set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use service_kit::error_chain;
use tracing::{info, warn};

use crate::cache::lock;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::identity::TenantUid;
use crate::tenant::desired::Issue;
use crate::tenant::observe::tenants_of;

/// Ids of orphaned projects that the status names.
const UNOWNED_IDS_MAX: usize = 20;
/// Wait after a conflict with another writer.
const CONFLICT_RETRY: Duration = Duration::from_millis(500);

/// What all passes over classes share.
pub struct Classes {
    /// What passes over Tenants share.
    pub ctx: Arc<Context>,
    /// What each class last meant for its Tenants.
    meaning: Mutex<HashMap<String, u64>>,
}

impl Classes {
    /// No class looked at yet.
    pub fn new(ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            meaning: Mutex::default(),
        }
    }

    /// Forgets a class that is gone, and lets its Tenants say so.
    pub fn forget(&self, class: &str) {
        self.ctx.accounts.forget(class);
        self.ctx.migration_sources.forget(class);
        self.ctx.metrics.forget_class(class);
        lock(&self.meaning).remove(class);
        self.wake(class);
    }

    fn wake(&self, class: &str) {
        for tenant in tenants_of(&self.ctx, class) {
            self.ctx.wake(ObjectRef::from_obj(&*tenant));
        }
    }
}

/// Reads a class's key and migrations, so that its Tenants can be looked at. Says whether anything changed.
pub async fn load(ctx: &Context, class: &TenantClass) -> Result<(), ClusterError> {
    ctx.accounts.load(class, &ctx.cluster).await?;
    ctx.migration_sources.load(class, &ctx.cluster).await?;
    Ok(())
}

/// Reconciles one class. It never fails: the action says when to look again.
pub async fn reconcile(
    class: Arc<TenantClass>,
    classes: Arc<Classes>,
) -> Result<Action, Infallible> {
    match rec(&class, &classes).await {
        Ok(()) => Ok(Action::await_change()),
        Err(ClusterError::Conflict { .. } | ClusterError::NotFound { .. }) => {
            Ok(Action::requeue(CONFLICT_RETRY))
        }
        Err(error) => {
            warn!(class.name = %class.name_any(), "A pass over a TenantClass failed: {}", error_chain(&error));
            Ok(Action::requeue(classes.ctx.config.retry.backoff_max))
        }
    }
}

async fn rec(class: &TenantClass, classes: &Classes) -> Result<(), ClusterError> {
    let ctx = &classes.ctx;
    let name = class.name_any();
    load(ctx, class).await?;
    // A count of what is there so far would let the class go from under Tenants that are not known yet. This pass comes again then.
    if !ctx.caches_synced.is_cancelled() {
        return Ok(());
    }
    let tenants = tenants_of(ctx, &name).len();
    let Some(class) = guard(ctx, class, tenants > 0).await? else {
        return Ok(());
    };
    let orphaned = orphaned(ctx, &name);
    let status = status(ctx, &class, tenants, orphaned.as_ref());
    announce_orphaned(ctx, &class, orphaned.as_ref());
    announce_leaving(ctx, &class, &status);
    if class.status.as_ref() != Some(&status) {
        ctx.cluster.write_class_status(&class, &status).await?;
    }
    if changed(classes, &class) {
        classes.wake(&name);
    }
    Ok(())
}

/// Puts the finalizer on a class in use, and takes it off one that is not. `None` if the class is gone with it.
async fn guard(
    ctx: &Context,
    class: &TenantClass,
    in_use: bool,
) -> Result<Option<TenantClass>, ClusterError> {
    let mut list = class.metadata.finalizers.clone().unwrap_or_default();
    let guarded = list.iter().any(|one| one == finalizers::IN_USE);
    let terminating = class.metadata.deletion_timestamp.is_some();
    match (in_use, guarded) {
        (true, false) if !terminating => list.push(finalizers::IN_USE.to_owned()),
        (false, true) => list.retain(|one| one != finalizers::IN_USE),
        _ => return Ok(Some(class.clone())),
    }
    match ctx.cluster.set_class_finalizers(class, &list).await {
        Ok(written) => Ok(Some(written).filter(|_| in_use || !terminating)),
        Err(ClusterError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Projects of the class's account that bear our mark and belong to no Tenant; `None` while the account was never listed.
fn orphaned(ctx: &Context, class: &str) -> Option<OrphanedProjects> {
    let account = ctx
        .accounts
        .for_class(class)?
        .ok()
        .filter(|account| account.is_listed())?;
    let tenants: HashSet<TenantUid> = ctx
        .all_tenants()
        .filter_map(|tenant| TenantUid::parse(&tenant.uid()?))
        .collect();
    let mut ids = account.orphaned_projects(&tenants);
    // A project that was retained and then adopted bears the mark of the Tenant it had before.
    for adopted in ctx
        .all_tenants()
        .filter_map(|tenant| tenant.adopted_project()?.parse().ok())
    {
        ids.remove(&adopted);
    }
    ctx.metrics
        .set_orphaned_projects(class, i64::try_from(ids.len()).unwrap_or(i64::MAX));
    Some(OrphanedProjects {
        count: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        ids: ids
            .iter()
            .take(UNOWNED_IDS_MAX)
            .map(ToString::to_string)
            .collect(),
    })
}

fn announce_orphaned(ctx: &Context, class: &TenantClass, orphaned: Option<&OrphanedProjects>) {
    let before = class
        .status
        .as_ref()
        .and_then(|status| status.orphaned_projects.as_ref());
    if let Some(orphaned) =
        orphaned.filter(|orphaned| orphaned.count > 0 && Some(*orphaned) != before)
    {
        let note = format!(
            "{} projects bear this installation's mark and belong to no Tenant; they are left alone, and paid for: {}",
            orphaned.count,
            orphaned.ids.join(", ")
        );
        warn!(class.name = %class.name_any(), projects.orphaned = orphaned.count, "{note}");
        ctx.events
            .warning(class.object_ref(&()), Reason::OrphanedProjects, &note);
    }
}

/// Tells who deletes a class why it stays, once.
fn announce_leaving(ctx: &Context, class: &TenantClass, status: &TenantClassStatus) {
    let ready = |status: &TenantClassStatus| {
        let mut conditions = status.conditions.iter();
        conditions
            .find(|one| one.type_ == ConditionType::Ready.as_str())
            .filter(|ready| ready.reason == Reason::ClassTerminating.as_str())
            .map(|ready| ready.message.clone())
    };
    let before = class.status.as_ref().and_then(ready);
    if let (None, Some(note)) = (before, ready(status)) {
        ctx.events
            .warning(class.object_ref(&()), Reason::ClassTerminating, &note);
    }
}

fn status(
    ctx: &Context,
    class: &TenantClass,
    tenants: usize,
    orphaned: Option<&OrphanedProjects>,
) -> TenantClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    let was_ready = status.observed_generation == class.metadata.generation
        && is_true(&status.conditions, ConditionType::Ready);
    let trouble = leaving(class, tenants).or_else(|| trouble(ctx, &class.name_any(), was_ready));
    let ready = Condition {
        type_: ConditionType::Ready.as_str().to_owned(),
        status: if trouble.is_none() { "True" } else { "False" }.to_owned(),
        reason: trouble
            .as_ref()
            .map_or(Reason::ReconcileSucceeded, |trouble| trouble.reason)
            .as_str()
            .to_owned(),
        message: trouble.map_or_else(
            || "the account answers and the migrations can be read".to_owned(),
            |t| t.message,
        ),
        observed_generation: class.metadata.generation,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    set_condition(&mut status.conditions, ready, &Time(Timestamp::now()));
    status.observed_generation = class.metadata.generation;
    status.tenants = i64::try_from(tenants).unwrap_or(i64::MAX);
    if let Some(orphaned) = orphaned {
        status.orphaned_projects = Some(orphaned.clone()).filter(|orphaned| orphaned.count > 0);
    }
    status
}

/// What keeps a class that somebody deletes.
fn leaving(class: &TenantClass, tenants: usize) -> Option<Issue> {
    class.metadata.deletion_timestamp.as_ref()?;
    Some(Issue {
        reason: Reason::ClassTerminating,
        message: format!(
            "is being deleted, and goes with the last of its Tenants ({tenants} now: kubectl get tenants -A); they keep their \
             databases until then, and it takes no new ones"
        ),
    })
}

fn last_error(ctx: &Context, class: &str, was_ready: bool) -> Option<Issue> {
    let account = match ctx.accounts.for_class(class)? {
        Ok(account) => account,
        Err(issue) => return Some(issue),
    };
    if let Some(Err(issue)) = ctx.migration_sources.for_class(class) {
        return Some(issue);
    }
    account.last_error().or_else(|| {
        // After a restart, what was said last stands until the account is listed again.
        (!account.is_listed() && !was_ready).then(|| Issue {
            reason: Reason::Waiting,
            message: "the account is being listed for the first time".to_owned(),
        })
    })
}

/// Whether the class means something else for its Tenants than when it was last looked at.
fn changed(classes: &Classes, class: &TenantClass) -> bool {
    let name = class.name_any();
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&class.spec)
        .unwrap_or_default()
        .hash(&mut hasher);
    (
        class.metadata.deletion_timestamp.is_some(),
        &class.metadata.finalizers,
    )
        .hash(&mut hasher);
    // Which account, with which key, or what is wrong with it.
    let account = classes
        .ctx
        .accounts
        .for_class(&name)
        .map(|account| match account {
            Ok(account) => Ok((account.id(), account.key_generation())),
            Err(issue) => Err(issue.message),
        });
    account.hash(&mut hasher);
    let schema = classes.ctx.migration_sources.for_class(&name);
    schema
        .map(|set| {
            set.map(|set| set.digest().to_owned())
                .map_err(|issue| issue.message)
        })
        .hash(&mut hasher);
    let meaning = hasher.finish();
    let before = lock(&classes.meaning).insert(name.clone(), meaning);
    if before.is_some_and(|before| before != meaning) {
        info!(class.name = %name, "The class changed; its Tenants are looked at again");
    }
    before != Some(meaning)
}
