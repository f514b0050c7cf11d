//! Errors of a reconciliation: the issue to report in the status, and when to retry.
//!
//! Errors of the Neon client and of the Kubernetes API are classified here and nowhere else. No
//! message contains a secret.

use std::error::Error as StdError;
use std::time::Duration;

use crds::Reason;
use neon_client::ErrorKind;
use service_kit::error_chain;

use crate::cluster::ClusterError;
use crate::issue::{Component, Issue};

/// Wait after a rate-limited call. The client already honors `Retry-After`; this applies once it
/// has given up.
const RATE_LIMITED_RETRY: Duration = Duration::from_secs(30);

/// When to retry a failed reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    After(Duration),
    /// After a delay that doubles with each consecutive failure.
    Backoff,
    /// When something changes. The controller also retries slowly, because limits and billing
    /// change outside Kubernetes.
    OnChange,
    /// Like `OnChange`, but the controller retries after this time.
    OnChangeOrAfter(Duration),
    /// After a moment, with a newer version of the object. The status is not written, because it is
    /// outdated.
    Conflict,
    /// Not here: another replica is the leader. The status is not written.
    NotLeader,
}

impl Retry {
    /// Whether the result may be written to the object's status.
    pub fn may_write_status(self) -> bool {
        !matches!(self, Self::Conflict | Self::NotLeader)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{}", issue.message)]
pub struct ReconcileError {
    pub issue: Issue,
    pub retry: Retry,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ReconcileError {
    /// An error that may disappear without anyone's action; it is retried with backoff.
    pub fn transient(component: Component, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Issue::new(component, reason, message), Retry::Backoff, None)
    }

    /// An error that persists until someone changes the spec, the cluster or the Neon account.
    pub fn permanent(component: Component, reason: Reason, message: impl Into<String>) -> Self {
        Issue::new(component, reason, message).into()
    }

    /// The same error with another time for the retry.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// This process no longer holds the Lease, so it must not act and its caches may be outdated.
    pub fn not_leader(component: Component) -> Self {
        let message = "this replica is no longer the leader";
        Self::new(
            Issue::new(component, Reason::KubernetesError, message),
            Retry::NotLeader,
            None,
        )
    }

    /// A failed call to Neon. `action` completes "failed to ...".
    pub fn neon(component: Component, action: &str, error: neon_client::Error) -> Self {
        let (reason, retry) = classify(error.kind());
        let message = match error.kind() {
            ErrorKind::PlanLimit => {
                format!("failed to {action}: {}", plan_advice(error.message()))
            }
            _ => format!("failed to {action}"),
        };
        let issue = Issue::new(component, reason, message);
        Self::new(issue, retry, Some(error.into()))
    }

    /// A failed call to the Kubernetes API.
    pub fn cluster(component: Component, error: ClusterError) -> Self {
        let retry = match error {
            ClusterError::Conflict { .. } | ClusterError::NotFound { .. } => Retry::Conflict,
            // An API server that has just started rejects permitted calls until it has loaded its
            // roles.
            ClusterError::Rejected { .. }
            | ClusterError::Exists { .. }
            | ClusterError::Unavailable { .. } => Retry::Backoff,
        };
        let issue = Issue::new(
            component,
            Reason::KubernetesError,
            "call to the Kubernetes API failed",
        );
        Self::new(issue, retry, Some(error.into()))
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether Neon did not find what a call is about.
    pub fn is_not_found(&self) -> bool {
        let source = self.source.as_ref();
        source
            .and_then(|source| source.downcast_ref::<neon_client::Error>())
            .is_some_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// The issue for the status, with the causes in its message.
    pub fn to_issue(&self) -> Issue {
        Issue {
            message: error_chain(self),
            ..self.issue.clone()
        }
    }

    fn new(issue: Issue, retry: Retry, source: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            issue,
            retry,
            source,
        }
    }
}

/// An issue that persists until something changes.
impl From<Issue> for ReconcileError {
    fn from(issue: Issue) -> Self {
        Self::new(issue, Retry::OnChange, None)
    }
}

/// What a failed listing means for all Tenants of the account.
pub fn account_issue(error: &neon_client::Error) -> Issue {
    Issue::new(
        Component::Project,
        classify(error.kind()).0,
        format!(
            "failed to list the account's projects: {}",
            error_chain(error)
        ),
    )
}

/// What to change if the account's plan does not allow a setting, given the message of Neon.
fn plan_advice(message: &str) -> String {
    let message = message.to_ascii_lowercase();
    let field = if message.contains("suspend") {
        "remove compute.suspendTimeoutSeconds"
    } else if message.contains("history") {
        "lower or remove historyRetentionSeconds"
    } else if message.contains("ip allow") || message.contains("allowed_ips") {
        "remove allowedIPs"
    } else if message.contains("autoscaling") || message.contains("compute size") {
        "lower compute.maxCU"
    } else {
        "change the setting that Neon rejects"
    };
    format!(
        "{field} in the Tenant or in the defaults of its class, or upgrade the account's plan in Neon"
    )
}

fn classify(kind: ErrorKind) -> (Reason, Retry) {
    match kind {
        ErrorKind::Auth => (Reason::Unauthorized, Retry::OnChange),
        ErrorKind::LimitExceeded => (Reason::AccountLimit, Retry::OnChange),
        ErrorKind::PlanLimit => (Reason::PlanLimit, Retry::OnChange),
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
