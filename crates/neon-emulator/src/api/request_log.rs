//! The most recent requests, for the dashboard: the operation and its outcome. It never contains
//! keys, queries, bodies or paths chosen by a client.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use neon_client::ids::ProjectId;

use crate::clock::{Micros, timestamp};

/// Maximum number of requests in the log.
pub(crate) const MAX_REQUESTS: usize = 200;

/// A request that was answered, or whose connection was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedRequest {
    /// Arrival time, by the emulator's clock.
    pub(crate) at: Micros,
    pub(crate) method: Method,
    pub(crate) operation: &'static str,
    /// The project in the path, if it is a valid ID.
    pub(crate) project: Option<ProjectId>,
    /// The response's status; `None` if the connection was dropped.
    pub(crate) status: Option<u16>,
    /// Duration in milliseconds.
    pub(crate) took_ms: u64,
    /// Descriptions of the faults that were applied.
    pub(crate) faults: Vec<String>,
}

impl LoggedRequest {
    pub(crate) fn at(&self) -> Timestamp {
        timestamp(self.at)
    }
}

/// The most recent requests, at most [`MAX_REQUESTS`]. Clones share the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestLog(Arc<Mutex<VecDeque<LoggedRequest>>>);

impl RequestLog {
    pub(super) fn add(&self, request: LoggedRequest) {
        let mut all = self.0.lock();
        if all.len() >= MAX_REQUESTS {
            all.pop_front();
        }
        all.push_back(request);
    }

    /// The last `count` requests, newest first.
    pub(crate) fn last(&self, count: usize) -> Vec<LoggedRequest> {
        let all = self.0.lock();
        all.iter().rev().take(count).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_only_the_last_requests() {
        let requests = RequestLog::default();
        for at in 0..=MAX_REQUESTS {
            requests.add(LoggedRequest {
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
        assert_eq!(all.len(), MAX_REQUESTS);
        assert_eq!((all[0].at, all[MAX_REQUESTS - 1].at), (200, 1));
        assert_eq!(requests.last(3).len(), 3);
    }
}
