//! Faults on demand: what goes wrong, where, and when.
//!
//! A [`Fault`] names a route (the operation's name in the API, `*` for all of them, [`ACCOUNT`] or [`DATA_PLANE`]), an effect, and when
//! it comes up: after some calls, so many times, or by a die with a seed. Faults are armed through [`Faults`], by the flag
//! `--fault`, or by `POST /_emulator/faults`.

mod armed;
mod spec;
mod verdict;

use neon_client::ids::ProjectId;
use serde::{Deserialize, Serialize};

use crate::api::is_route;

pub use self::armed::{ArmedFault, FAULTS_MAX, Faults};
pub use self::spec::FaultSpecError;
pub(crate) use self::verdict::{OperationFault, Verdict};

/// The route of faults that meet connections to databases.
pub const DATA_PLANE: &str = "data-plane";

/// The route of faults that meet every call of the API.
pub const EVERY_ROUTE: &str = "*";

/// The route of faults that meet the whole account: every call of the API, before anything else.
pub const ACCOUNT: &str = "account";

/// The only call that names projects as unavailable.
const LIST_PROJECTS: &str = "listProjects";

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The operation of the API (`createProject`), `*`, `account`, or `data-plane`.
    pub route: String,
    /// What happens.
    pub effect: Effect,
    /// How many calls are let through first.
    #[serde(default)]
    pub skip: u64,
    /// How often it happens; without it, until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How likely it is for each call, between 0 and 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// Only for calls about this project, or connections to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
}

/// What of a fault can never happen. A test that waits for it would test nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("there is no operation {0}")]
    Route(String),
    #[error("its likelihood is not between 0 and 1")]
    Probability,
    #[error("all that can happen to the account is 429; the route * is every call")]
    OnAccount,
    #[error("the account is limited for all projects; it takes no project")]
    AccountsProject,
    #[error("only the account can be limited: account:429")]
    NoAccount,
    #[error("{0} happens to calls, and not to connections")]
    OnDataPlane(String),
    #[error("{0} happens to connections: the route is data-plane")]
    OnCalls(String),
    #[error("only projects of a list can be unavailable: the route is listProjects")]
    NoList,
    #[error("{0} is no status of a refusal: those are 400 to 599")]
    Status(u16),
}

/// Why a fault is not armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// [`FAULTS_MAX`] are armed.
    #[error("{FAULTS_MAX} faults are armed already; take some away")]
    TooMany,
    /// It could never happen.
    #[error("the fault {fault} can never happen: {problem}")]
    NeverHappens {
        /// The fault, in one line.
        fault: String,
        /// Why not.
        problem: String,
    },
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// The whole account is refused with 429.
    pub fn account_limited() -> Self {
        let effect = Effect::AccountLimited {
            per_minute: None,
            for_ms: None,
            retry_after_seconds: None,
        };
        Self::new(ACCOUNT, effect)
    }

    /// What of it can never happen, or not as it says.
    pub(crate) fn misfit(&self) -> Option<Misfit> {
        let is_account = self.route == ACCOUNT;
        let limits = matches!(self.effect, Effect::AccountLimited { .. });
        if !is_route(&self.route) {
            return Some(Misfit::Route(self.route.clone()));
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Some(Misfit::Probability);
        }
        match (&self.effect, self.route.as_str()) {
            _ if is_account && !limits => Some(Misfit::OnAccount),
            _ if is_account && self.project.is_some() => Some(Misfit::AccountsProject),
            _ if limits && !is_account => Some(Misfit::NoAccount),
            (effect, DATA_PLANE)
                if effect.is_of_calls() && !matches!(effect, Effect::Delay { .. }) =>
            {
                Some(Misfit::OnDataPlane(effect.word()))
            }
            (effect, route) if effect.is_of_data_plane() && route != DATA_PLANE => {
                Some(Misfit::OnCalls(effect.word()))
            }
            (Effect::Unavailable { .. }, route)
                if ![LIST_PROJECTS, EVERY_ROUTE].contains(&route) =>
            {
                Some(Misfit::NoList)
            }
            (Effect::Status { status, .. }, _) if !(400..600).contains(status) => {
                Some(Misfit::Status(*status))
            }
            _ => None,
        }
    }

    /// A fault that happens at every call of a route.
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

    /// The same, so many times only.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, after so many calls.
    #[must_use]
    pub fn skip(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// The same, with this likelihood for each call.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// The same, for one project only.
    #[must_use]
    pub fn project(mut self, project: ProjectId) -> Self {
        self.project = Some(project);
        self
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing is done; this status is answered, with the API's error body.
    Status {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// Seconds in a `Retry-After` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// The account's rate limit is used up: every call of the API, whatever it is about, is answered with 429 and `Retry-After`, and
    /// meets no other fault. Only on the route [`ACCOUNT`].
    AccountLimited {
        /// Calls that are answered all the same, in any 60 seconds. Without it, none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_minute: Option<u32>,
        /// Milliseconds until it is over, from the first call that it meets. Without it, it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
        /// Seconds in the `Retry-After` header. Without it, as many as there will be no room for; 1 where nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Nothing is done; a gateway's HTML page with status 524 is answered.
    Html524,
    /// The call goes on after this time. Other faults of the same call still happen.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The work is done, then the connection is cut without an answer.
    AnswerLost,
    /// The connection is cut without an answer, and the work is done later.
    WorkLate {
        /// Milliseconds between the cut and the work.
        ms: u64,
    },
    /// The last operation that the call starts is `failed` for a while, then is tried again with success.
    OperationFails {
        /// Milliseconds that it is `failed`.
        ms: u64,
        /// What the operation says.
        error: String,
    },
    /// The last operation that the call starts ends as `error`, for good: its work is not done.
    OperationErrors {
        /// What the operation says.
        error: String,
    },
    /// A list of projects names some of its page only as unavailable.
    Unavailable {
        /// How many of the page's projects, from its start. With a `project`, that one.
        first: usize,
    },
    /// Connections to databases are refused.
    RefuseConnections,
    /// The compute does not come up: whoever connects waits, and is refused then.
    DoesNotWake {
        /// Milliseconds that a connection waits.
        ms: u64,
    },
    /// Connections to databases are cut after so many messages of the client (those after sign-in).
    CutConnection {
        /// Messages that get through.
        after_messages: u64,
    },
}

impl Effect {
    /// The word that stands for it in a line.
    pub(crate) fn word(&self) -> String {
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
            Self::RefuseConnections => "refuse-connections",
            Self::DoesNotWake { .. } => "does-not-wake",
            Self::CutConnection { .. } => "cut-connection",
        };
        word.to_owned()
    }

    /// Whether it happens to connections, and not to calls.
    fn is_of_data_plane(&self) -> bool {
        matches!(
            self,
            Self::RefuseConnections | Self::DoesNotWake { .. } | Self::CutConnection { .. }
        )
    }

    /// Whether it happens to one call by itself.
    fn is_of_calls(&self) -> bool {
        !self.is_of_data_plane() && !matches!(self, Self::AccountLimited { .. })
    }
}

#[cfg(test)]
mod tests;
