//! Listings of the accounts: each when its time has come, and what follows from it for the Tenants. One task looks at all Tenants;
//! none has a timer of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use service_kit::error_chain;
use tracing::{debug, warn};

use crate::accounts::Account;
use crate::cache::CachedTenant;
use crate::context::Context;
use crate::tenant::observe::{begin, observe};
use crate::tenant::plan::{Step, plan};

/// How often it is looked whether an account's listing is due.
const LISTING_TICK: Duration = Duration::from_secs(1);
/// Wait after a listing that failed.
const LISTING_RETRY: Duration = Duration::from_secs(30);
/// Tenants that are looked at without a pause.
const SWEEP_TENANTS: usize = 64;

/// Lists each account when its time has come, and wakes the Tenants that then have something to do.
pub(crate) async fn list_accounts(ctx: Arc<Context>) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut tick = tokio::time::interval(LISTING_TICK);
    loop {
        tick.tick().await;
        let accounts = ctx.accounts.all();
        let known: HashSet<usize> = accounts.iter().map(|account| account.id()).collect();
        due.retain(|account, _| known.contains(account));
        let is_due = |account: &Arc<Account>| {
            let in_time = due
                .get(&account.id())
                .is_none_or(|due| *due <= Instant::now());
            account.take_listing_request() || in_time
        };
        let listings = accounts
            .iter()
            .filter(|account| is_due(account))
            .map(|account| list(&ctx, account));
        // Accounts do not wait for each other's answers, only for the slowest of those that were due together.
        for (account, wait) in future::join_all(listings).await {
            due.insert(account, Instant::now() + wait);
        }
    }
}

/// Lists one account; says when to do so again.
async fn list(ctx: &Arc<Context>, account: &Arc<Account>) -> (usize, Duration) {
    let wait = match account
        .list_since(Timestamp::now(), account.background_client())
        .await
    {
        Ok(()) => {
            sweep(ctx, Some(account)).await;
            ctx.accounts.listing_interval(account)
        }
        Err(error) => {
            warn!("An account could not be listed: {}", error_chain(&error));
            LISTING_RETRY
        }
    };
    // Their statuses say whether the account answers, and what was found there.
    for class in ctx.classes.state() {
        ctx.class_queue.ask(ObjectRef::from_obj(&*class));
    }
    (account.id(), wait)
}

/// Looks at all Tenants whenever nothing else has for a while: should any change have been missed, it is found.
pub(crate) async fn resync(ctx: Arc<Context>) {
    loop {
        tokio::time::sleep(ctx.config.retry.resync_interval).await;
        sweep(&ctx, None).await;
    }
}

/// Wakes the Tenants (of an account, or all) for which there is something to do. Mostly there is nothing, so the plan is asked first.
async fn sweep(ctx: &Arc<Context>, account: Option<&Arc<Account>>) {
    let start = Instant::now();
    let mut woken = 0_usize;
    for (looked_at, packed) in ctx.all_tenants().enumerate() {
        // Others are to get their turn in between.
        if looked_at % SWEEP_TENANTS == SWEEP_TENANTS - 1 {
            tokio::task::yield_now().await;
        }
        if has_work(ctx, &packed, account) {
            woken += 1;
            ctx.wake(ObjectRef::from_obj(&*packed));
        }
    }
    debug!(
        tenants.woken = woken,
        took_ms = start.elapsed().as_millis(),
        "Looked at the Tenants"
    );
}

/// Whether the plan for a Tenant of the account has a step that does something.
fn has_work(ctx: &Context, packed: &CachedTenant, account: Option<&Arc<Account>>) -> bool {
    let Some(rec) = begin(ctx, packed) else {
        return false;
    };
    let own = |account: &Arc<Account>| {
        let own = rec.account.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, account))
    };
    if !account.is_none_or(own) {
        return false;
    }
    let step = plan(&rec.intent, &observe(&rec));
    !matches!(
        step,
        Step::UpToDate | Step::Suspended | Step::Stalled(_) | Step::Wait { .. }
    )
}
