//! How often one may ask: each kind of request has a class, counted for the user and for the client's address.
//!
//! Counting is by GCRA, one moment a key: cheap to keep, and as fair as a token bucket that refills all the time. Replicas count
//! together in Redis where it is configured; without it, and while it is away, each process counts for itself. Pages are never
//! refused because Redis is away.

mod gcra;
mod in_memory_limiter;
mod redis_limiter;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::client_address::Network;
use crate::config::{self, Allowance, Rate, Rates};
use crate::domain::RateLimitClass;
use crate::ids::UserId;
use in_memory_limiter::InMemoryLimiter;
use redis_limiter::RedisLimiter;

fn allowance(class: RateLimitClass, rates: &Rates) -> Allowance {
    match class {
        RateLimitClass::Reads => rates.pages,
        RateLimitClass::Writes => rates.changes,
        RateLimitClass::Searches => rates.searches,
        RateLimitClass::Uploads => rates.uploads,
        RateLimitClass::Questions => rates.questions,
        RateLimitClass::SignIns => rates.sign_ins,
        RateLimitClass::Expensive => rates.heavy,
        RateLimitClass::Assets => rates.assets,
    }
}

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    /// Somebody signed in.
    User(UserId),
    /// A client's address.
    Address(IpAddr),
}

/// What is counted: the requests of one class by one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CounterKey {
    User(RateLimitClass, UserId),
    Network(RateLimitClass, Network),
}

impl CounterKey {
    fn new(class: RateLimitClass, subject: RateLimitKey) -> Self {
        match subject {
            RateLimitKey::User(user) => Self::User(class, user),
            RateLimitKey::Address(address) => Self::Network(class, Network::of(address)),
        }
    }

    /// As Redis has it.
    fn text(&self) -> String {
        match self {
            Self::User(class, user) => format!("chat-app:limit:{}:user:{user}", class.as_str()),
            Self::Network(class, network) => {
                format!("chat-app:limit:{}:address:{network}", class.as_str())
            }
        }
    }
}

/// What a request was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// How many the class holds.
    pub limit: u32,
    /// How many are left now.
    pub remaining: u32,
    /// Until the class is whole again.
    pub reset: Duration,
    /// Until one more is let through; zero if it was.
    pub retry_after: Duration,
}

impl Decision {
    /// Whole seconds until it is worth trying again.
    pub fn retry_after_seconds(&self) -> u64 {
        whole_seconds(self.retry_after).max(1)
    }

    /// Tells the client of its class; of two, the one that binds first.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if (other.allowed, other.remaining) < (self.allowed, self.remaining) {
            other
        } else {
            self
        }
    }

    /// Adds the `RateLimit-*` headers.
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
                whole_seconds(self.reset),
            ),
        ] {
            headers.insert(name, HeaderValue::from(value));
        }
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Handle on the counters; clones share them.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    rates: Rates,
    memory: Arc<InMemoryLimiter>,
    shared: Option<RedisLimiter>,
    started_at: Instant,
}

impl RateLimiter {
    /// Counts by these settings. Redis, where it is configured, is connected to when it is first needed.
    pub fn start(settings: &config::Limits) -> Result<Self, redis::RedisError> {
        let shared = settings.redis_url.as_ref().map(RedisLimiter::open).transpose()?;
        Ok(Self {
            rates: settings.rates,
            memory: Arc::default(),
            shared,
            started_at: Instant::now(),
        })
    }

    /// Takes one of a class.
    pub async fn check(&self, class: RateLimitClass, subject: RateLimitKey) -> Decision {
        let allowance = allowance(class, &self.rates);
        let rate = match subject {
            RateLimitKey::User(_) => allowance.user,
            RateLimitKey::Address(_) => allowance.address,
        };
        self.check_at(CounterKey::new(class, subject), rate).await
    }

    async fn check_at(&self, key: CounterKey, rate: Rate) -> Decision {
        if let Some(shared) = &self.shared
            && let Some(decision) = shared.check(&key, rate).await
        {
            return decision;
        }
        self.memory.check(key, rate, self.started_at.elapsed())
    }

    /// How often Redis was asked in vain.
    pub fn redis_errors(&self) -> u64 {
        self.shared.as_ref().map_or(0, RedisLimiter::errors)
    }
}
