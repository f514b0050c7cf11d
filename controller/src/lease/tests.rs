//! Replicas with skewed clocks, slow and lossy calls and long pauses, on simulated time: never two of them may act, and one of them
//! always comes to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng as _};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::elector::{Candidate, Clock, Decision, Elector, Guard, Reading};
use super::store::{Draft, Record, Store, StoreError};
use crate::config::Lease as Terms;
use crate::health::{Health, Role};

const SECOND: Duration = Duration::from_secs(1);

fn terms(identity: &str) -> Terms {
    Terms {
        name: "tenant-controller".to_owned(),
        identity: identity.to_owned(),
        duration: 15 * SECOND,
        renew_deadline: 10 * SECOND,
        retry_interval: 2 * SECOND,
    }
}

fn held_by(holder: &str, version: &str) -> Record {
    Record {
        holder: (!holder.is_empty()).then(|| holder.to_owned()),
        duration: Some(15 * SECOND),
        transitions: 4,
        version: version.to_owned(),
    }
}

mod decisions {
    use super::*;

    fn take(version: Option<&str>, transitions: i32) -> Decision {
        Decision::Take {
            expected: version.map(str::to_owned),
            transitions,
        }
    }

    fn wait(seconds: u32) -> Decision {
        Decision::Wait {
            until: seconds * SECOND,
        }
    }

    /// What was read at which second, and what is decided at which second.
    #[test]
    fn a_candidate_waits_until_the_lease_stood_still_for_its_duration() {
        type Reads = Vec<(u32, Option<Record>)>;
        let other = |version| Some(held_by("other", version));
        let table: Vec<(&str, Reads, u32, Decision)> = vec![
            ("nothing was read yet", vec![], 3, wait(3)),
            ("there is none", vec![(1, None)], 1, take(None, 0)),
            (
                "it was given back",
                vec![(1, Some(held_by("", "7")))],
                1,
                take(Some("7"), 5),
            ),
            (
                "an earlier process of ours had it",
                vec![(1, Some(held_by("me", "7")))],
                1,
                take(Some("7"), 5),
            ),
            ("another has it", vec![(1, other("7"))], 1, wait(16)),
            (
                "it has stood still, but not for long enough",
                vec![(1, other("7")), (15, other("7"))],
                15,
                wait(16),
            ),
            (
                "it has stood still",
                vec![(1, other("7")), (16, other("7"))],
                16,
                take(Some("7"), 5),
            ),
            (
                "it was renewed",
                vec![(1, other("7")), (15, other("8"))],
                16,
                wait(30),
            ),
            (
                "it was deleted under its holder",
                vec![(1, other("7")), (5, None)],
                6,
                wait(20),
            ),
            (
                "it was deleted long ago",
                vec![(1, other("7")), (5, None), (20, None)],
                20,
                take(None, 0),
            ),
            (
                "it does not say how long",
                vec![(
                    1,
                    Some(Record {
                        duration: None,
                        ..held_by("other", "7")
                    }),
                )],
                1,
                wait(16),
            ),
        ];
        for (case, reads, now, want) in table {
            let mut candidate = Candidate::new(&terms("me"));
            for (second, record) in reads {
                candidate.observe(record, second * SECOND);
            }
            assert_eq!(candidate.decide(now * SECOND), want, "{case}");
        }
    }
}

/// A clock that is off by `offset` and runs `rate` times as fast as the simulation's.
#[derive(Clone, Debug)]
struct SkewedClock {
    start: Instant,
    offset: Duration,
    rate: f64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Reading {
        self.offset + self.start.elapsed().mul_f64(self.rate)
    }

    async fn sleep(&self, time: Duration) {
        sleep(time.div_f64(self.rate)).await;
    }
}

/// The record of a simulated API server.
#[derive(Debug, Default)]
struct Cell {
    record: Option<Record>,
    writes: u64,
}

/// One replica's way to the simulated API server.
#[derive(Clone, Debug)]
struct SimulatedStore {
    cell: Arc<Mutex<Cell>>,
    network: Arc<Mutex<Network>>,
}

#[derive(Debug)]
struct Network {
    rng: SmallRng,
    /// Of 100 calls, this many lose their request or their answer.
    losses: u32,
    /// Longest way there, and back.
    delay_max: Duration,
    /// How much longer every answer takes.
    answers_later: Duration,
    down: bool,
}

/// Of 100 ways there or back, this many are slow.
const SLOW_PERCENT: u32 = 30;

/// What becomes of one call.
struct Fate {
    there: Duration,
    back: Duration,
    arrives: bool,
    returns: bool,
}

impl SimulatedStore {
    fn new(cell: &Arc<Mutex<Cell>>, seed: u64, losses: u32, delay_max: Duration) -> Self {
        let network = Network {
            rng: SmallRng::seed_from_u64(seed),
            losses,
            delay_max,
            answers_later: Duration::ZERO,
            down: false,
        };
        Self {
            cell: Arc::clone(cell),
            network: Arc::new(Mutex::new(network)),
        }
    }

