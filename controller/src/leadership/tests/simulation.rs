//! Simulated clocks with offset and drift, an API server with a single Lease, and a slow, lossy
//! network.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::super::clock::{Clock, MonotonicInstant};
use super::super::store::{LeaseRecord, LeaseStore, LeaseUpdate, StoreError};

/// The clocks of a machine, which are ahead by `offset` and run `rate` times as fast as simulated
/// time.
#[derive(Clone, Debug)]
pub(super) struct SkewedClock {
    pub(super) start: Instant,
    pub(super) offset: Duration,
    pub(super) rate: f64,
    pub(super) suspension: Arc<Mutex<Suspension>>,
}

/// When the machine was suspended.
#[derive(Debug, Default)]
pub(super) struct Suspension {
    since: Option<Instant>,
    earlier: Duration,
}

impl SkewedClock {
    /// Stops or continues the monotonic clock.
    pub(super) fn set_suspended(&self, suspended: bool) {
        let mut suspension = self.suspension.lock();
        match (suspension.since, suspended) {
            (None, true) => suspension.since = Some(Instant::now()),
            (Some(since), false) => {
                suspension.since = None;
                suspension.earlier += since.elapsed();
            }
            _ => {}
        }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> MonotonicInstant {
        let suspension = self.suspension.lock();
        let current = suspension
            .since
            .map_or(Duration::ZERO, |since| since.elapsed());
        let awake = self
            .start
            .elapsed()
            .saturating_sub(suspension.earlier + current);
        self.offset + awake.mul_f64(self.rate)
    }

    fn wall_now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.offset + self.start.elapsed().mul_f64(self.rate)
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration.div_f64(self.rate)).await;
    }
}

#[derive(Debug, Default)]
pub(super) struct ApiServer {
    pub(super) record: Option<LeaseRecord>,
    pub(super) writes: u64,
}

/// One replica's connection to the simulated API server.
#[derive(Clone, Debug)]
pub(super) struct SimulatedStore {
    server: Arc<Mutex<ApiServer>>,
    network: Arc<Mutex<Network>>,
}

#[derive(Debug)]
pub(super) struct Network {
    rng: SmallRng,
    /// Percentage of requests, and of responses, that are lost.
    loss_percent: u32,
    /// One way.
    max_delay: Duration,
    /// Added to the delay of every response.
    extra_response_delay: Duration,
    down: bool,
}

/// Percentage of requests, and of responses, that may take the full delay.
const SLOW_PERCENT: u32 = 30;

/// How the network treats one call.
struct CallFate {
    request_delay: Duration,
    response_delay: Duration,
    request_arrives: bool,
    response_arrives: bool,
}

impl SimulatedStore {
    pub(super) fn new(
        server: &Arc<Mutex<ApiServer>>,
        seed: u64,
        loss_percent: u32,
        max_delay: Duration,
    ) -> Self {
        let network = Network {
            rng: SmallRng::seed_from_u64(seed),
            loss_percent,
            max_delay,
            extra_response_delay: Duration::ZERO,
            down: false,
        };
        Self {
            server: Arc::clone(server),
            network: Arc::new(Mutex::new(network)),
        }
    }

    pub(super) fn set_down(&self, down: bool) {
        self.network.lock().down = down;
    }

    pub(super) fn set_extra_response_delay(&self, delay: Duration) {
        self.network.lock().extra_response_delay = delay;
    }

    fn next_fate(&self) -> CallFate {
        let mut network = self.network.lock();
        let max_delay = network.max_delay;
        let mut delay = || {
            let slow = network.rng.random_range(0..100) < SLOW_PERCENT;
            let max = if slow { max_delay } else { max_delay / 50 };
            network.rng.random_range(Duration::ZERO..=max)
        };
        let (request_delay, response_delay) = (delay(), delay());
        let response_delay = response_delay + network.extra_response_delay;
        let (loss_percent, down) = (network.loss_percent, network.down);
        let mut arrives = || !down && network.rng.random_range(0..100) >= loss_percent;
        CallFate {
            request_delay,
            response_delay,
            request_arrives: arrives(),
            response_arrives: arrives(),
        }
    }

    /// Runs `operation` on the server. A request that has been sent takes effect even if the caller
    /// stops waiting for it, as with a packet in flight.
    async fn call<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut ApiServer) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (fate, server) = (self.next_fate(), Arc::clone(&self.server));
        let in_flight = tokio::spawn(async move {
            sleep(fate.request_delay).await;
            if !fate.request_arrives {
                return None;
            }
            let response = operation(&mut server.lock());
            sleep(fate.response_delay).await;
            fate.response_arrives.then_some(response)
        });
        let response = in_flight.await.expect("the operation does not panic");
        if response.is_none() {
            // A lost response never arrives; the caller has to time out.
            std::future::pending::<()>().await;
        }
        response.ok_or(StoreError::TimedOut)
    }
}

impl LeaseStore for SimulatedStore {
    async fn read(&self) -> Result<Option<LeaseRecord>, StoreError> {
        self.call(|server| server.record.clone()).await
    }

    async fn write(
        &self,
        expected: Option<&str>,
        update: LeaseUpdate,
    ) -> Result<LeaseRecord, StoreError> {
        let expected = expected.map(str::to_owned);
        self.call(move |server| {
            match (&expected, &server.record) {
                (Some(_), None) => return Err(StoreError::Missing),
                (None, Some(_)) => return Err(StoreError::Conflict),
                (Some(version), Some(record)) if *version != record.version => {
                    return Err(StoreError::Conflict);
                }
                _ => {}
            }
            server.writes += 1;
            let record = LeaseRecord {
                holder: update.holder,
                duration: Some(update.duration),
                transitions: update.transitions,
                version: server.writes.to_string(),
            };
            server.record = Some(record.clone());
            Ok(record)
        })
        .await?
    }
}

/// Runs `future` in simulated time.
pub(super) fn simulate<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime")
        .block_on(future)
}
