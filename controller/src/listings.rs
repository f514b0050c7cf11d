//! Listings of the accounts: each when its time has come, and what follows from it for the Tenants.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tracing::{debug, warn};

use crate::accounts::Account;
use crate::context::Context;
use crate::failure::chain;
use crate::observe::{begin, observe};
use crate::plan::{Step, plan};

/// How often it is looked whether an account's listing is due.
const LISTING_TICK: Duration = Duration::from_secs(1);
/// Wait after a listing that failed.
const LISTING_RETRY: Duration = Duration::from_secs(30);

/// Lists each account when its time has come, and wakes the Tenants that then have something to do.
pub(crate) async fn list_accounts(ctx: Arc<Context>) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut tick = tokio::time::interval(LISTING_TICK);
    loop {
        tick.tick().await;
        let accounts = ctx.accounts.all();
        let known: HashSet<usize> = accounts.iter().map(|account| account.number()).collect();
        due.retain(|account, _| known.contains(account));
        let is_due = |account: &Arc<Account>| {
            let in_time = due
                .get(&account.number())
                .is_none_or(|due| *due <= Instant::now());
            account.list_soon() || in_time
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
        .list_since(Timestamp::now(), account.neon_housekeeping())
        .await
    {
        Ok(()) => {
            sweep(ctx, account);
            ctx.accounts.listing_interval(account)
        }
        Err(error) => {
            warn!("An account could not be listed: {}", chain(&error));
            LISTING_RETRY
        }
    };
    // Their statuses say whether the account answers, and what was found there.
    for class in ctx.classes.state() {
        ctx.class_wake.ask(ObjectRef::from_obj(&*class));
    }
    (account.number(), wait)
}

/// Wakes the Tenants of an account for which the new listing means work. Most mean none, so the plan is asked first.
fn sweep(ctx: &Arc<Context>, account: &Arc<Account>) {
    let start = Instant::now();
    let mut woken = 0_usize;
    for packed in ctx.all_tenants() {
        let Some(pass) = begin(ctx, &packed) else {
            continue;
        };
        if !pass
            .account
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, account))
        {
            continue;
        }
        let step = plan(&pass.goal, &observe(&pass));
        if !matches!(
            step,
            Step::Rest | Step::Hold | Step::Stall(_) | Step::Wait { .. }
        ) {
            woken += 1;
            ctx.wake(ObjectRef::from_obj(&*packed));
        }
    }
    debug!(
        tenants.woken = woken,
        took_ms = start.elapsed().as_millis(),
        "Compared the listing with the Tenants"
    );
}
