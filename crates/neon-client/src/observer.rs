//! Hooks for metrics. The caller implements [`Observer`] and owns the metrics.

use std::time::Duration;

use crate::{ErrorKind, Priority, Route};

/// Outcome of a request or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call or request succeeded.
    Success,
    /// The call or request failed with this kind of error.
    Failure(ErrorKind),
}

impl Outcome {
    /// Label value for metrics: `success` or the kind of the error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure(kind) => kind.as_str(),
        }
    }
}

/// Observer of requests, calls and quota waits. The client calls the methods while it handles a
/// request, so they must not block.
pub trait Observer: Send + Sync + 'static {
    /// One HTTP request has completed. A retried call makes several requests, and each counts
    /// against the account's quota.
    fn request(&self, _route: Route, _outcome: Outcome, _elapsed: Duration) {}

    /// One call has completed, including its retries and the pauses between them.
    fn call(&self, _route: Route, _outcome: Outcome, _elapsed: Duration) {}

    /// A request waited for a permit from the account's quota. The duration is zero if a permit was
    /// available immediately.
    fn waited(&self, _route: Route, _priority: Priority, _waited: Duration) {}

    /// The API responded with 429. Requests are now sent at this fraction of the configured rate.
    fn throttled(&self, _route: Route, _fraction: f64) {}
}

/// Observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
