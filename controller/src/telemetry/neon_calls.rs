//! Calls to the Neon API as metrics: the client tells, [`Metrics`] counts.

use std::time::Duration;

use neon_client::{Observer, Outcome, Priority, Route};

use super::Metrics;

impl Observer for Metrics {
    fn request(&self, route: Route, outcome: Outcome, elapsed: Duration) {
        self.neon_request(route.name(), outcome.as_str(), elapsed);
    }

    fn call(&self, route: Route, outcome: Outcome, elapsed: Duration) {
        self.neon_call(route.name(), outcome.as_str(), elapsed);
    }

    fn waited(&self, _route: Route, priority: Priority, waited: Duration) {
        self.neon_waited(priority.as_str(), waited);
    }

    fn throttled(&self, route: Route, _fraction: f64) {
        self.neon_slowed(route.name());
    }
}
