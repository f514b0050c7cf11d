//! One replica after another, case by case.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::elector::Elector;
use super::super::store::Record;
use super::world::{Cell, SimulatedStore, SkewedClock, simulate};
use super::{SECOND, terms};
use crate::health::{Health, Role};

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
