//! Tests of the queue with paused time: how many requests it allows in any window, and in which
//! order.

use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

const QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 60,
    per_route_per_second: 40,
    burst: 5,
};
const ROUTE: Route = Route::GetProject;

async fn acquire_and_spend(quota: &Arc<QuotaLimiter>, route: Route, priority: Priority) -> Instant {
    quota.acquire(route, priority).await.spend()
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_granted_immediately_and_the_rest_at_the_steady_rate() {
    let (quota, start) = (QuotaLimiter::new(QUOTA), Instant::now());
    let grants =
        join_all((0..8).map(|_| acquire_and_spend(&quota, ROUTE, Priority::Interactive))).await;
    let seconds: Vec<_> = grants
        .iter()
        .map(|grant| grant.duration_since(start).as_secs())
        .collect();
    assert_eq!(seconds, [0, 0, 0, 0, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_route_does_not_block_another() {
    let (quota, start) = (
        QuotaLimiter::new(AccountQuota {
            requests_per_minute: 60_000,
            per_route_per_second: 1,
            burst: 1_000,
        }),
        Instant::now(),
    );
    let busy = join_all((0..5).map(|_| acquire_and_spend(&quota, ROUTE, Priority::Interactive)));
    let other = acquire_and_spend(&quota, Route::CreateProject, Priority::Background);
    let (busy, other) = tokio::join!(busy, other);
    assert_eq!(
        other, start,
        "another route's permit is granted immediately"
    );
    assert_eq!(busy.last().unwrap().duration_since(start).as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn interactive_calls_are_granted_before_background_calls_in_order_of_arrival() {
    let quota = QuotaLimiter::new(AccountQuota { burst: 1, ..QUOTA });
    let grant =
        |name: u32, priority| acquire_and_spend(&quota, ROUTE, priority).map(move |at| (at, name));
    let background = (10..13).map(|name| grant(name, Priority::Background));
    let interactive = (20..23).map(|name| grant(name, Priority::Interactive));
    let mut order = join_all(
        std::iter::once(grant(0, Priority::Interactive))
            .chain(background)
            .chain(interactive),
    )
    .await;
    order.sort();
    assert_eq!(
        order.iter().map(|&(_, name)| name).collect::<Vec<_>>(),
        [0, 20, 21, 22, 10, 11, 12]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_leaves_the_queue() {
    let (quota, start) = (
        QuotaLimiter::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    let mut dropped = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(dropped.as_mut().now_or_never().is_none());
    let mut next = Box::pin(acquire_and_spend(&quota, ROUTE, Priority::Interactive));
    assert!(next.as_mut().now_or_never().is_none());
    drop(dropped);
    assert_eq!(next.await.duration_since(start).as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permit_granted_to_a_dropped_waiter_goes_to_the_next() {
    let (quota, start) = (
        QuotaLimiter::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    let mut dropped = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(dropped.as_mut().now_or_never().is_none());
    let next = tokio::spawn({
        let quota = Arc::clone(&quota);
        async move { acquire_and_spend(&quota, ROUTE, Priority::Interactive).await }
    });
    advance(Duration::from_millis(1_500)).await;
    tokio::task::yield_now().await;
    assert!(
        !next.is_finished(),
        "the earlier waiter holds the permit, although it is not polled"
    );
    drop(dropped);
    let grant = next.await.unwrap();
    assert_eq!(
        grant.duration_since(start),
        Duration::from_millis(1_500),
        "immediately, not a second later"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_not_polled_does_not_block_others() {
    let (quota, start) = (
        QuotaLimiter::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    let mut parked = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(parked.as_mut().now_or_never().is_none());
    assert_eq!(
        acquire_and_spend(&quota, ROUTE, Priority::Interactive)
            .await
            .duration_since(start)
            .as_secs(),
        2
    );
    drop(parked);
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_is_released() {
    let (quota, start) = (
        QuotaLimiter::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    drop(quota.acquire(ROUTE, Priority::Interactive).await);
    assert_eq!(
        acquire_and_spend(&quota, ROUTE, Priority::Interactive).await,
        start
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_blocks_the_account_and_halves_its_rate_until_it_recovers() {
    let (quota, start) = (QuotaLimiter::new(QUOTA), Instant::now());
    let first = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    let seconds = |at: Instant| at.duration_since(start).as_secs_f64();
    let fraction = quota.throttle(first, Duration::from_secs(10));
    assert!((fraction - 0.5).abs() < 1e-9);
    assert!((quota.fraction() - 0.5).abs() < 1e-9);
    let after = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    assert!(
        (10.0..10.1).contains(&seconds(after)),
        "Retry-After is respected: {}",
        seconds(after)
    );
    let next = acquire_and_spend(&quota, Route::CreateProject, Priority::Interactive).await;
    assert!(
        (11.9..12.1).contains(&seconds(next)),
        "half the rate, no burst, on every route: {}",
        seconds(next)
    );
    advance(Duration::from_mins(2)).await;
    let grants =
        join_all((0..7).map(|_| acquire_and_spend(&quota, ROUTE, Priority::Interactive))).await;
    assert!(
        (0.99..1.01).contains(&grants[6].duration_since(grants[5]).as_secs_f64()),
        "the full rate again"
    );
}

#[tokio::test(start_paused = true)]
async fn several_429s_to_requests_before_the_reduction_reduce_the_rate_once() {
    let quota = QuotaLimiter::new(QUOTA);
    let grants =
        join_all((0..5).map(|_| acquire_and_spend(&quota, ROUTE, Priority::Interactive))).await;
    advance(Duration::from_millis(50)).await;
    for grant in grants {
        assert!((quota.throttle(grant, Duration::from_secs(1)) - 0.5).abs() < 1e-9);
    }
    let later = acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
    assert!(
        quota.throttle(later, Duration::from_secs(1)) < 0.3,
        "a 429 to a later request reduces the rate again"
    );
}

#[test]
fn waiters_on_another_runtime_continue_when_the_dispatchers_runtime_ends() {
    let quota = QuotaLimiter::new(AccountQuota {
        requests_per_minute: 6_000,
        per_route_per_second: 4_000,
        burst: 1,
    });
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let mut parked = Box::pin(async {
        acquire_and_spend(&quota, ROUTE, Priority::Interactive).await;
        acquire_and_spend(&quota, ROUTE, Priority::Interactive).await
    });
    let first_runtime = runtime();
    let waits = first_runtime.block_on(async { parked.as_mut().now_or_never().is_none() });
    assert!(
        waits,
        "the future is pending and has started the dispatcher on this runtime"
    );
    drop(first_runtime);
    let limit = Duration::from_secs(5);
    runtime()
        .block_on(async { tokio::time::timeout(limit, parked).await })
        .expect("another dispatcher starts");
}

/// Waiters with random routes and priorities, some of which time out: no window exceeds the limits,
/// and every waiter is served.
fn limits_hold(
    quota: AccountQuota,
    requests: Vec<(usize, bool, Option<u64>)>,
) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let without_timeout = requests
        .iter()
        .filter(|(_, _, timeout)| timeout.is_none())
        .count();
    let grants = runtime.block_on(async {
        let account = QuotaLimiter::new(quota);
        let waits: FuturesUnordered<_> = requests
            .into_iter()
            .map(|(route, interactive, timeout_ms)| {
                let (account, route) = (Arc::clone(&account), Route::ALL[route % Route::ALL.len()]);
                let priority = if interactive {
                    Priority::Interactive
                } else {
                    Priority::Background
                };
                let limit = Duration::from_millis(timeout_ms.unwrap_or(u64::from(u32::MAX)));
                async move {
                    (
                        tokio::time::timeout(limit, acquire_and_spend(&account, route, priority))
                            .await
                            .ok(),
                        route,
                        timeout_ms,
                    )
                }
            })
            .collect();
        waits.collect::<Vec<_>>().await
    });
    let served = grants
        .iter()
        .filter(|(grant, _, timeout)| timeout.is_none() && grant.is_some())
        .count();
    prop_assert_eq!(
        served,
        without_timeout,
        "every waiter without a timeout is served"
    );
    let mut account: Vec<_> = grants.iter().filter_map(|(grant, ..)| *grant).collect();
    account.sort();
    let within = |times: &[Instant], window: Duration| {
        times
            .iter()
            .map(|&start| {
                times
                    .iter()
                    .filter(|&&at| at >= start && at < start + window)
                    .count()
            })
            .max()
            .unwrap_or(0)
    };
    let minute = quota.requests_per_minute as usize + quota.burst as usize;
    prop_assert!(within(&account, Duration::from_mins(1)) <= minute);
    for route in Route::ALL {
        let mut times: Vec<_> = grants
            .iter()
            .filter(|(_, r, _)| r == route)
            .filter_map(|(grant, ..)| *grant)
            .collect();
        times.sort();
        let limit = (quota.per_route_per_second as usize).max(2);
        prop_assert!(
            within(&times, Duration::from_secs(1)) <= limit,
            "{route}: {} of {limit}",
            within(&times, Duration::from_secs(1))
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_window_exceeds_the_limits_and_every_waiter_is_served(
        per_minute in 30..6_000_u32, per_route in 1..60_u32, burst in 1..50_u32,
        requests in prop::collection::vec((0..14_usize, any::<bool>(), prop::option::weighted(0.3, 0..20_000_u64)), 1..150),
    ) {
        limits_hold(AccountQuota { requests_per_minute: per_minute, per_route_per_second: per_route, burst }, requests)?;
    }
}
