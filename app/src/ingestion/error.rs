//! How a step of ingestion ends early.

use std::time::Duration;

use crate::documents::{BlockedOn, IngestError, SystemFailure};
use crate::jobs::QueueError;
use crate::objects::ObjectStoreError;

#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("another worker claimed the document, or it is no longer to be ingested")]
    ClaimLost,
    /// Retrying does not help.
    #[error("the document cannot be ingested ({})", .0.code())]
    Permanent(IngestError),
    /// Retrying helps.
    #[error("{reason}")]
    Blocked {
        on: BlockedOn,
        reason: String,
        /// The minimum wait before a retry, if the service named one.
        retry_after: Option<Duration>,
    },
    #[error("query on the workspace's database failed")]
    TenantDatabase(#[source] sqlx::Error),
    #[error("query on the main database failed")]
    MainDatabase(#[source] sqlx::Error),
}

impl StepError {
    pub(super) fn blocked(on: BlockedOn, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Blocked {
            on,
            reason: service_kit::error_chain(error),
            retry_after: None,
        }
    }
}

impl From<IngestError> for StepError {
    fn from(error: IngestError) -> Self {
        Self::Permanent(error)
    }
}

impl From<ObjectStoreError> for StepError {
    fn from(error: ObjectStoreError) -> Self {
        match error {
            ObjectStoreError::NotFound => IngestError::System(SystemFailure::FileMissing).into(),
            error => Self::blocked(BlockedOn::Storage, &error),
        }
    }
}

impl From<QueueError> for StepError {
    fn from(error: QueueError) -> Self {
        Self::MainDatabase(match error {
            QueueError::Database(error) => error,
            error @ QueueError::Payload(_) => sqlx::Error::Encode(Box::new(error)),
        })
    }
}
