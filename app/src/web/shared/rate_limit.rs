//! Rate limits, per class of requests: for each signed-in user, and for the requests without a
//! session from each client address.
//!
//! The algorithm is GCRA (generic cell rate algorithm): it stores one timestamp per key and behaves
//! like a token bucket that refills continuously. With Redis configured, all replicas share their
//! counters; without Redis, and while Redis fails, each process counts for itself. A failure of
//! Redis never causes a request to be rejected.

mod gcra;
mod in_memory_limiter;
mod redis_limiter;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::client_address::Network;
use crate::config::{Allowance, Rate, RateLimits};
use crate::domain::RateLimitClass;
use crate::ids::UserId;
use in_memory_limiter::InMemoryLimiter;
use redis_limiter::RedisLimiter;

fn allowance(class: RateLimitClass, limits: &RateLimits) -> Allowance {
    match class {
        RateLimitClass::Reads => limits.reads,
        RateLimitClass::Writes => limits.writes,
        RateLimitClass::Searches => limits.searches,
        RateLimitClass::Uploads => limits.uploads,
        RateLimitClass::Questions => limits.questions,
        RateLimitClass::SignIns => limits.sign_ins,
        RateLimitClass::Expensive => limits.expensive,
        RateLimitClass::Assets => Allowance::ASSETS,
    }
}

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    User(UserId),
    /// The address of the client; IPv6 addresses count by network, see [`Network`].
    Address(IpAddr),
}

/// The key of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CounterKey {
    User(RateLimitClass, UserId),
    Network(RateLimitClass, Network),
}

impl CounterKey {
    fn new(class: RateLimitClass, key: RateLimitKey) -> Self {
        match key {
            RateLimitKey::User(user) => Self::User(class, user),
            RateLimitKey::Address(address) => Self::Network(class, Network::of(address)),
        }
    }

    fn redis_key(&self) -> String {
        match self {
            Self::User(class, user) => format!("chat-app:limit:{}:user:{user}", class.as_str()),
            Self::Network(class, network) => {
                format!("chat-app:limit:{}:address:{network}", class.as_str())
            }
        }
    }
}

/// Whether a request may proceed, and the state of its rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Maximum number of requests in a burst.
    pub limit: u32,
    /// Requests that are left now.
    pub remaining: u32,
    /// Time until the full limit is available again.
    pub reset: Duration,
    /// Time until the next request is allowed; zero if this one was.
    pub retry_after: Duration,
}

impl Decision {
    /// [`Self::retry_after`] in seconds, rounded up and at least 1.
    pub fn retry_after_seconds(&self) -> u64 {
        ceil_seconds(self.retry_after).max(1)
    }

    pub fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (
                HeaderName::from_static("ratelimit-limit"),
                u64::from(self.limit),
            ),
            (
                HeaderName::from_static("ratelimit-remaining"),
                u64::from(self.remaining),
            ),
            (
                HeaderName::from_static("ratelimit-reset"),
                ceil_seconds(self.reset),
            ),
        ] {
            headers.insert(name, HeaderValue::from(value));
        }
    }
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A handle on the counters. Clones share them.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    limits: RateLimits,
    in_memory: Arc<InMemoryLimiter>,
    redis: Option<RedisLimiter>,
    started_at: Instant,
}

impl RateLimiter {
    /// Connects to Redis, if it is configured, on the first request.
    pub fn start(settings: &RateLimits) -> Result<Self, redis::RedisError> {
        let redis = settings
            .redis_url
            .as_ref()
            .map(RedisLimiter::open)
            .transpose()?;
        Ok(Self {
            limits: settings.clone(),
            in_memory: Arc::default(),
            redis,
            started_at: Instant::now(),
        })
    }

    /// Counts one request and decides whether it may proceed. A rejected request does not count.
    pub async fn check(&self, class: RateLimitClass, key: RateLimitKey) -> Decision {
        let allowance = allowance(class, &self.limits);
        let rate = match key {
            RateLimitKey::User(_) => allowance.user,
            RateLimitKey::Address(_) => allowance.address,
        };
        self.check_at(CounterKey::new(class, key), rate).await
    }

    async fn check_at(&self, key: CounterKey, rate: Rate) -> Decision {
        if let Some(redis) = &self.redis
            && let Some(decision) = redis.check(&key, rate).await
        {
            return decision;
        }
        self.in_memory.check(key, rate, self.started_at.elapsed())
    }

    /// Failed calls to Redis since the start.
    pub fn redis_errors(&self) -> u64 {
        self.redis.as_ref().map_or(0, RedisLimiter::errors)
    }
}
