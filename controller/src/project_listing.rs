//! Drift detection: lists each account's projects at intervals, and queues the Tenants that then
//! need a step, or whose status is not the one that the controller would report.
//!
//! These two tasks check all Tenants, so that no Tenant needs a timer of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future;
use kube::runtime::reflector::ObjectRef;
use service_kit::error_chain;
use tracing::{debug, warn};

use crate::accounts::{Account, ListingError, Priority};
use crate::cache::CachedTenant;
use crate::context::Context;
use crate::tenant::observe::begin;
use crate::tenant::reconcile::{Work, pending_work};

/// How often the task checks whether an account's listing is due.
const LISTING_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Wait after a failed listing.
const LISTING_RETRY: Duration = Duration::from_secs(30);
/// Tenants that are checked before the task yields.
const TENANTS_PER_YIELD: usize = 64;

/// Lists each account when its listing is due.
pub(crate) async fn list_accounts(ctx: Arc<Context>) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut tick = tokio::time::interval(LISTING_CHECK_INTERVAL);
    loop {
        tick.tick().await;
        let accounts = ctx.accounts.all();
        let known: HashSet<usize> = accounts.iter().map(|account| account.id()).collect();
        due.retain(|account, _| known.contains(account));
        let is_due = |account: &Arc<Account>| {
            let scheduled = due
                .get(&account.id())
                .is_none_or(|due| *due <= Instant::now());
            account.take_listing_request() || scheduled
        };
        let listings = accounts
            .iter()
            .filter(|account| is_due(account))
            .map(|account| list(&ctx, account));
        // Accounts that are due at the same time are listed concurrently.
        for (account, wait) in future::join_all(listings).await {
            due.insert(account, Instant::now() + wait);
        }
    }
}

/// Lists one account. Returns its number and the wait until its next listing.
async fn list(ctx: &Arc<Context>, account: &Arc<Account>) -> (usize, Duration) {
    let result = account
        .list_since(ctx.clock.now(), Priority::Background)
        .await;
    let wait = match &result {
        Ok(()) => ctx.accounts.listing_interval(account),
        Err(error) => {
            warn!(error = %error_chain(error), "failed to list the account's projects");
            LISTING_RETRY
        }
    };
    // An incomplete listing shows changes as well.
    if !matches!(result, Err(ListingError::Neon(_))) {
        enqueue_tenants_with_work(ctx, Some(account)).await;
    }
    account.refresh_plan().await;
    // The status of a class reports whether its account can be listed and which projects are
    // orphaned.
    for class in ctx.classes.state() {
        ctx.class_queue.enqueue(ObjectRef::from_obj(&*class));
    }
    (account.id(), wait)
}

/// Checks all Tenants at intervals, in case a change was missed.
pub(crate) async fn resync(ctx: Arc<Context>) {
    loop {
        tokio::time::sleep(ctx.config.reconcile.resync_interval).await;
        enqueue_tenants_with_work(&ctx, None).await;
    }
}

/// Queues the Tenants of an account, or of all, whose reconciliation would do anything. Most have
/// nothing to do, and planning is cheaper than a reconciliation. Queues as well the Tenants of the
/// account whose turn it is to have their compute read.
async fn enqueue_tenants_with_work(ctx: &Arc<Context>, account: Option<&Arc<Account>>) {
    let start = Instant::now();
    let inspections = account.map_or(0, |account| ctx.accounts.take_inspections(account));
    let mut queued = 0_usize;
    let mut up_to_date = Vec::new();
    for (checked, cached) in ctx.all_tenants().enumerate() {
        if checked % TENANTS_PER_YIELD == TENANTS_PER_YIELD - 1 {
            tokio::task::yield_now().await;
        }
        match work_of(ctx, &cached, account) {
            Some(Work::Due) => {
                queued += 1;
                ctx.enqueue(ObjectRef::from_obj(&*cached));
            }
            Some(Work::UpToDate(candidate)) if inspections > 0 => {
                up_to_date.push((candidate, cached));
            }
            Some(Work::UpToDate(_) | Work::Waiting) | None => {}
        }
    }
    let now = ctx.clock.now();
    for cached in ctx.inspections.choose(up_to_date, inspections, now) {
        queued += 1;
        ctx.enqueue(ObjectRef::from_obj(&*cached));
    }
    debug!(
        tenants.queued = queued,
        elapsed_ms = start.elapsed().as_millis(),
        "checked all tenants"
    );
}

/// What a reconciliation of a Tenant would do. `None` if the Tenant is not one of the account.
fn work_of(ctx: &Context, cached: &CachedTenant, account: Option<&Arc<Account>>) -> Option<Work> {
    let mut rec = begin(ctx, cached)?;
    let is_of_account = |account: &Arc<Account>| {
        rec.account
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, account))
    };
    account
        .is_none_or(is_of_account)
        .then(|| pending_work(&mut rec))
}
