//! The ways in which the endpoint can be told to fail.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is asked of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/chat/completions`
    Chat,
}

/// A way to fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// 429, with this `Retry-After` if there is one.
    RateLimited {
        /// As it stands in the header, in seconds.
        retry_after: Option<String>,
    },
    /// 429 with `insufficient_quota`: no waiting helps.
    InsufficientQuota,
    /// This status, with words of no use.
    Status(u16),
    /// Success, and a body that is no JSON.
    NotJson,
    /// Nothing ever comes.
    Hang,
    /// The answer comes so much later.
    Slow(Duration),
    /// Vectors with one dimension too few.
    WrongDimensions,
    /// One vector too few.
    VectorMissing,
    /// All vectors, in another order than the texts, each with its right index.
    Shuffled,
    /// The connection breaks behind so many pieces of the answer.
    CutAfter(usize),
    /// Nothing more comes behind so many pieces of the answer, and the connection stays.
    StallAfter(usize),
    /// The stream ends properly behind so many pieces, without a word why.
    EndAfter(usize),
    /// The answer cites a passage that was not given.
    InvalidCitation,
    /// The answer is that the passages do not hold it.
    NotFound,
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashMap<Route, Planned>>);

#[derive(Debug, Default)]
struct Planned {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

impl Faults {
    pub(crate) fn push(&self, route: Route, fault: Fault) {
        self.with(route, |planned| planned.next.push_back(fault));
    }

    pub(crate) fn always(&self, route: Route, fault: Option<Fault>) {
        self.with(route, |planned| planned.always = fault);
    }

    pub(crate) fn take(&self, route: Route) -> Option<Fault> {
        self.with(route, |planned| {
            planned.next.pop_front().or_else(|| planned.always.clone())
        })
    }

    fn with<Value>(&self, route: Route, work: impl FnOnce(&mut Planned) -> Value) -> Value {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(planned.entry(route).or_default())
    }
}
