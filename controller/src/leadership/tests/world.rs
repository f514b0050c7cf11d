//! A simulated world: clocks that are off, an API server of one record, and a network that is slow and loses things.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::super::clock::{Clock, Reading};
use super::super::store::{Draft, Record, Store, StoreError};

/// A clock that is off by `offset` and runs `rate` times as fast as the simulation's.
#[derive(Clone, Debug)]
pub(super) struct SkewedClock {
    pub(super) start: Instant,
    pub(super) offset: Duration,
    pub(super) rate: f64,
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
pub(super) struct Cell {
    pub(super) record: Option<Record>,
    pub(super) writes: u64,
}

/// One replica's way to the simulated API server.
#[derive(Clone, Debug)]
pub(super) struct SimulatedStore {
    cell: Arc<Mutex<Cell>>,
    network: Arc<Mutex<Network>>,
}

#[derive(Debug)]
pub(super) struct Network {
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
pub(super) const SLOW_PERCENT: u32 = 30;

/// What becomes of one call.
pub(super) struct Fate {
    there: Duration,
    back: Duration,
    arrives: bool,
    returns: bool,
}

impl SimulatedStore {
    pub(super) fn new(
        cell: &Arc<Mutex<Cell>>,
        seed: u64,
        losses: u32,
        delay_max: Duration,
    ) -> Self {
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

    pub(super) fn set_down(&self, down: bool) {
        self.network.lock().expect("lock").down = down;
    }

    pub(super) fn set_answers_later(&self, by: Duration) {
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

/// Runs it on simulated time.
pub(super) fn simulate<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime")
        .block_on(future)
}
