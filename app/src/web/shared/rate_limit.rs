//! How often one may ask: each kind of request has a budget, counted for the user and for the client's address.
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
use in_memory_limiter::Memory;
use redis_limiter::Shared;

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
pub enum Subject {
    /// Somebody signed in.
    User(UserId),
    /// A client's address.
    Address(IpAddr),
}

/// What is counted: the requests of one budget by one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(RateLimitClass, UserId),
    Network(RateLimitClass, Network),
}

impl Key {
    fn new(budget: RateLimitClass, subject: Subject) -> Self {
        match subject {
            Subject::User(user) => Self::User(budget, user),
            Subject::Address(address) => Self::Network(budget, Network::of(address)),
        }
    }

    /// As Redis has it.
    fn text(&self) -> String {
        match self {
            Self::User(budget, user) => format!("chat-app:limit:{}:user:{user}", budget.as_str()),
            Self::Network(budget, network) => {
                format!("chat-app:limit:{}:address:{network}", budget.as_str())
            }
        }
    }
}

/// What a request was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// How many the budget holds.
    pub limit: u32,
    /// How many are left now.
    pub remaining: u32,
    /// Until the budget is whole again.
    pub reset: Duration,
    /// Until one more is let through; zero if it was.
    pub retry_after: Duration,
}

impl Verdict {
    /// Whole seconds until it is worth trying again.
    pub fn retry_after_seconds(&self) -> u64 {
        seconds_up(self.retry_after).max(1)
    }

    /// Tells the client of its budget; of two, the one that binds first.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        if (other.allowed, other.remaining) < (self.allowed, self.remaining) {
            other
        } else {
            self
        }
    }

    /// Adds the `RateLimit-*` headers.
    pub fn add_to(&self, headers: &mut HeaderMap) {
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
                seconds_up(self.reset),
            ),
        ] {
            headers.insert(name, HeaderValue::from(value));
        }
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Handle on the counters; clones share them.
#[derive(Clone, Debug)]
pub struct Limits {
    rates: Rates,
    memory: Arc<Memory>,
    shared: Option<Shared>,
    since: Instant,
}

impl Limits {
    /// Counts by these settings. Redis, where it is configured, is connected to when it is first needed.
    pub fn start(settings: &config::Limits) -> Result<Self, redis::RedisError> {
        let shared = settings.redis_url.as_ref().map(Shared::open).transpose()?;
        Ok(Self {
            rates: settings.rates,
            memory: Arc::default(),
            shared,
            since: Instant::now(),
        })
    }

    /// Takes one of a budget.
    pub async fn take(&self, budget: RateLimitClass, subject: Subject) -> Verdict {
        let allowance = allowance(budget, &self.rates);
        let rate = match subject {
            Subject::User(_) => allowance.user,
            Subject::Address(_) => allowance.address,
        };
        self.take_at(Key::new(budget, subject), rate).await
    }

    async fn take_at(&self, key: Key, rate: Rate) -> Verdict {
        if let Some(shared) = &self.shared
            && let Some(verdict) = shared.take(&key, rate).await
        {
            return verdict;
        }
        self.memory.take(key, rate, self.since.elapsed())
    }

    /// How often Redis was asked in vain.
    pub fn redis_failures(&self) -> u64 {
        self.shared.as_ref().map_or(0, Shared::failures)
    }
}
