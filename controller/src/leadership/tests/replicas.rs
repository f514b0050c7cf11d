//! Random schedules of replicas, partitions, suspensions and delays: two replicas must never act at the same
//! time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::leader_elector::LeaderElector;
use super::super::renewal::LeaseValidity;
use super::simulation::{SimulatedStore, SkewedClock, simulate};
use super::{SECOND, config};
use crate::health::Health;

/// A running replica of the simulation.
#[derive(Debug)]
struct Replica {
    store: SimulatedStore,
    clock: SkewedClock,
    /// `None` before the replica first acquires the Lease.
    validity: Arc<Mutex<Option<LeaseValidity<SkewedClock>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    fn may_act(&self) -> bool {
        let validity = self.validity.lock();
        validity.as_ref().is_some_and(LeaseValidity::is_valid)
    }
}

/// Repeatedly acquires the Lease, holds it for `hold`, and releases or loses it.
fn start(store: SimulatedStore, clock: SkewedClock, name: String, hold: Duration) -> Replica {
    let validity = Arc::new(Mutex::new(None));
    let task = {
        let (store, clock, validity) = (store.clone(), clock.clone(), Arc::clone(&validity));
        async move {
            let never = CancellationToken::new();
            for process in 0.. {
                // Each process of a replica has its own identity.
                let elector = LeaderElector::new(
                    store.clone(),
                    clock.clone(),
                    config(&format!("{name}_{process}")),
                );
                let Some(leadership) = elector.acquire(&Health::new(), &never).await else {
                    return;
                };
                *validity.lock() = Some(leadership.validity());
                let lost = leadership.lost();
                tokio::select! {
                    () = lost.cancelled() => drop(leadership),
                    () = sleep(hold) => {
                        leadership.release(5 * SECOND).await;
                    }
                }
            }
        }
    };
    Replica {
        store,
        clock,
        validity,
        task: tokio::spawn(task),
    }
}

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    loss_percent: u32,
    max_delay_ms: u64,
    replicas: Vec<ReplicaPlan>,
}

/// How one replica behaves during a scenario.
#[derive(Clone, Debug)]
struct ReplicaPlan {
    /// Speed of its clock relative to simulated time.
    clock_percent: u32,
    /// How far its clock is ahead.
    clock_offset_s: u64,
    /// How long it holds the Lease before it releases it.
    hold_s: u64,
    /// Periods with and without a connection to the server, repeated.
    up_down_s: Vec<(u64, u64)>,
    /// Whether its machine is suspended during the periods without a connection.
    suspends: bool,
}

impl ReplicaPlan {
    fn is_partitioned(&self, second: u64) -> bool {
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

fn replica_plan() -> impl Strategy<Value = ReplicaPlan> {
    let up_down_s = prop::collection::vec((1u64..20, 0u64..30), 0..4);
    (
        95u32..=105,
        0u64..1_000_000,
        1u64..60,
        up_down_s,
        any::<bool>(),
    )
        .prop_map(
            |(clock_percent, clock_offset_s, hold_s, up_down_s, suspends)| ReplicaPlan {
                clock_percent,
                clock_offset_s,
                hold_s,
                up_down_s,
                suspends,
            },
        )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    (
        any::<u64>(),
        0u32..20,
        50u64..12_000,
        prop::collection::vec(replica_plan(), 2..=3),
    )
        .prop_map(|(seed, loss_percent, max_delay_ms, replicas)| Scenario {
            seed,
            loss_percent,
            max_delay_ms,
            replicas,
        })
}

/// Length of a scenario in simulated time.
const SCENARIO_S: u64 = 300;

/// Runs a scenario. Returns for how many seconds one replica could act.
async fn run(scenario: Scenario) -> Result<u64, TestCaseError> {
    let server = Arc::default();
    let max_delay = Duration::from_millis(scenario.max_delay_ms);
    let start_of_time = Instant::now();
    let replicas: Vec<_> = (0u64..)
        .zip(&scenario.replicas)
        .map(|(i, plan)| {
            let clock = SkewedClock {
                start: start_of_time,
                offset: Duration::from_secs(plan.clock_offset_s),
                rate: f64::from(plan.clock_percent) / 100.0,
                suspension: Arc::default(),
            };
            let store = SimulatedStore::new(
                &server,
                scenario.seed.wrapping_add(i),
                scenario.loss_percent,
                max_delay,
            );
            start(
                store,
                clock,
                format!("replica-{i}"),
                Duration::from_secs(plan.hold_s),
            )
        })
        .collect();

    let mut acted_s = 0;
    for tick in 0..SCENARIO_S * 10 {
        sleep(Duration::from_millis(100)).await;
        let second = tick / 10;
        for (replica, plan) in replicas.iter().zip(&scenario.replicas) {
            let partitioned = plan.is_partitioned(second);
            replica.store.set_down(partitioned);
            replica.clock.set_suspended(plan.suspends && partitioned);
        }
        // A suspended machine does nothing.
        let acting = replicas
            .iter()
            .zip(&scenario.replicas)
            .filter(|(replica, plan)| {
                replica.may_act() && !(plan.suspends && plan.is_partitioned(second))
            })
            .count();
        prop_assert!(acting <= 1, "{acting} replicas may act after {second} s");
        acted_s += u64::from(acting == 1 && tick % 10 == 0);
    }
    for replica in replicas {
        replica.task.abort();
    }
    Ok(acted_s)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn two_replicas_never_act_at_the_same_time(scenario in scenario()) {
        simulate(run(scenario))?;
    }
}

#[test]
fn on_a_fast_network_one_replica_acts_nearly_all_the_time() {
    let replica = |clock_percent, clock_offset_s, hold_s| ReplicaPlan {
        clock_percent,
        clock_offset_s,
        hold_s,
        up_down_s: vec![],
        suspends: false,
    };
    let scenario = Scenario {
        seed: 1,
        loss_percent: 0,
        max_delay_ms: 50,
        replicas: vec![
            replica(100, 0, 30),
            replica(103, 999, 40),
            replica(98, 7, 20),
        ],
    };
    let acted_s = simulate(run(scenario)).expect("at most one replica acts");
    assert!(
        acted_s > SCENARIO_S * 85 / 100,
        "{acted_s} s of {SCENARIO_S}"
    );
}
