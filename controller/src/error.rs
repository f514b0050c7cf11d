//! Why a step failed: what the conditions say, and when to try again. Every error of the layers below becomes one of these,
//! in one place, so that a message is written once and never holds a secret.

use std::time::Duration;

use crds::Reason;
use neon_client::ErrorKind;
use service_kit::error_chain;

use crate::cluster::ClusterError;
use crate::tenant::desired::Issue;
use crate::tenant::status::{Component, Issue, StatusOutcome};

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this long.
    After(Duration),
    /// After a while that grows with each failure in a row.
    Backoff,
    /// When something changes; and slowly without, since limits and bills are mended outside Kubernetes.
    OnChange,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileError {
    /// The part that it was about.
    pub component: Component,
    /// Reason of the conditions.
    pub reason: Reason,
    /// What happened, and what to do.
    pub message: String,
    /// When to try again.
    pub retry: Retry,
}

impl ReconcileError {
    /// Something that passes by itself.
    pub fn passing(component: Component, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            component,
            reason,
            message: message.into(),
            retry: Retry::Backoff,
        }
    }

    /// Something that a person has to mend.
    pub fn lasting(component: Component, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            component,
            reason,
            message: message.into(),
            retry: Retry::OnChange,
        }
    }

    /// This process does not hold the Lease any more: it must not act, and what it knows is old.
    pub fn deposed(component: Component) -> Self {
        Self {
            component,
            reason: Reason::KubernetesError,
            message: "the Lease is lost; another replica goes on".to_owned(),
            retry: Retry::After(CONFLICT_RETRY),
        }
    }

    /// What Neon answered, or that it did not.
    pub fn client(component: Component, doing: &str, error: &neon_client::Error) -> Self {
        let (reason, retry) = classify(error.kind());
        Self {
            component,
            reason,
            message: format!("{doing}: {}", error_chain(error)),
            retry,
        }
    }

    /// What the Kubernetes API answered, or that it did not.
    pub fn cluster(component: Component, error: &ClusterError) -> Self {
        let retry = match error {
            ClusterError::Conflict { .. } | ClusterError::NotFound { .. } => {
                Retry::After(CONFLICT_RETRY)
            }
            // An API server that has just started refuses what it allows a second later, when it has read its roles.
            ClusterError::Refused { .. }
            | ClusterError::Exists { .. }
            | ClusterError::Unavailable { .. } => Retry::Backoff,
        };
        Self {
            component,
            reason: Reason::KubernetesError,
            message: error_chain(error),
            retry,
        }
    }

    /// The verdict on the pass; `deleting` when the Tenant is on its way out.
    pub fn outcome(&self, deleting: bool) -> StatusOutcome {
        let issue = Issue {
            component: self.component,
            reason: self.reason,
            message: self.message.clone(),
        };
        match (self.retry, deleting) {
            (Retry::OnChange, false) => StatusOutcome::Stalled(issue),
            (Retry::OnChange, true) => StatusOutcome::DeletionStalled(issue),
            (_, false) => StatusOutcome::InProgress(issue),
            (_, true) => StatusOutcome::Deleting(issue),
        }
    }
}

/// A conflict only means that the watch is a moment behind.
const CONFLICT_RETRY: Duration = Duration::from_millis(200);
/// Neon's own advice on 429 is honoured by the client; this is for what it gave up on.
const RATE_LIMITED_RETRY: Duration = Duration::from_secs(30);

/// What an error of the account's means for the whole class.
pub fn account_issue(error: &neon_client::Error) -> Issue {
    Issue {
        reason: classify(error.kind()).0,
        message: format!("the account cannot be listed: {}", error_chain(error)),
    }
}

fn classify(kind: ErrorKind) -> (Reason, Retry) {
    match kind {
        ErrorKind::Auth => (Reason::Unauthorized, Retry::OnChange),
        ErrorKind::LimitExceeded => (Reason::AccountLimit, Retry::OnChange),
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::PreconditionFailed => {
            (Reason::NeonRequestRejected, Retry::OnChange)
        }
        ErrorKind::Conflict => (Reason::NeonRequestRejected, Retry::Backoff),
        ErrorKind::Locked => (Reason::OperationsRunning, Retry::Backoff),
        ErrorKind::RateLimited { .. } => (Reason::RateLimited, Retry::After(RATE_LIMITED_RETRY)),
        _ => (Reason::AccountUnreachable, Retry::Backoff),
    }
}

#[cfg(test)]
mod tests;
