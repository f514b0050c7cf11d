//! Faults that the stub can be made to produce.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/chat/completions`
    Chat,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// 429 with this `Retry-After` header.
    RateLimited {
        /// Value of the header, in seconds.
        retry_after: Option<String>,
    },
    /// 429 with `insufficient_quota`, which is permanent.
    InsufficientQuota,
    /// This status with a generic message.
    Status(u16),
    /// A success status with a body that is not JSON.
    NotJson,
    Hang,
    Slow(Duration),
    /// Vectors with one dimension too few.
    WrongDimensions,
    VectorMissing,
    /// All vectors in reverse order, each with the right index.
    Shuffled,
    /// The connection is closed after this number of pieces.
    CutAfter(usize),
    /// The stream stalls after this number of pieces; the connection stays open.
    StallAfter(usize),
    /// The stream ends after this number of pieces without a finish reason.
    EndAfter(usize),
    /// The answer cites a passage that was not given.
    InvalidCitation,
    /// The answer is that the passages do not contain it.
    NotFound,
    /// The answer has this text.
    Answer(String),
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
        let mut planned = self.0.lock();
        work(planned.entry(route).or_default())
    }
}
