//! Faults on demand: what goes wrong, where, and when.
//!
//! A [`Fault`] names a route (the operation's name in the API, `*` for all of them, or [`DATA_PLANE`]), an effect, and when
//! it comes up: after some calls, so many times, or by a die with a seed. Faults are armed through [`Faults`], by the flag
//! `--fault`, or by `POST /_emulator/faults`.

mod spec;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neon::ids::ProjectId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

pub use self::spec::FaultSpecError;

/// The route of faults that meet connections to databases.
pub const DATA_PLANE: &str = "data-plane";
/// The route of faults that meet every call of the API.
pub const EVERY_ROUTE: &str = "*";
/// Faults that can be armed at one time.
pub const FAULTS_MAX: usize = 256;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The operation of the API (`createProject`), `*`, or `data-plane`.
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

fn always() -> f64 {
    1.0
}

impl Fault {
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
    /// Whether it happens to connections, and not to calls.
    fn is_of_data_plane(&self) -> bool {
        matches!(
            self,
            Self::RefuseConnections | Self::DoesNotWake { .. } | Self::CutConnection { .. }
        )
    }
}

/// A fault that is armed, and what it has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmedFault {
    /// Its number, to take it away.
    pub id: u64,
    /// What it is.
    #[serde(flatten)]
    pub fault: Fault,
    /// Calls that it could have happened to.
    pub seen: u64,
    /// How often it happened.
    pub happened: u64,
}

/// What happens to one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Milliseconds before anything else.
    pub(crate) delay_ms: u64,
    /// What happens instead of, or after, the work. The first fault that was armed wins.
    pub(crate) outcome: Option<Effect>,
    /// What becomes of the operations that the work starts.
    pub(crate) operation: Option<OperationFault>,
    /// Projects of a page that are unavailable: by place, or by id.
    pub(crate) unavailable_first: usize,
    pub(crate) unavailable: Vec<ProjectId>,
}

/// What becomes of the last operation that a call starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationFault {
    pub(crate) error: String,
    /// Milliseconds until it is tried again with success; without it, it ends as `error`.
    pub(crate) retried_after_ms: Option<u64>,
}

/// The faults that are armed. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    armed: Vec<ArmedFault>,
    next_id: u64,
    dice: StdRng,
}

impl Faults {
    /// These faults, with dice of this seed.
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let state = State {
            armed: Vec::new(),
            next_id: 1,
            dice: StdRng::seed_from_u64(seed),
        };
        let all = Self(Arc::new(Mutex::new(state)));
        for fault in faults {
            all.add(fault);
        }
        all
    }

    /// Arms a fault and returns its number; `None` when [`FAULTS_MAX`] are armed already.
    pub fn add(&self, fault: Fault) -> Option<u64> {
        let mut state = self.state();
        if state.armed.len() >= FAULTS_MAX {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.armed.push(ArmedFault {
            id,
            fault,
            seen: 0,
            happened: 0,
        });
        Some(id)
    }

    /// What is armed, and what it has done.
    pub fn list(&self) -> Vec<ArmedFault> {
        self.state().armed.clone()
    }

    /// Takes a fault away; whether it was there.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|armed| armed.id != id);
        state.armed.len() < before
    }

    /// Takes all faults away.
    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// Rolls the dice for one call of the API.
    pub(crate) fn for_call(&self, route: &str, project: Option<&str>) -> Verdict {
        let mut verdict = Verdict::default();
        self.state()
            .each(route, project, |fault| match &fault.effect {
                Effect::Delay { ms } => {
                    verdict.delay_ms += ms;
                    true
                }
                Effect::OperationFails { ms, error } => {
                    verdict.operation = Some(OperationFault {
                        error: error.clone(),
                        retried_after_ms: Some(*ms),
                    });
                    true
                }
                Effect::OperationErrors { error } => {
                    verdict.operation = Some(OperationFault {
                        error: error.clone(),
                        retried_after_ms: None,
                    });
                    true
                }
                Effect::Unavailable { first } => {
                    match &fault.project {
                        Some(project) => verdict.unavailable.push(project.clone()),
                        None => verdict.unavailable_first = verdict.unavailable_first.max(*first),
                    }
                    true
                }
                effect if effect.is_of_data_plane() || verdict.outcome.is_some() => false,
                effect => {
                    verdict.outcome = Some(effect.clone());
                    true
                }
            });
        verdict
    }

    /// Rolls the dice for one connection to a database of this project.
    pub(crate) fn for_connection(&self, project: &str) -> Verdict {
        let mut verdict = Verdict::default();
        self.state()
            .each(DATA_PLANE, Some(project), |fault| match &fault.effect {
                Effect::Delay { ms } => {
                    verdict.delay_ms += ms;
                    true
                }
                effect if effect.is_of_data_plane() && verdict.outcome.is_none() => {
                    verdict.outcome = Some(effect.clone());
                    true
                }
                _ => false,
            });
        verdict
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Offers a call to every fault of its route whose time has come; `apply` says whether it made use of it.
    fn each(&mut self, route: &str, project: Option<&str>, mut apply: impl FnMut(&Fault) -> bool) {
        for armed in &mut self.armed {
            let fault = &armed.fault;
            let of_route =
                fault.route == route || (fault.route == EVERY_ROUTE && route != DATA_PLANE);
            // A list is about many projects: there the named one says which of them is meant.
            let of_project = matches!(fault.effect, Effect::Unavailable { .. })
                || fault
                    .project
                    .as_ref()
                    .is_none_or(|wanted| Some(wanted.as_str()) == project);
            if !of_route || !of_project || fault.times.is_some_and(|times| armed.happened >= times)
            {
                continue;
            }
            armed.seen += 1;
            let due = armed.seen > fault.skip;
            if due && self.dice.random_bool(fault.probability.clamp(0.0, 1.0)) && apply(fault) {
                armed.happened += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
