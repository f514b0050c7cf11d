//! How the Lease passes from one replica to another, case by case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::leader_elector::LeaderElector;
use super::super::store::LeaseRecord;
use super::simulation::{ApiServer, SimulatedStore, SkewedClock, simulate};
use super::{SECOND, config as lease_config};
use crate::config;
use crate::health::{Health, Role};

/// A cluster for two replicas with exact clocks and a fast network.
struct TestCluster {
    server: Arc<Mutex<ApiServer>>,
    clock: SkewedClock,
}

impl TestCluster {
    fn new() -> Self {
        Self {
            server: Arc::default(),
            clock: SkewedClock {
                start: Instant::now(),
                offset: Duration::ZERO,
                rate: 1.0,
                suspension: Arc::default(),
            },
        }
    }

    fn store(&self) -> SimulatedStore {
        SimulatedStore::new(&self.server, 1, 0, Duration::from_millis(10))
    }

    fn elector(&self, name: &str) -> (LeaderElector<SimulatedStore, SkewedClock>, SimulatedStore) {
        let store = self.store();
        (
            LeaderElector::new(store.clone(), self.clock.clone(), lease_config(name)),
            store,
        )
    }

    fn holder(&self) -> Option<String> {
        self.server.lock().record.as_ref()?.holder.clone()
    }
}

#[test]
fn a_released_lease_is_acquired_without_waiting_for_its_duration() {
    simulate(async {
        let (cluster, never, health) =
            (TestCluster::new(), CancellationToken::new(), Health::new());
        let first = cluster
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        let second = tokio::spawn({
            let elector = cluster.elector("b").0;
            async move {
                elector
                    .acquire(&Health::new(), &CancellationToken::new())
                    .await
            }
        });
        sleep(60 * SECOND).await;
        assert_eq!(
            cluster.holder().as_deref(),
            Some("a"),
            "it was renewed throughout"
        );
        let lost = first.lost();
        let since = Instant::now();
        assert!(first.release(5 * SECOND).await);
        assert!(!lost.is_cancelled(), "a release does not count as a loss");
        let second = second.await.expect("no panic").expect("held");
        assert!(since.elapsed() <= 3 * SECOND, "{:?}", since.elapsed());
        assert!(second.validity().is_valid());
    });
}

#[test]
fn a_partitioned_leader_stops_before_another_replica_starts() {
    simulate(async {
        let (cluster, never, health) =
            (TestCluster::new(), CancellationToken::new(), Health::new());
        let (elector, store) = cluster.elector("a");
        let first = elector.acquire(&health, &never).await.expect("held");
        let (lost, validity) = (first.lost(), first.validity());
        let (second, _) = cluster.elector("b");
        let second = tokio::spawn(async move {
            let held = second
                .acquire(&Health::new(), &CancellationToken::new())
                .await;
            (held, Instant::now())
        });
        sleep(30 * SECOND).await;
        store.set_down(true);
        let partitioned_at = Instant::now();
        lost.cancelled().await;
        let stopped_at = Instant::now();
        assert!(!validity.is_valid());
        assert!(
            stopped_at - partitioned_at <= 11 * SECOND,
            "{:?}",
            stopped_at - partitioned_at
        );
        let (held, started_at) = second.await.expect("no panic");
        assert!(held.is_some_and(|held| held.validity().is_valid()));
        assert!(
            started_at - stopped_at >= 2 * SECOND,
            "{:?}",
            started_at - stopped_at
        );
        assert!(
            started_at - partitioned_at <= 20 * SECOND,
            "{:?}",
            started_at - partitioned_at
        );
        assert!(
            !first.release(SECOND).await,
            "a lost lease cannot be released"
        );
    });
}

#[test]
fn a_leader_whose_machine_was_suspended_is_no_longer_the_leader() {
    simulate(async {
        let (cluster, never) = (TestCluster::new(), CancellationToken::new());
        let (elector, store) = cluster.elector("a");
        let held = elector.acquire(&Health::new(), &never).await.expect("held");
        let (lost, validity) = (held.lost(), held.validity());
        sleep(30 * SECOND).await;
        cluster.clock.set_suspended(true);
        store.set_down(true);
        sleep(60 * SECOND).await;
        cluster.clock.set_suspended(false);
        store.set_down(false);
        assert!(!validity.is_valid());
        sleep(3 * SECOND).await;
        assert!(lost.is_cancelled());
    });
}

