//! The last requests, for people who watch: what was called and what became of it. Never a key, a query, a body, or a path that a client
//! made up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use jiff::Timestamp;
use neon_client::ids::ProjectId;

use crate::clock::{Micros, timestamp};

/// Requests that are remembered.
pub(crate) const REQUESTS_MAX: usize = 200;

/// A request that was answered, or whose connection was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// When it came, by the emulator's clock.
    pub(crate) at: Micros,
    pub(crate) method: Method,
    /// The operation's name in the API.
    pub(crate) operation: &'static str,
    /// The project that it was about, if that could be the name of one.
    pub(crate) project: Option<ProjectId>,
    /// The status of the answer; without it, there was none.
    pub(crate) status: Option<u16>,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
    /// The faults that came up, for people.
    pub(crate) faults: Vec<String>,
}

impl Request {
    pub(crate) fn at(&self) -> Timestamp {
        timestamp(self.at)
    }
}

/// The last requests, at most [`REQUESTS_MAX`]. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<VecDeque<Request>>>);

impl Requests {
    pub(super) fn add(&self, request: Request) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REQUESTS_MAX {
            all.pop_front();
        }
        all.push_back(request);
    }

    /// The last so many, newest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Request> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().take(count).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_requests_are_remembered() {
        let requests = Requests::default();
        for at in 0..=REQUESTS_MAX {
            requests.add(Request {
                at: Micros::try_from(at).unwrap(),
                method: Method::GET,
                operation: "listProjects",
                project: None,
                status: Some(200),
                took_ms: 0,
                faults: Vec::new(),
            });
        }
        let all = requests.last(usize::MAX);
        assert_eq!(all.len(), REQUESTS_MAX);
        assert_eq!((all[0].at, all[REQUESTS_MAX - 1].at), (200, 1));
        assert_eq!(requests.last(3).len(), 3);
    }
}
