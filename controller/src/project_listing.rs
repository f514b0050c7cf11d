//! Drift detection: lists each account's projects at intervals, and queues the Tenants that then
//! need a step, or whose status is not the one that the controller would report.
//!
//! These two tasks check all Tenants, so that no Tenant needs a timer of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use service_kit::error_chain;
use tokio::time::Instant;
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

/// What the schedule of listings knows of an account.
trait Listed {
    /// Identifies the account within this process.
    fn id(&self) -> usize;
    /// Whether a listing was requested ahead of schedule. Resets the request.
    fn take_listing_request(&self) -> bool;
}

impl Listed for Account {
    fn id(&self) -> usize {
        self.id()
    }

    fn take_listing_request(&self) -> bool {
        self.take_listing_request()
    }
}

/// Lists each account when its listing is due.
pub(crate) async fn list_accounts(ctx: Arc<Context>) {
    list_when_due(|| ctx.accounts.all(), |account| list(&ctx, account)).await;
}

/// Calls `list` for each account that is due. It returns the wait until the account's next listing.
/// Accounts are listed independently, so that one that does not respond does not delay the others.
async fn list_when_due<A: Listed, F: Future<Output = Duration>>(
    accounts: impl Fn() -> Vec<Arc<A>>,
    list: impl Fn(Arc<A>) -> F,
) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut in_progress: HashSet<usize> = HashSet::new();
    let mut listings = FuturesUnordered::new();
    let mut tick = tokio::time::interval(LISTING_CHECK_INTERVAL);
    loop {
        tokio::select! {
            Some((account, wait)) = listings.next() => {
                in_progress.remove(&account);
                due.insert(account, Instant::now() + wait);
            }
            _ = tick.tick() => {
                let accounts = accounts();
                let known: HashSet<usize> = accounts.iter().map(|account| account.id()).collect();
                due.retain(|account, _| known.contains(account));
                for account in accounts {
                    let id = account.id();
                    let is_due = || {
                        let scheduled = due.get(&id).is_none_or(|due| *due <= Instant::now());
                        account.take_listing_request() || scheduled
                    };
                    if !in_progress.contains(&id) && is_due() {
                        in_progress.insert(id);
                        let listing = list(account);
                        listings.push(async move { (id, listing.await) });
                    }
                }
            }
        }
    }
}

/// Lists one account. Returns the wait until its next listing.
async fn list(ctx: &Arc<Context>, account: Arc<Account>) -> Duration {
    let result = account
        .list_since(ctx.clock.now(), Priority::Background)
        .await;
    let wait = match &result {
        Ok(()) => ctx.accounts.listing_interval(&account),
        Err(error) => {
            warn!(error = %error_chain(error), "failed to list the account's projects");
            LISTING_RETRY
        }
    };
    // An incomplete listing shows changes as well.
    if !matches!(result, Err(ListingError::Neon(_))) {
        enqueue_tenants_with_work(ctx, Some(&account)).await;
        enqueue_rollouts_waiting_for_use(ctx);
    }
    account.refresh_plan().await;
    // The status of a class reports whether its account can be listed and which projects are
    // orphaned.
    for class in ctx.classes.state() {
        ctx.class_queue.enqueue(ObjectRef::from_obj(&*class));
    }
    wait
}

/// Queues the rollouts that wait until Tenants are used.
fn enqueue_rollouts_waiting_for_use(ctx: &Context) {
    for class in ctx.classes.state() {
        let name = class.name_any();
        let newest = ctx.rollouts.newest(&name);
        let on_use = newest.is_some_and(|newest| newest.spec.rollout.wakes_on_use());
        if on_use && ctx.rollouts.is_active(&name) {
            ctx.rollout_queue.enqueue(ObjectRef::new(&name));
        }
    }
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
/// account whose computes are read next.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct FakeAccount {
        id: usize,
        requested: AtomicBool,
        started: AtomicUsize,
    }

    impl FakeAccount {
        fn started(&self) -> usize {
            self.started.load(Ordering::Relaxed)
        }
    }

    impl Listed for FakeAccount {
        fn id(&self) -> usize {
            self.id
        }

        fn take_listing_request(&self) -> bool {
            self.requested.swap(false, Ordering::Relaxed)
        }
    }

    fn accounts() -> [Arc<FakeAccount>; 2] {
        [0, 1].map(|id| {
            Arc::new(FakeAccount {
                id,
                ..FakeAccount::default()
            })
        })
    }

    /// Runs the schedule for a time. The listings of account 0 take `duration`, those of account 1 no
    /// time. Each account is listed at intervals of `wait`.
    async fn run(all: &[Arc<FakeAccount>], duration: Duration, wait: Duration, time: Duration) {
        let list = |account: Arc<FakeAccount>| async move {
            account.started.fetch_add(1, Ordering::Relaxed);
            if account.id == 0 {
                tokio::time::sleep(duration).await;
            }
            wait
        };
        let schedule = list_when_due(|| all.to_vec(), list);
        let ended = tokio::time::timeout(time, schedule).await;
        assert!(ended.is_err(), "the schedule ended");
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn an_account_that_does_not_respond_delays_no_other() {
        let all = accounts();
        run(&all, HOUR, Duration::from_mins(1), Duration::from_mins(30)).await;
        assert_eq!(all[0].started(), 1, "one listing of an account at a time");
        assert!(all[1].started() >= 29, "{} listings", all[1].started());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_during_a_listing_is_served_after_it() {
        let all = accounts();
        all[0].requested.store(true, Ordering::Relaxed);
        let request_later = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            all[0].requested.store(true, Ordering::Relaxed);
        };
        let minutes = Duration::from_mins;
        tokio::join!(run(&all, minutes(1), HOUR, minutes(5)), request_later);
        assert_eq!((all[0].started(), all[1].started()), (2, 1));
    }
}
