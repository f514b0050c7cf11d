//! Counters in Redis, which replicas share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::error_chain;
use tokio::time::timeout;
use tracing::warn;

use super::{CounterKey, Decision, gcra};
use crate::config::Rate;

/// Limit on one answer of Redis: no page waits longer for it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// Limit on connecting to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failure it is left alone for so long: requests in between need not wait in vain.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Of failures, every so-manyth is logged.
const LOG_EVERY: u64 = 60;

/// GCRA on the server's clock, in microseconds. Answers whether the request may go on, until when the class is whole, and how long to
/// wait. The key goes by itself once its class is whole.
const SCRIPT: &str = r"
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local base = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = base + interval
if after > now + capacity then
    return {0, base - now, after - now - capacity}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, after - now, 0}
";

/// Redis, connected to when it is first needed.
#[derive(Clone, Debug)]
pub(super) struct RedisLimiter(Arc<State>);

struct State {
    /// Mends itself.
    connection: ConnectionManager,
    script: Script,
    failures: AtomicU64,
    rests_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl RedisLimiter {
    /// Nothing is sent yet. To be called on the runtime.
    pub(super) fn open(url: &SecretString) -> Result<Self, RedisError> {
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_number_of_retries(0);
        let client = Client::open(url.expose_secret())?;
        Ok(Self(Arc::new(State {
            connection: ConnectionManager::new_lazy_with_config(client, settings)?,
            script: Script::new(SCRIPT),
            failures: AtomicU64::new(0),
            rests_until: Mutex::new(None),
        })))
    }

    /// How often it was asked in vain.
    pub(super) fn errors(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Takes one; `None` while Redis is away.
    pub(super) async fn check(&self, key: &CounterKey, rate: Rate) -> Option<Decision> {
        if self.is_resting() {
            return None;
        }
        let why = match timeout(ANSWER_TIMEOUT, self.ask(key, rate)).await {
            Ok(Ok(decision)) => return Some(decision),
            Ok(Err(error)) => error_chain(&error),
            Err(_) => format!("no answer within {} ms", ANSWER_TIMEOUT.as_millis()),
        };
        *self.rests_until() = Some(Instant::now() + REST_AFTER_FAILURE);
        let before = self.0.failures.fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(LOG_EVERY) {
            warn!(error = %why, "Redis is away: rate limits are counted in this process alone");
        }
        None
    }

    async fn ask(&self, key: &CounterKey, rate: Rate) -> Result<Decision, RedisError> {
        let mut connection = self.0.connection.clone();
        let interval = gcra::interval(rate);
        let capacity = interval * rate.count.get();
        let (allowed, reset_us, wait_us): (u8, u64, u64) = self
            .0
            .script
            .key(key.text())
            .arg(u64::try_from(interval.as_micros()).unwrap_or(u64::MAX))
            .arg(u64::try_from(capacity.as_micros()).unwrap_or(u64::MAX))
            .invoke_async(&mut connection)
            .await?;
        let reset = Duration::from_micros(reset_us);
        Ok(if allowed == 1 {
            gcra::allowed(rate, reset)
        } else {
            Decision {
                allowed: false,
                limit: rate.count.get(),
                remaining: 0,
                reset,
                retry_after: Duration::from_micros(wait_us),
            }
        })
    }

    fn is_resting(&self) -> bool {
        self.rests_until()
            .is_some_and(|until| Instant::now() < until)
    }

    fn rests_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0
            .rests_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
