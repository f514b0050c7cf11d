//! Waiting until operations are over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Operations;
use crate::{Error, ids::OperationId, model::Operation};

/// How long operations are waited for, all together, unless set.
pub const OPERATIONS_DEADLINE: Duration = Duration::from_mins(5);
/// The pause between two looks at an operation, unless set.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Why operations did not all end as they should.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// One could not be looked at.
    #[error("an operation could not be looked at")]
    Call(#[from] Error),
    /// One ended as it should not: `error` or `cancelled`. Those after it were not waited for.
    #[error("the operation {} ended as {}", .0.action, .0.status)]
    Ended(Box<Operation>),
    /// One was not over in time.
    #[error("the operation {} is still {} after the time for it", .0.action, .0.status)]
    TimedOut(Box<Operation>),
}

/// Operations to be waited for. See [`Operations::wait`].
#[derive(Debug)]
#[must_use = "nothing is waited for before `done` is awaited"]
pub struct WaitForOperations {
    operations: Operations,
    ids: Vec<OperationId>,
    deadline: Duration,
    interval: Duration,
}

impl WaitForOperations {
    pub(super) fn new(operations: Operations, ids: Vec<OperationId>) -> Self {
        Self {
            operations,
            ids,
            deadline: OPERATIONS_DEADLINE,
            interval: LOOK_INTERVAL,
        }
    }

    /// Another limit than [`OPERATIONS_DEADLINE`], for all of them together.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Another pause between looks than [`LOOK_INTERVAL`]. Each look is a call.
    pub fn look_every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Waits until all are over, and returns them as they ended. An operation that `failed` is tried again by the platform, and is
    /// waited for.
    pub async fn done(self) -> Result<Vec<Operation>, WaitError> {
        let limit = Instant::now() + self.deadline;
        let mut over = Vec::with_capacity(self.ids.len());
        // They run one after the other, so that looking at one at a time misses nothing and costs least.
        for id in self.ids {
            over.push(loop {
                let operation = self.operations.get(id).send().await?;
                if operation.status.is_success() {
                    break operation;
                }
                if operation.status.is_over() {
                    return Err(WaitError::Ended(Box::new(operation)));
                }
                if Instant::now() + self.interval > limit {
                    return Err(WaitError::TimedOut(Box::new(operation)));
                }
                sleep(self.interval).await;
            });
        }
        Ok(over)
    }
}
