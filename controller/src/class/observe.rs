//! Gathers the observed state of a class from the caches and its account's last listing.

use std::collections::HashSet;

use crds::{ConditionType, MassDeletionStatus, OrphanedProjects, Reason, TenantClass, is_true};
use kube::ResourceExt;

use crate::accounts::PlanReading;
use crate::context::Context;
use crate::identity::TenantUid;
use crate::issue::{Component, Issue};

/// Orphaned projects that the status lists by id.
const MAX_ORPHANED_IDS: usize = 20;

/// The observed state of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedClass {
    pub tenants: usize,
    /// Projects of its account that belong to this installation and to no Tenant; `None` until the
    /// account has been listed.
    pub orphaned: Option<OrphanedProjects>,
    /// The account that the API key belongs to; `None` until it has been read.
    pub account: Option<ObservedAccount>,
    /// Whether deletions of its Tenants wait for a confirmation.
    pub mass_deletion: Option<MassDeletionStatus>,
    /// Name of its newest rollout.
    pub rollout: Option<String>,
    /// Number of its Tenants whose deletion has not completed.
    pub pending_deletions: usize,
    /// Why the class cannot be used.
    pub issue: Option<Issue>,
}

/// The Neon account of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedAccount {
    /// Id of the user or the organization.
    pub id: String,
    pub plan: PlanReading,
    /// Number of projects; `None` until the account has been listed.
    pub projects: Option<usize>,
}

pub fn observe(ctx: &Context, class: &TenantClass, tenants: usize) -> ObservedClass {
    let name = class.name_any();
    ObservedClass {
        tenants,
        orphaned: orphaned_projects(ctx, &name),
        account: ctx
            .accounts
            .for_class(&name)
            .and_then(Result::ok)
            .and_then(|account| {
                Some(ObservedAccount {
                    id: account.owner()?,
                    plan: account.plan(),
                    projects: account.project_count(),
                })
            }),
        mass_deletion: ctx.deletion_holds.status(&name),
        rollout: ctx.rollouts.newest(&name).map(|newest| newest.name_any()),
        pending_deletions: ctx.pending_deletions(&name).count(),
        issue: class_issue(ctx, class),
    }
}

fn orphaned_projects(ctx: &Context, class: &str) -> Option<OrphanedProjects> {
    let account = ctx
        .accounts
        .for_class(class)?
        .ok()
        .filter(|account| account.is_listed())?;
    let tenants: HashSet<TenantUid> = ctx
        .all_tenants()
        .filter_map(|tenant| tenant.uid())
        .collect();
    let mut ids = account.orphaned_projects(&tenants);
    // A project that was retained and then adopted or taken back can carry the mark of its former
    // Tenant.
    for tenant in ctx.all_tenants() {
        let used = [tenant.adopted_project(), tenant.recorded_project()];
        for id in used.into_iter().flatten().filter_map(|id| id.parse().ok()) {
            ids.remove(&id);
        }
    }
    Some(OrphanedProjects {
        count: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        ids: ids
            .iter()
            .take(MAX_ORPHANED_IDS)
            .map(ToString::to_string)
            .collect(),
    })
}

/// Id of the account that the class's projects belong to.
fn bound_account(class: &TenantClass) -> Option<&str> {
    let account = class.status.as_ref()?.account.as_ref()?;
    Some(account.id.as_str())
}

fn class_issue(ctx: &Context, class: &TenantClass) -> Option<Issue> {
    let name = class.name_any();
    let account = match ctx.accounts.for_class(&name)? {
        Ok(account) => account,
        Err(issue) => return Some(issue),
    };
    if let Some(issue) = account.owner_mismatch(bound_account(class)) {
        return Some(issue);
    }
    if let Some(Err(issue)) = ctx.migration_sources.for_class(&name) {
        return Some(issue);
    }
    account.last_error().or_else(|| {
        // After a restart, a class that was ready remains ready until its account has been listed
        // again.
        (!account.is_listed() && !was_ready(class)).then(|| {
            Issue::new(
                Component::Project,
                Reason::Waiting,
                "waiting for the first listing of the account's projects",
            )
        })
    })
}

/// Whether the recorded status reports the current spec as ready.
fn was_ready(class: &TenantClass) -> bool {
    class.status.as_ref().is_some_and(|status| {
        status.observed_generation == class.metadata.generation
            && is_true(&status.conditions, ConditionType::Ready)
    })
}
