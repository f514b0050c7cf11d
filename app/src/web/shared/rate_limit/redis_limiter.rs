//! Counters in Redis, shared by all replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::error_chain;
use tokio::time::timeout;
use tracing::warn;

use super::{CounterKey, Decision, gcra};
use crate::config::Rate;

/// Upper bound of the delay that Redis adds to a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After an error, no request tries Redis for this long, so that requests do not queue behind
/// timeouts.
const BACKOFF: Duration = Duration::from_secs(1);
/// One in this many errors is logged.
const LOG_EVERY: u64 = 60;

/// GCRA on the clock of the Redis server, in microseconds. Returns whether the request is allowed,
/// the time until the full limit is available, and the time to wait. The key expires when its full
/// limit is available.
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

#[derive(Clone, Debug)]
pub(super) struct RedisLimiter(Arc<Inner>);

struct Inner {
    /// Reconnects automatically.
    connection: ConnectionManager,
    script: Script,
    errors: AtomicU64,
    backoff_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RedisLimiter")
            .finish_non_exhaustive()
    }
}

impl RedisLimiter {
    /// Connects on first use. Must be called within a Tokio runtime.
    pub(super) fn open(url: &SecretString) -> Result<Self, RedisError> {
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(0);
        let client = Client::open(url.expose_secret())?;
        Ok(Self(Arc::new(Inner {
            connection: ConnectionManager::new_lazy_with_config(client, settings)?,
            script: Script::new(SCRIPT),
            errors: AtomicU64::new(0),
            backoff_until: Mutex::new(None),
        })))
    }

    pub(super) fn errors(&self) -> u64 {
        self.0.errors.load(Ordering::Relaxed)
    }

    /// `None` if Redis fails, or has failed within [`BACKOFF`].
    pub(super) async fn check(&self, key: &CounterKey, rate: Rate) -> Option<Decision> {
        if self.is_backing_off() {
            return None;
        }
        let error = match timeout(RESPONSE_TIMEOUT, self.run_script(key, rate)).await {
            Ok(Ok(decision)) => return Some(decision),
            Ok(Err(error)) => error_chain(&error),
            Err(_) => format!("no response within {} ms", RESPONSE_TIMEOUT.as_millis()),
        };
        *self.0.backoff_until.lock() = Some(Instant::now() + BACKOFF);
        let earlier_errors = self.0.errors.fetch_add(1, Ordering::Relaxed);
        if earlier_errors.is_multiple_of(LOG_EVERY) {
            warn!(%error, "redis failed; rate limits count in this process only");
        }
        None
    }

    async fn run_script(&self, key: &CounterKey, rate: Rate) -> Result<Decision, RedisError> {
        let mut connection = self.0.connection.clone();
        let interval = gcra::interval(rate);
        let capacity = interval * rate.count.get();
        let (allowed, reset_us, wait_us): (u8, u64, u64) = self
            .0
            .script
            .key(key.redis_key())
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

    fn is_backing_off(&self) -> bool {
        self.0
            .backoff_until
            .lock()
            .is_some_and(|until| Instant::now() < until)
    }
}
