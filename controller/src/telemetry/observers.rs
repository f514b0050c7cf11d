//! Records the requests of the clients of Neon and of Kubernetes in [`Metrics`].

use std::time::Duration;

use neon_client::{Observer, Outcome, Priority, Route};
use service_kit::kubernetes::{RequestObserver, RequestOutcome};

use super::Metrics;

impl Observer for Metrics {
    fn request(&self, route: Route, outcome: Outcome, elapsed: Duration) {
        self.record_neon_request(route.name(), outcome.as_str(), elapsed);
    }

    fn call(&self, route: Route, outcome: Outcome, elapsed: Duration) {
        self.record_neon_call(route.name(), outcome.as_str(), elapsed);
    }

    fn waited(&self, _route: Route, priority: Priority, waited: Duration) {
        self.record_neon_quota_wait(priority.as_str(), waited);
    }

    fn throttled(&self, route: Route, _fraction: f64) {
        self.record_neon_rate_limited(route.name());
    }
}

impl RequestObserver for Metrics {
    fn request(
        &self,
        verb: &'static str,
        resource: &str,
        outcome: RequestOutcome,
        elapsed: Duration,
    ) {
        self.record_kubernetes_request(verb, resource, outcome, elapsed);
    }
}
