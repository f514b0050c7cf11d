//! Where the client tells what it does. Metrics live with the caller, who implements [`Observer`].

use std::time::Duration;

use crate::{ErrorKind, Priority, Route};

/// How a request or a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With the answer that was asked for.
    Success,
    /// With an error of this kind.
    Failure(ErrorKind),
}

impl Outcome {
    /// A word for metrics: `success`, or the kind of the error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure(kind) => kind.as_str(),
        }
    }
}

/// Is told of every request, call and wait. The methods are called on the path of a request: they must not block.
pub trait Observer: Send + Sync + 'static {
    /// One HTTP request was made. A call that was retried made several; each counts against the account's quota.
    fn request(&self, _route: Route, _outcome: Outcome, _elapsed: Duration) {}

    /// One call came to its end, after all its requests and the pauses between them.
    fn call(&self, _route: Route, _outcome: Outcome, _elapsed: Duration) {}

    /// A request waited this long for its turn in the account's quota; zero when it did not have to.
    fn waited(&self, _route: Route, _priority: Priority, _waited: Duration) {}

    /// The API answered 429: requests now go at this fraction of the configured rate.
    fn slowed(&self, _route: Route, _fraction: f64) {}
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
