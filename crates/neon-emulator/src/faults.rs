//! Fault injection: errors, delays and lost connections on demand.
//!
//! A [`Fault`] has a route (an operation ID, `*` for all operations, [`ACCOUNT`] or
//! [`DATA_PLANE`]), an effect, and conditions: a number of calls to skip, a maximum number of
//! times, or a probability with a seeded random number generator. Faults are armed by
//! [`Faults::add`], the flag `--fault`, or `POST /_emulator/faults`.

mod armed;
mod injection;
mod spec;

use neon_client::ids::ProjectId;
use serde::{Deserialize, Serialize};

use crate::operations::OPERATIONS;

pub use self::armed::{ArmedFault, Faults, MAX_FAULTS};
pub(crate) use self::injection::{Injection, OperationFault};
pub use self::spec::FaultSpecError;

/// The route of faults for database connections.
pub const DATA_PLANE: &str = "data-plane";

/// The route of faults for every API call.
pub const EVERY_ROUTE: &str = "*";

/// The route of faults for the whole account: every API call, before anything else is checked.
pub const ACCOUNT: &str = "account";

/// The operations whose settings can be ignored.
const UPDATES: [&str; 2] = ["updateProject", "updateProjectEndpoint"];

/// The only operation that lists unavailable projects.
const LIST_PROJECTS: &str = "listProjects";

/// A fault: where it applies, what it does, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The operation ID (`createProject`), `*`, `account`, or `data-plane`.
    pub route: String,
    pub effect: Effect,
    /// Number of matching calls to let through first.
    #[serde(default)]
    pub skip: u64,
    /// Maximum number of times that the fault is triggered; `None` is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Probability for each matching call, between 0 and 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// Restricts the fault to calls about this project, or to connections to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
}

/// Why a fault can never be triggered, or not as specified. Rejecting such a fault prevents tests
/// that test nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFault {
    #[error("unknown operation {0}")]
    EndpointRoute(String),
    #[error("the probability must be between 0 and 1")]
    Probability,
    #[error("the only effect for the route account is 429; use the route * for every call")]
    AccountEffect,
    #[error("the route account applies to all projects and does not accept a project")]
    AccountProject,
    #[error("an account limit requires the route account: account:429")]
    AccountLimitRoute,
    #[error("{0} applies to API calls, not to connections")]
    CallEffect(String),
    #[error("{0} applies to connections and requires the route data-plane")]
    ConnectionEffect(String),
    #[error("unavailable requires the route listProjects")]
    UnavailableRoute,
    #[error("settings-ignored requires the route updateProject or updateProjectEndpoint")]
    UpdateRoute,
    #[error("the status must be between 400 and 599 (got {0})")]
    Status(u16),
}

/// Why a fault was not armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    #[error("{MAX_FAULTS} faults are already armed; remove some first")]
    TooMany,
    #[error("invalid fault {fault}: {reason}")]
    Invalid {
        /// The fault in the syntax of the `--fault` flag.
        fault: String,
        reason: String,
    },
}

