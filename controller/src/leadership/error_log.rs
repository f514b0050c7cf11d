//! Limits how often a repeated error is logged.

use std::time::Duration;

use tracing::{error, info};

use super::clock::MonotonicInstant;
use super::store::StoreError;

const REPEAT_LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Logs the first of several consecutive errors, and then one per [`REPEAT_LOG_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct ErrorLogThrottle {
    last_logged: Option<MonotonicInstant>,
}

impl ErrorLogThrottle {
    pub(super) fn log(&mut self, message: &str, error: &StoreError, now: MonotonicInstant) {
        if self
            .last_logged
            .is_none_or(|last| now.saturating_sub(last) >= REPEAT_LOG_INTERVAL)
        {
            self.last_logged = Some(now);
            error!(error = %error, "{message}; retrying");
        }
    }

    /// A call succeeded.
    pub(super) fn reset(&mut self) {
        if self.last_logged.take().is_some() {
            info!("requests to the Kubernetes API succeed again");
        }
    }
}
