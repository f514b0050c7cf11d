//! Rate limits in sliding windows, by the emulator's clock.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::clock::{Micros, SECOND};
use crate::config::RateLimits;

pub(crate) const MINUTE: Micros = 60 * SECOND;

/// The calls accepted within the window's length. Stores one timestamp per accepted call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    max_calls: usize,
    length: Micros,
    accepted: VecDeque<Micros>,
}

impl Window {
    /// A window that accepts `max_calls` calls within any period of `length`.
    pub(crate) fn new(max_calls: u32, length: Micros) -> Self {
        Self {
            max_calls: max_calls as usize,
            length,
            accepted: VecDeque::new(),
        }
    }

    /// How long a call has to wait; 0 if it can be accepted now.
    pub(crate) fn wait(&mut self, now: Micros) -> Micros {
        while self
            .accepted
            .front()
            .is_some_and(|first| now.saturating_sub(*first) >= self.length)
        {
            self.accepted.pop_front();
        }
        if self.accepted.len() < self.max_calls {
            return 0;
        }
        self.accepted
            .front()
            .map_or(self.length, |first| first.saturating_add(self.length) - now)
    }

    /// Records an accepted call.
    pub(crate) fn record(&mut self, now: Micros) {
        self.accepted.push_back(now);
    }
}

/// The value of a `Retry-After` header: whole seconds, rounded up.
pub(crate) fn retry_after_seconds(wait: Micros) -> u32 {
    let seconds = wait.max(1).saturating_add(SECOND - 1) / SECOND;
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The rate limiter of an account.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limits: RateLimits,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    account: Option<Window>,
    consumption: Option<Window>,
    routes: HashMap<&'static str, Window>,
}

impl RateLimiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let minute = |limit: Option<u32>| limit.map(|max_calls| Window::new(max_calls, MINUTE));
        Self {
            limits,
            windows: Mutex::new(Windows {
                account: minute(limits.account_per_minute),
                consumption: minute(limits.consumption_per_minute),
                routes: HashMap::new(),
            }),
        }
    }

    /// Accepts a call or returns how long it has to wait. A rejected call does not count towards
    /// any limit.
    pub(crate) fn admit(&self, operation: &'static str, now: Micros) -> Result<(), Micros> {
        let mut windows = self.windows.lock();
        let Windows {
            account,
            consumption,
            routes,
        } = &mut *windows;
        let consumption = consumption
            .as_mut()
            .filter(|_| operation.starts_with("getConsumptionHistory"));
        let route = self.limits.route_per_second.map(|max_calls| {
            routes
                .entry(operation)
                .or_insert_with(|| Window::new(max_calls, SECOND))
        });
        let mut windows_of_call: Vec<&mut Window> = account
            .as_mut()
            .into_iter()
            .chain(consumption)
            .chain(route)
            .collect();
        let wait = windows_of_call
            .iter_mut()
            .map(|window| window.wait(now))
            .max();
        match wait {
            Some(wait) if wait > 0 => Err(wait),
            _ => {
                for window in windows_of_call {
                    window.record(now);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides_and_reports_the_time_to_wait() {
        let mut window = Window::new(2, MINUTE);
        for at in [0, 10 * SECOND] {
            assert_eq!(window.wait(at), 0);
            window.record(at);
        }
        assert_eq!(window.wait(15 * SECOND), 45 * SECOND);
        assert_eq!(
            window.wait(60 * SECOND),
            0,
            "the first call is a minute old"
        );
        window.record(60 * SECOND);
        assert_eq!(window.wait(60 * SECOND), 10 * SECOND);
        assert_eq!(
            Window::new(0, MINUTE).wait(7),
            MINUTE,
            "no call is accepted"
        );
    }

    #[test]
    fn a_call_rejected_by_its_operations_limit_does_not_count_for_the_account() {
        let limiter = RateLimiter::new(RateLimits {
            account_per_minute: Some(3),
            route_per_second: Some(1),
            consumption_per_minute: None,
        });
        assert_eq!(limiter.admit("listProjects", 0), Ok(()));
        assert_eq!(limiter.admit("listProjects", SECOND / 2), Err(SECOND / 2));
        assert_eq!(limiter.admit("getProject", SECOND / 2), Ok(()));
        assert_eq!(limiter.admit("listProjects", SECOND), Ok(()));
        assert_eq!(limiter.admit("getProject", 2 * SECOND), Err(58 * SECOND));
        assert_eq!(limiter.admit("getProject", MINUTE), Ok(()));
    }

    #[test]
    fn only_consumption_calls_are_limited_by_the_consumption_limit() {
        let limiter = RateLimiter::new(RateLimits {
            consumption_per_minute: Some(1),
            ..RateLimits::none()
        });
        let operation = "getConsumptionHistoryPerProjectV2";
        assert_eq!(limiter.admit(operation, 0), Ok(()));
        assert_eq!(limiter.admit(operation, SECOND), Err(59 * SECOND));
        assert_eq!(limiter.admit("listProjects", SECOND), Ok(()));
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (wait, seconds) in [(0, 1), (1, 1), (SECOND, 1), (SECOND + 1, 2), (MINUTE, 60)] {
            assert_eq!(retry_after_seconds(wait), seconds);
        }
    }
}