#[test]
fn validity_counts_from_before_the_acquiring_write_was_sent() {
    simulate(async {
        let cluster = TestCluster::new();
        let (elector, store) = cluster.elector("a");
        let never = CancellationToken::new();
        store.set_extra_response_delay(4 * SECOND);
        let since = Instant::now();
        // The response to the read takes 4 s, and so does the response to the write, which was sent
        // in between.
        let held = elector.acquire(&Health::new(), &never).await.expect("held");
        assert!(since.elapsed() >= 8 * SECOND);
        store.set_down(true);
        held.lost().cancelled().await;
        assert!(since.elapsed() <= 15 * SECOND, "{:?}", since.elapsed());
    });
}

#[test]
fn validity_counts_from_before_a_renewal_was_sent() {
    simulate(async {
        let cluster = TestCluster::new();
        let (elector, store) = cluster.elector("a");
        let held = elector
            .acquire(&Health::new(), &CancellationToken::new())
            .await
            .expect("held");
        store.set_extra_response_delay(3 * SECOND);
        sleep(20 * SECOND).await;
        assert!(
            held.validity().is_valid(),
            "slow responses alone must not lose the lease"
        );
        let writes = || cluster.server.lock().writes;
        let before = writes();
        while writes() == before {
            assert!(held.validity().is_valid());
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
fn an_edit_keeps_the_lease_and_another_acquisition_loses_it() {
    simulate(async {
        let (cluster, never, health) =
            (TestCluster::new(), CancellationToken::new(), Health::new());
        let held = cluster
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        let lost = held.lost();
        let edit = |f: fn(&mut LeaseRecord)| {
            let mut server = cluster.server.lock();
            server.writes += 1;
            let version = server.writes.to_string();
            let record = server.record.as_mut().expect("the lease exists");
            record.version = version;
            f(record);
        };
        edit(|_| {});
        sleep(30 * SECOND).await;
        assert!(
            !lost.is_cancelled() && held.validity().is_valid(),
            "a client added a label"
        );
        // A second process with the same identity acquired the lease.
        edit(|record| record.transitions += 1);
        sleep(5 * SECOND).await;
        assert!(lost.is_cancelled() && !held.validity().is_valid());
    });
}

#[test]
fn a_deleted_lease_is_lost() {
    simulate(async {
        let (cluster, never, health) =
            (TestCluster::new(), CancellationToken::new(), Health::new());
        let held = cluster
            .elector("a")
            .0
            .acquire(&health, &never)
            .await
            .expect("held");
        cluster.server.lock().record = None;
        held.lost().cancelled().await;
    });
}

#[test]
fn a_standby_stops_waiting_when_it_is_stopped() {
    simulate(async {
        let (cluster, stop, health) = (TestCluster::new(), CancellationToken::new(), Health::new());
        let _held = cluster
            .elector("a")
            .0
            .acquire(&health, &stop)
            .await
            .expect("held");
        let health = Health::new();
        let waiting = tokio::spawn({
            let (elector, health, stop) = (cluster.elector("b").0, health.clone(), stop.clone());
            async move { elector.acquire(&health, &stop).await.is_none() }
        });
        sleep(5 * SECOND).await;
        assert_eq!(health.role(), Role::Standby);
        stop.cancel();
        assert!(waiting.await.expect("no panic"));
    });
}

#[test]
fn a_restarted_process_with_the_same_identity_need_not_wait() {
    simulate(async {
        let (cluster, never) = (TestCluster::new(), CancellationToken::new());
        let killed = cluster
            .elector("pod-0")
            .0
            .acquire(&Health::new(), &never)
            .await
            .expect("held");
        drop(killed);
        let since = Instant::now();
        let held = cluster
            .elector("pod-0")
            .0
            .acquire(&Health::new(), &never)
            .await
            .expect("held");
        assert!(since.elapsed() < SECOND && held.validity().is_valid());
    });
}

/// The default timings hold on a machine whose API server does not answer for a while.
#[test]
fn the_default_timings_survive_an_api_server_that_does_not_answer_for_12_seconds() {
    simulate(async {
        let (cluster, never) = (TestCluster::new(), CancellationToken::new());
        let settings = default_settings();
        let store = cluster.store();
        let elector = LeaderElector::new(store.clone(), cluster.clock.clone(), settings);
        let held = elector.acquire(&Health::new(), &never).await.expect("held");
        let lost = held.lost();
        for _ in 0..10 {
            store.set_down(true);
            sleep(12 * SECOND).await;
            store.set_down(false);
            sleep(5 * SECOND).await;
        }
        assert!(!lost.is_cancelled() && held.validity().is_valid());
    });
}

fn default_settings() -> config::Lease {
    let arguments = ["tenant-controller", "--namespace=a", "--lease-identity=a"];
    let host = config::HostInfo::default();
    let loaded = config::load(arguments.map(Into::into), &BTreeMap::new(), &host);
    loaded.expect("valid settings").lease
}