/// Whether calls or connections can match this route.
fn is_route(name: &str) -> bool {
    [EVERY_ROUTE, ACCOUNT, DATA_PLANE].contains(&name)
        || OPERATIONS.iter().any(|(_, _, known)| *known == name)
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// Every call of the account fails with 429.
    pub fn account_limited() -> Self {
        let effect = Effect::AccountLimited {
            per_minute: None,
            for_ms: None,
            retry_after_seconds: None,
        };
        Self::new(ACCOUNT, effect)
    }

    /// Why the fault can never be triggered, or not as specified.
    pub(crate) fn validate(&self) -> Option<InvalidFault> {
        let is_account = self.route == ACCOUNT;
        let limits = matches!(self.effect, Effect::AccountLimited { .. });
        if !is_route(&self.route) {
            return Some(InvalidFault::EndpointRoute(self.route.clone()));
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Some(InvalidFault::Probability);
        }
        match (&self.effect, self.route.as_str()) {
            _ if is_account && !limits => Some(InvalidFault::AccountEffect),
            _ if is_account && self.project.is_some() => Some(InvalidFault::AccountProject),
            _ if limits && !is_account => Some(InvalidFault::AccountLimitRoute),
            (effect, DATA_PLANE)
                if effect.applies_to_calls() && !matches!(effect, Effect::Delay { .. }) =>
            {
                Some(InvalidFault::CallEffect(effect.keyword()))
            }
            (effect, route) if effect.applies_to_connections() && route != DATA_PLANE => {
                Some(InvalidFault::ConnectionEffect(effect.keyword()))
            }
            (Effect::Unavailable { .. }, route)
                if ![LIST_PROJECTS, EVERY_ROUTE].contains(&route) =>
            {
                Some(InvalidFault::UnavailableRoute)
            }
            (Effect::SettingsIgnored, route)
                if !UPDATES.contains(&route) && route != EVERY_ROUTE =>
            {
                Some(InvalidFault::UpdateRoute)
            }
            (Effect::Status { status, .. }, _) if !(400..600).contains(status) => {
                Some(InvalidFault::Status(*status))
            }
            _ => None,
        }
    }

    /// A fault for every call of a route.
    pub fn new(route: impl Into<String>, effect: Effect) -> Self {
        Self {
            route: route.into(),
            effect,
            skip: 0,
            times: None,
            probability: 1.0,
            project: None,
        }
    }

    /// Triggers the fault at most this many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets this many matching calls through first.
    #[must_use]
    pub fn skip(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// Triggers the fault with this probability for each matching call.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Restricts the fault to one project.
    #[must_use]
    pub fn project(mut self, project: ProjectId) -> Self {
        self.project = Some(project);
        self
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Effect {
    /// Respond with this status and the API's error body, without processing the call.
    Status {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// Value of the `Retry-After` header, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Exhaust the account's rate limit: every API call fails with 429 and `Retry-After`, and no
    /// other fault applies to it. Only for the route [`ACCOUNT`].
    AccountLimited {
        /// Number of calls that succeed in any 60 seconds. The default is 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_minute: Option<u32>,
        /// Milliseconds until the limit ends, counted from the first matching call. By default it
        /// does not end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
        /// Value of the `Retry-After` header, in seconds. The default is the time until the next
        /// call can succeed, or 1 if that is unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Respond with a gateway's HTML page with status 524, without processing the call.
    Html524,
    /// Delay the call. Other faults still apply to it.
    Delay { ms: u64 },
    /// Process the call, then drop the connection without a response.
    AnswerLost,
    /// Drop the connection without a response, and process the call later.
    WorkLate {
        /// Milliseconds between the drop and the processing.
        ms: u64,
    },
    /// The last operation that the call schedules is `failed` for some time, and then succeeds on a
    /// retry.
    OperationFails {
        /// How long the operation is `failed`, in milliseconds.
        ms: u64,
        /// The operation's error message.
        error: String,
    },
    /// The last operation that the call schedules ends as `error`, and its work is not done.
    OperationErrors {
        /// The operation's error message.
        error: String,
    },
    /// Return only the IDs of some projects of a page, as unavailable.
    Unavailable {
        /// Number of projects at the start of the page. If the fault has a `project`, only that
        /// project is unavailable.
        first: usize,
    },
    /// Accept an update of a project or a compute without applying any setting.
    SettingsIgnored,
    /// Reject database connections.
    RefuseConnections,
    /// The compute does not start: connections wait and are then rejected.
    DoesNotWake {
        /// How long a connection waits, in milliseconds.
        ms: u64,
    },
    /// The proxy does not know the endpoint: connections fail as with a wrong password.
    UnknownEndpoint,
    /// The proxy gets an error from the control plane, which it may cache.
    ControlPlaneFails,
    /// Close a database connection after this number of messages from the authenticated client.
    CutConnection {
        /// Number of messages that are relayed.
        after_messages: u64,
    },
}

impl Effect {
    /// The keyword in the syntax of the `--fault` flag.
    pub(crate) fn keyword(&self) -> String {
        let word = match self {
            Self::Status { status, .. } => return status.to_string(),
            Self::AccountLimited { .. } => "429",
            Self::Html524 => "524-html",
            Self::Delay { .. } => "delay",
            Self::AnswerLost => "answer-lost",
            Self::WorkLate { .. } => "work-late",
            Self::OperationFails { .. } => "operation-fails",
            Self::OperationErrors { .. } => "operation-errors",
            Self::Unavailable { .. } => "unavailable",
            Self::SettingsIgnored => "settings-ignored",
            Self::RefuseConnections => "refuse-connections",
            Self::DoesNotWake { .. } => "does-not-wake",
            Self::UnknownEndpoint => "unknown-endpoint",
            Self::ControlPlaneFails => "control-plane-fails",
            Self::CutConnection { .. } => "cut-connection",
        };
        word.to_owned()
    }

    /// Whether the effect applies to connections and not to calls.
    fn applies_to_connections(&self) -> bool {
        matches!(
            self,
            Self::RefuseConnections
                | Self::DoesNotWake { .. }
                | Self::UnknownEndpoint
                | Self::ControlPlaneFails
                | Self::CutConnection { .. }
        )
    }

    /// Whether the effect applies to single calls.
    fn applies_to_calls(&self) -> bool {
        !self.applies_to_connections() && !matches!(self, Self::AccountLimited { .. })
    }
}

#[cfg(test)]
mod tests;