    fn set_down(&self, down: bool) {
        self.network.lock().expect("lock").down = down;
    }

    fn set_answers_later(&self, by: Duration) {
        self.network.lock().expect("lock").answers_later = by;
    }

    fn fate(&self) -> Fate {
        let mut network = self.network.lock().expect("lock");
        // Most calls are quick; some take as long as they may.
        let delay_max = network.delay_max;
        let mut way = || {
            let slow = network.rng.random_range(0..100) < SLOW_PERCENT;
            let max = if slow { delay_max } else { delay_max / 50 };
            network.rng.random_range(Duration::ZERO..=max)
        };
        let (there, back) = (way(), way());
        let back = back + network.answers_later;
        let (losses, down) = (network.losses, network.down);
        let mut arrives = || !down && network.rng.random_range(0..100) >= losses;
        Fate {
            there,
            back,
            arrives: arrives(),
            returns: arrives(),
        }
    }

    /// Carries `act` to the server and its answer back. What has left the replica happens even if nobody waits for it any more, as with
    /// a packet on its way.
    async fn carry<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Cell) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (fate, cell) = (self.fate(), Arc::clone(&self.cell));
        let on_its_way = tokio::spawn(async move {
            sleep(fate.there).await;
            if !fate.arrives {
                return None;
            }
            let answer = act(&mut cell.lock().expect("lock"));
            sleep(fate.back).await;
            fate.returns.then_some(answer)
        });
        let answer = on_its_way.await.expect("no panic");
        if answer.is_none() {
            // Nothing ever comes; it is for the caller to give up.
            std::future::pending::<()>().await;
        }
        answer.ok_or(StoreError::TimedOut)
    }
}

impl Store for SimulatedStore {
    async fn read(&self) -> Result<Option<Record>, StoreError> {
        self.carry(|cell| cell.record.clone()).await
    }

    async fn write(&self, expected: Option<&str>, draft: Draft) -> Result<Record, StoreError> {
        let expected = expected.map(str::to_owned);
        self.carry(move |cell| {
            match (&expected, &cell.record) {
                (Some(_), None) => return Err(StoreError::Missing),
                (None, Some(_)) => return Err(StoreError::Conflict),
                (Some(version), Some(record)) if *version != record.version => {
                    return Err(StoreError::Conflict);
                }
                _ => {}
            }
            cell.writes += 1;
            let record = Record {
                holder: draft.holder,
                duration: Some(draft.duration),
                transitions: draft.transitions,
                version: cell.writes.to_string(),
            };
            cell.record = Some(record.clone());
            Ok(record)
        })
        .await?
    }
}

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

fn simulate<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime")
        .block_on(future)
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

/// Two replicas with good clocks and calls.
struct Pair {
    cell: Arc<Mutex<Cell>>,
    clock: SkewedClock,
}

impl Pair {
    fn new() -> Self {
        Self {
            cell: Arc::default(),
            clock: SkewedClock {
                start: Instant::now(),
                offset: Duration::ZERO,
                rate: 1.0,
            },
        }
    }

    fn store(&self) -> SimulatedStore {
        SimulatedStore::new(&self.cell, 1, 0, Duration::from_millis(10))
    }

    fn elector(&self, name: &str) -> (Elector<SimulatedStore, SkewedClock>, SimulatedStore) {
        let store = self.store();
        (
            Elector::new(store.clone(), self.clock.clone(), terms(name)),
            store,
        )
    }

    fn holder(&self) -> Option<String> {
        self.cell
            .lock()
            .expect("lock")
            .record
            .as_ref()?
            .holder
            .clone()
    }
}

#[test]
fn a_lease_that_is_given_back_is_taken_at_once() {
    simulate(async {
        let (pair, never, health) = (Pair::new(), CancellationToken::new(), Health::new());
        let first = pair
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        let second = tokio::spawn({
            let elector = pair.elector("b").0;
            async move {
                elector
                    .acquire(&Health::new(), &CancellationToken::new())
                    .await
            }
        });
        sleep(60 * SECOND).await;
        assert_eq!(pair.holder().as_deref(), Some("a"), "renewed all the while");
        let lost = first.lost();
        let since = Instant::now();
        assert!(first.release(5 * SECOND).await);
        assert!(!lost.is_cancelled(), "given back is not lost");
        let second = second.await.expect("no panic").expect("held");
        assert!(since.elapsed() <= 3 * SECOND, "{:?}", since.elapsed());
        assert!(second.guard().holds());
    });
}

