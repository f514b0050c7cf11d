//! Waiting for operations to finish.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Operations;
use crate::{Error, ids::OperationId, model::Operation};

/// Default timeout for all operations together.
pub const OPERATIONS_TIMEOUT: Duration = Duration::from_mins(5);
/// Default pause between two polls of an operation.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Error of waiting for operations.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The status of an operation could not be read.
    #[error("failed to read the status of an operation")]
    Call(#[from] Error),
    /// An operation ended with the status `error` or `cancelled`. The remaining operations were not
    /// waited for.
    #[error("operation {} ended with status {}", .0.action, .0.status)]
    Failed(Box<Operation>),
    /// An operation did not finish before the timeout.
    #[error("timed out waiting for operation {} (status {})", .0.action, .0.status)]
    TimedOut(Box<Operation>),
}

/// Request to wait for operations. See [`Operations::wait`].
#[derive(Debug)]
#[must_use = "no request is sent until `done` is awaited"]
pub struct WaitForOperations {
    operations: Operations,
    ids: Vec<OperationId>,
    timeout: Duration,
    poll_interval: Duration,
}

impl WaitForOperations {
    pub(super) fn new(operations: Operations, ids: Vec<OperationId>) -> Self {
        Self {
            operations,
            ids,
            timeout: OPERATIONS_TIMEOUT,
            poll_interval: POLL_INTERVAL,
        }
    }

    /// Overrides [`OPERATIONS_TIMEOUT`], which applies to all operations together.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Overrides [`POLL_INTERVAL`]. Each poll is one API request.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Waits until all operations have finished and returns them. Neon retries an operation with
    /// the status `failed`, so `done` keeps waiting for it.
    pub async fn done(self) -> Result<Vec<Operation>, WaitError> {
        let deadline = Instant::now() + self.timeout;
        let mut finished = Vec::with_capacity(self.ids.len());
        // Neon runs a project's operations one after the other, so polling one at a time needs the
        // fewest requests.
        for id in self.ids {
            finished.push(loop {
                let operation = self.operations.get(id).send().await?;
                if operation.status.is_success() {
                    break operation;
                }
                if operation.status.is_finished() {
                    return Err(WaitError::Failed(Box::new(operation)));
                }
                if Instant::now() + self.poll_interval > deadline {
                    return Err(WaitError::TimedOut(Box::new(operation)));
                }
                sleep(self.poll_interval).await;
            });
        }
        Ok(finished)
    }
}
