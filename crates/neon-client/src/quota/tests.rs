//! The queue under paused time: what it lets through in any span, and in which order.

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

async fn spend(quota: &Arc<Quota>, route: Route, priority: Priority) -> Instant {
    quota.acquire(route, priority).await.spend()
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_the_rest_at_the_steady_rate() {
    let (quota, start) = (Quota::new(QUOTA), Instant::now());
    let turns = join_all((0..8).map(|_| spend(&quota, ROUTE, Priority::Interactive))).await;
    let seconds: Vec<_> = turns
        .iter()
        .map(|turn| turn.duration_since(start).as_secs())
        .collect();
    assert_eq!(seconds, [0, 0, 0, 0, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_route_does_not_hold_up_another() {
    let (quota, start) = (
        Quota::new(AccountQuota {
            requests_per_minute: 60_000,
            per_route_per_second: 1,
            burst: 1_000,
        }),
        Instant::now(),
    );
    let busy = join_all((0..5).map(|_| spend(&quota, ROUTE, Priority::Interactive)));
    let other = spend(&quota, Route::CreateProject, Priority::Housekeeping);
    let (busy, other) = tokio::join!(busy, other);
    assert_eq!(other, start, "another route's turn came at once");
    assert_eq!(busy.last().unwrap().duration_since(start).as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn people_go_before_housekeeping_and_each_class_in_its_order() {
    let quota = Quota::new(AccountQuota { burst: 1, ..QUOTA });
    let turn = |name: u32, priority| spend(&quota, ROUTE, priority).map(move |at| (at, name));
    let housekeeping = (10..13).map(|name| turn(name, Priority::Housekeeping));
    let people = (20..23).map(|name| turn(name, Priority::Interactive));
    let mut order = join_all(
        std::iter::once(turn(0, Priority::Interactive))
            .chain(housekeeping)
            .chain(people),
    )
    .await;
    order.sort();
    assert_eq!(
        order.iter().map(|&(_, name)| name).collect::<Vec<_>>(),
        [0, 20, 21, 22, 10, 11, 12]
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_frees_its_place() {
    let (quota, start) = (
        Quota::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = spend(&quota, ROUTE, Priority::Interactive).await;
    let mut gone = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut next = Box::pin(spend(&quota, ROUTE, Priority::Interactive));
    assert!(next.as_mut().now_or_never().is_none());
    drop(gone);
    assert_eq!(next.await.duration_since(start).as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_came_to_a_waiter_that_is_dropped_goes_to_the_next() {
    let (quota, start) = (
        Quota::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = spend(&quota, ROUTE, Priority::Interactive).await;
    let mut gone = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(gone.as_mut().now_or_never().is_none());
    let next = tokio::spawn({
        let quota = Arc::clone(&quota);
        async move { spend(&quota, ROUTE, Priority::Interactive).await }
    });
    advance(Duration::from_millis(1_500)).await;
    tokio::task::yield_now().await;
    assert!(
        !next.is_finished(),
        "the one before has the turn, though nobody polls it"
    );
    drop(gone);
    let turn = next.await.unwrap();
    assert_eq!(
        turn.duration_since(start),
        Duration::from_millis(1_500),
        "at once, not a second later"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_nobody_polls_holds_up_no_other() {
    let (quota, start) = (
        Quota::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    let _spent = spend(&quota, ROUTE, Priority::Interactive).await;
    let mut parked = Box::pin(quota.acquire(ROUTE, Priority::Interactive));
    assert!(parked.as_mut().now_or_never().is_none());
    assert_eq!(
        spend(&quota, ROUTE, Priority::Interactive)
            .await
            .duration_since(start)
            .as_secs(),
        2
    );
    drop(parked);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_not_spent_goes_back() {
    let (quota, start) = (
        Quota::new(AccountQuota { burst: 1, ..QUOTA }),
        Instant::now(),
    );
    drop(quota.acquire(ROUTE, Priority::Interactive).await);
    assert_eq!(spend(&quota, ROUTE, Priority::Interactive).await, start);
}

#[tokio::test(start_paused = true)]
async fn a_429_stops_the_account_and_halves_its_rate_until_it_recovers() {
    let (quota, start) = (Quota::new(QUOTA), Instant::now());
    let first = spend(&quota, ROUTE, Priority::Interactive).await;
    let seconds = |at: Instant| at.duration_since(start).as_secs_f64();
    let fraction = quota.slow(first, Duration::from_secs(10));
    assert!((fraction - 0.5).abs() < 1e-9);
    let after = spend(&quota, ROUTE, Priority::Interactive).await;
    assert!(
        (10.0..10.1).contains(&seconds(after)),
        "Retry-After is respected: {}",
        seconds(after)
    );
    let next = spend(&quota, Route::CreateProject, Priority::Interactive).await;
    assert!(
        (11.9..12.1).contains(&seconds(next)),
        "half the rate, no burst, on every route: {}",
        seconds(next)
    );
    advance(Duration::from_mins(2)).await;
    let turns = join_all((0..7).map(|_| spend(&quota, ROUTE, Priority::Interactive))).await;
    assert!(
        (0.99..1.01).contains(&turns[6].duration_since(turns[5]).as_secs_f64()),
        "the full rate again"
    );
}

#[tokio::test(start_paused = true)]
async fn answers_429_to_requests_from_before_the_slowdown_slow_once() {
    let quota = Quota::new(QUOTA);
    let turns = join_all((0..5).map(|_| spend(&quota, ROUTE, Priority::Interactive))).await;
    advance(Duration::from_millis(50)).await;
    for turn in turns {
        assert!((quota.slow(turn, Duration::from_secs(1)) - 0.5).abs() < 1e-9);
    }
    let later = spend(&quota, ROUTE, Priority::Interactive).await;
    assert!(
        quota.slow(later, Duration::from_secs(1)) < 0.3,
        "a 429 to a request made after it slows again"
    );
}

#[test]
fn waiters_of_another_runtime_go_on_when_the_one_that_drove_ends() {
    let quota = Quota::new(AccountQuota {
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
        spend(&quota, ROUTE, Priority::Interactive).await;
        spend(&quota, ROUTE, Priority::Interactive).await
    });
    let driving = runtime();
    let waits = driving.block_on(async { parked.as_mut().now_or_never().is_none() });
    assert!(
        waits,
        "it waits, and has started the driver in this runtime"
    );
    drop(driving);
    let limit = Duration::from_secs(5);
    runtime()
        .block_on(async { tokio::time::timeout(limit, parked).await })
        .expect("another driver took over");
}

/// Waits of random routes and priorities, some of them given up: no window ever holds more than the limits, and nobody is forgotten.
fn limits_hold(
    quota: AccountQuota,
    wishes: Vec<(usize, bool, Option<u64>)>,
) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let patient = wishes
        .iter()
        .filter(|(_, _, patience)| patience.is_none())
        .count();
    let turns = runtime.block_on(async {
        let account = Quota::new(quota);
        let waits: FuturesUnordered<_> = wishes
            .into_iter()
            .map(|(route, interactive, patience_ms)| {
                let (account, route) = (Arc::clone(&account), Route::ALL[route % Route::ALL.len()]);
                let priority = if interactive {
                    Priority::Interactive
                } else {
                    Priority::Housekeeping
                };
                let limit = Duration::from_millis(patience_ms.unwrap_or(u64::from(u32::MAX)));
                async move {
                    (
                        tokio::time::timeout(limit, spend(&account, route, priority))
                            .await
                            .ok(),
                        route,
                        patience_ms,
                    )
                }
            })
            .collect();
        waits.collect::<Vec<_>>().await
    });
    let served = turns
        .iter()
        .filter(|(turn, _, patience)| patience.is_none() && turn.is_some())
        .count();
    prop_assert_eq!(served, patient, "everybody with patience got a turn");
    let mut account: Vec<_> = turns.iter().filter_map(|(turn, ..)| *turn).collect();
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
        let mut times: Vec<_> = turns
            .iter()
            .filter(|(_, r, _)| r == route)
            .filter_map(|(turn, ..)| *turn)
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
    fn no_window_ever_holds_more_than_the_limits_and_nobody_is_forgotten(
        per_minute in 30..6_000_u32, per_route in 1..60_u32, burst in 1..50_u32,
        wishes in prop::collection::vec((0..14_usize, any::<bool>(), prop::option::weighted(0.3, 0..20_000_u64)), 1..150),
    ) {
        limits_hold(AccountQuota { requests_per_minute: per_minute, per_route_per_second: per_route, burst }, wishes)?;
    }
}