#[test]
fn a_holder_that_is_cut_off_stops_before_another_starts() {
    simulate(async {
        let (pair, never, health) = (Pair::new(), CancellationToken::new(), Health::new());
        let (elector, store) = pair.elector("a");
        let first = elector.acquire(&health, &never).await.expect("held");
        let (lost, guard) = (first.lost(), first.guard());
        let (second, _) = pair.elector("b");
        let second = tokio::spawn(async move {
            let held = second
                .acquire(&Health::new(), &CancellationToken::new())
                .await;
            (held, Instant::now())
        });
        sleep(30 * SECOND).await;
        store.set_down(true);
        let cut = Instant::now();
        lost.cancelled().await;
        let stopped = Instant::now();
        assert!(!guard.holds());
        assert!(stopped - cut <= 11 * SECOND, "{:?}", stopped - cut);
        let (held, started) = second.await.expect("no panic");
        assert!(held.is_some_and(|held| held.guard().holds()));
        assert!(started - stopped >= 2 * SECOND, "{:?}", started - stopped);
        assert!(started - cut <= 20 * SECOND, "{:?}", started - cut);
        assert!(
            !first.release(SECOND).await,
            "what is lost cannot be given back"
        );
    });
}

#[test]
fn a_holder_counts_from_before_it_sent_its_last_write_and_not_from_the_answer() {
    simulate(async {
        let pair = Pair::new();
        let (elector, store) = pair.elector("a");
        let never = CancellationToken::new();
        store.set_answers_later(4 * SECOND);
        let since = Instant::now();
        // 4 s for the answer to the read, 4 s for that to the write; the write was sent in between.
        let held = elector.acquire(&Health::new(), &never).await.expect("held");
        assert!(since.elapsed() >= 8 * SECOND);
        store.set_down(true);
        held.lost().cancelled().await;
        assert!(since.elapsed() <= 15 * SECOND, "{:?}", since.elapsed());
    });
}

#[test]
fn renewals_count_from_before_they_were_sent() {
    simulate(async {
        let pair = Pair::new();
        let (elector, store) = pair.elector("a");
        let held = elector
            .acquire(&Health::new(), &CancellationToken::new())
            .await
            .expect("held");
        store.set_answers_later(3 * SECOND);
        sleep(20 * SECOND).await;
        assert!(
            held.guard().holds(),
            "slow answers alone do not cost the Lease"
        );
        let written = || pair.cell.lock().expect("lock").writes;
        let before = written();
        while written() == before {
            assert!(held.guard().holds());
            sleep(Duration::from_millis(10)).await;
        }
        let last_write = Instant::now();
        store.set_down(true);
        held.lost().cancelled().await;
        assert!(
            last_write.elapsed() <= 10 * SECOND,
            "{:?}",
            last_write.elapsed()
        );
    });
}

#[test]
fn edits_by_others_do_not_cost_the_lease_and_another_holder_does() {
    simulate(async {
        let (pair, never, health) = (Pair::new(), CancellationToken::new(), Health::new());
        let held = pair
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        let lost = held.lost();
        let edit = |f: fn(&mut Record)| {
            let mut cell = pair.cell.lock().expect("lock");
            cell.writes += 1;
            let version = cell.writes.to_string();
            let record = cell.record.as_mut().expect("there");
            record.version = version;
            f(record);
        };
        edit(|_| {});
        sleep(30 * SECOND).await;
        assert!(
            !lost.is_cancelled() && held.guard().holds(),
            "somebody put a label on it"
        );
        // The same identity, another tenure: a second process that bears the same name.
        edit(|record| record.transitions += 1);
        sleep(5 * SECOND).await;
        assert!(lost.is_cancelled() && !held.guard().holds());
    });
}

#[test]
fn a_lease_that_is_deleted_is_lost() {
    simulate(async {
        let (pair, never, health) = (Pair::new(), CancellationToken::new(), Health::new());
        let held = pair
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        pair.cell.lock().expect("lock").record = None;
        held.lost().cancelled().await;
    });
}

#[test]
fn whoever_is_asked_to_stop_while_waiting_stops_waiting() {
    simulate(async {
        let (pair, stop, health) = (Pair::new(), CancellationToken::new(), Health::new());
        let _held = pair
            .elector("a")
            .0
            .acquire(&health, &stop)
            .await
            .expect("held");
        let health = Health::new();
        let waiting = tokio::spawn({
            let (elector, health, stop) = (pair.elector("b").0, health.clone(), stop.clone());
            async move { elector.acquire(&health, &stop).await.is_none() }
        });
        sleep(5 * SECOND).await;
        assert_eq!(health.role(), Role::Standby);
        stop.cancel();
        assert!(waiting.await.expect("no panic"));
    });
}

#[test]
fn a_restarted_process_of_the_same_identity_need_not_wait() {
    simulate(async {
        let (pair, never) = (Pair::new(), CancellationToken::new());
        let killed = pair
            .elector("pod-0")
            .0
            .acquire(&Health::new(), &never)
            .await
            .expect("held");
        drop(killed);
        let since = Instant::now();
        let held = pair
            .elector("pod-0")
            .0
            .acquire(&Health::new(), &never)
            .await
            .expect("held");
        assert!(since.elapsed() < SECOND && held.guard().holds());
    });
}
