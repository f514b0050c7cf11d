//! Replicas that come and go as chance will have it: never two of them may act.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::elector::Elector;
use super::super::tenure::Guard;
use super::world::{SimulatedStore, SkewedClock, simulate};
use super::{SECOND, terms};
use crate::health::Health;

/// One replica of the simulation: what it may do now, if it holds the Lease.
#[derive(Debug)]
struct Replica {
    store: SimulatedStore,
    guard: Arc<Mutex<Option<Guard<SkewedClock>>>>,
    life: tokio::task::JoinHandle<()>,
}

impl Replica {
    fn acts(&self) -> bool {
        let guard = self.guard.lock().expect("lock");
        guard.as_ref().is_some_and(Guard::holds)
    }
}

/// Stands for the Lease, holds it for a while, gives it back or loses it, and stands again; for ever.
fn start(store: SimulatedStore, clock: SkewedClock, name: String, hold: Duration) -> Replica {
    let guard = Arc::new(Mutex::new(None));
    let life = {
        let (store, guard) = (store.clone(), Arc::clone(&guard));
        async move {
            let never = CancellationToken::new();
            for life in 0.. {
                // Every process of a replica has a name of its own.
                let elector = Elector::new(
                    store.clone(),
                    clock.clone(),
                    terms(&format!("{name}_{life}")),
                );
                let Some(tenure) = elector.acquire(&Health::new(), &never).await else {
                    return;
                };
                *guard.lock().expect("lock") = Some(tenure.guard());
                let lost = tenure.lost();
                tokio::select! {
                    () = lost.cancelled() => drop(tenure),
                    () = sleep(hold) => {
                        tenure.release(5 * SECOND).await;
                    }
                }
            }
        }
    };
    Replica {
        store,
        guard,
        life: tokio::spawn(life),
    }
}

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    losses: u32,
    delay_max_ms: u64,
    replicas: Vec<Life>,
}

/// What becomes of one replica.
#[derive(Clone, Debug)]
struct Life {
    /// How fast its clock runs, in percent.
    clock_percent: u32,
    /// How far its clock is ahead.
    clock_offset_s: u64,
    /// How long it holds the Lease until it gives it back.
    hold_s: u64,
    /// For how long it reaches the server and for how long not, in turns and over again.
    up_down_s: Vec<(u64, u64)>,
}

impl Life {
    fn is_cut_off(&self, second: u64) -> bool {
        let period: u64 = self.up_down_s.iter().map(|(up, down)| up + down).sum();
        let mut left = second.checked_rem(period).unwrap_or(0);
        for (up, down) in &self.up_down_s {
            if left < *up {
                return false;
            }
            left -= up;
            if left < *down {
                return true;
            }
            left -= down;
        }
        false
    }
}

fn life() -> impl Strategy<Value = Life> {
    let up_down_s = prop::collection::vec((1u64..20, 0u64..30), 0..4);
    (95u32..=105, 0u64..1_000_000, 1u64..60, up_down_s).prop_map(
        |(clock_percent, clock_offset_s, hold_s, up_down_s)| Life {
            clock_percent,
            clock_offset_s,
            hold_s,
            up_down_s,
        },
    )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    (
        any::<u64>(),
        0u32..20,
        50u64..12_000,
        prop::collection::vec(life(), 2..=3),
    )
        .prop_map(|(seed, losses, delay_max_ms, replicas)| Scenario {
            seed,
            losses,
            delay_max_ms,
            replicas,
        })
}

/// How long one scenario runs, in simulated time.
const SCENARIO_S: u64 = 300;

/// Runs a scenario; answers for how many seconds somebody could act.
async fn run(scenario: Scenario) -> Result<u64, TestCaseError> {
    let cell = Arc::default();
    let delay_max = Duration::from_millis(scenario.delay_max_ms);
    let start_of_time = Instant::now();
    let replicas: Vec<_> = (0u64..)
        .zip(&scenario.replicas)
        .map(|(i, life)| {
            let clock = SkewedClock {
                start: start_of_time,
                offset: Duration::from_secs(life.clock_offset_s),
                rate: f64::from(life.clock_percent) / 100.0,
            };
            let store = SimulatedStore::new(
                &cell,
                scenario.seed.wrapping_add(i),
                scenario.losses,
                delay_max,
            );
            start(
                store,
                clock,
                format!("replica-{i}"),
                Duration::from_secs(life.hold_s),
            )
        })
        .collect();

    let mut acted_s = 0;
    for tick in 0..SCENARIO_S * 10 {
        sleep(Duration::from_millis(100)).await;
        let second = tick / 10;
        for (replica, life) in replicas.iter().zip(&scenario.replicas) {
            replica.store.set_down(life.is_cut_off(second));
        }
        let acting = replicas.iter().filter(|r| r.acts()).count();
        prop_assert!(acting <= 1, "{acting} replicas act after {second} s");
        acted_s += u64::from(acting == 1 && tick % 10 == 0);
    }
    for replica in replicas {
        replica.life.abort();
    }
    Ok(acted_s)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn never_do_two_replicas_act_at_once(scenario in scenario()) {
        simulate(run(scenario))?;
    }
}

#[test]
fn with_good_calls_somebody_acts_nearly_always() {
    let replica = |clock_percent, clock_offset_s, hold_s| Life {
        clock_percent,
        clock_offset_s,
        hold_s,
        up_down_s: vec![],
    };
    let scenario = Scenario {
        seed: 1,
        losses: 0,
        delay_max_ms: 50,
        replicas: vec![
            replica(100, 0, 30),
            replica(103, 999, 40),
            replica(98, 7, 20),
        ],
    };
    let acted_s = simulate(run(scenario)).expect("no two");
    assert!(
        acted_s > SCENARIO_S * 85 / 100,
        "{acted_s} s of {SCENARIO_S}"
    );
}
