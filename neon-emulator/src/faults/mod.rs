//! Faults on demand: what goes wrong, where, and when.
//!
//! A [`Fault`] names a route (the operation's name in the API, `*` for all of them, [`ACCOUNT`] or [`DATA_PLANE`]), an effect, and when
//! it comes up: after some calls, so many times, or by a die with a seed. Faults are armed through [`Faults`], by the flag
//! `--fault`, or by `POST /_emulator/faults`.

mod spec;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neon::ids::ProjectId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

pub use self::spec::FaultSpecError;
use crate::clock::{Micros, from_millis};
use crate::rate::{MINUTE, Window, retry_after_seconds};

/// The route of faults that meet connections to databases.
pub const DATA_PLANE: &str = "data-plane";
/// The route of faults that meet every call of the API.
pub const EVERY_ROUTE: &str = "*";
/// The route of faults that meet the whole account: every call of the API, before anything else.
pub const ACCOUNT: &str = "account";
/// The status of a refusal for want of room.
const TOO_MANY_REQUESTS: u16 = 429;
/// Seconds in the `Retry-After` header of a refusal whose end nothing else says.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Faults that can be armed at one time.
pub const FAULTS_MAX: usize = 256;

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

    /// Whether the effect can come up on the route: the account can only be limited, and only the account can be.
    pub(crate) fn fits_its_route(&self) -> bool {
        (self.route == ACCOUNT) == matches!(self.effect, Effect::AccountLimited { .. })
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

impl ArmedFault {
    /// Whether it can still happen.
    fn is_left(&self) -> bool {
        self.fault.times.is_none_or(|times| self.happened < times)
    }

    /// Whether it is to happen to the next call, which is counted.
    fn is_due(&mut self, dice: &mut StdRng) -> bool {
        self.seen += 1;
        self.seen > self.fault.skip && dice.random_bool(self.fault.probability.clamp(0.0, 1.0))
    }
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
    /// What came up, in the words of a line, for people.
    pub(crate) words: Vec<String>,
}

impl Verdict {
    /// The call is one too many. `word` says why, to people.
    pub(crate) fn refused(retry_after_seconds: u32, word: &str) -> Self {
        Self {
            outcome: Some(Effect::Status {
                status: TOO_MANY_REQUESTS,
                retry_after_seconds: Some(retry_after_seconds),
            }),
            words: vec![word.to_owned()],
            ..Self::default()
        }
    }
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
    armed: Vec<Armed>,
    next_id: u64,
    dice: StdRng,
}

/// A fault with what it remembers of the calls it met.
#[derive(Debug)]
struct Armed {
    told: ArmedFault,
    /// When it met the first.
    since: Option<Micros>,
    /// The calls that it let through.
    window: Option<Window>,
}

impl Armed {
    /// How many seconds the account is refused for, if this is what it does to a call at this moment.
    fn limits(&mut self, now: Micros) -> Option<u32> {
        let Effect::AccountLimited {
            per_minute,
            for_ms,
            retry_after_seconds: told,
        } = self.told.fault.effect
        else {
            return None;
        };
        let since = *self.since.get_or_insert(now);
        let left = for_ms.map(|ms| since.saturating_add(from_millis(ms)).saturating_sub(now));
        if left.is_some_and(|left| left <= 0) {
            return None;
        }
        let wait = match per_minute {
            Some(calls_max) => {
                let window = self
                    .window
                    .get_or_insert_with(|| Window::new(calls_max, MINUTE));
                let wait = window.wait(now);
                if wait == 0 {
                    window.count(now);
                    return None;
                }
                Some(left.map_or(wait, |left| left.min(wait)))
            }
            None => left,
        };
        Some(told.unwrap_or_else(|| wait.map_or(RETRY_AFTER_SECONDS, retry_after_seconds)))
    }
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
        state.armed.push(Armed {
            told: ArmedFault {
                id,
                fault,
                seen: 0,
                happened: 0,
            },
            since: None,
            window: None,
        });
        Some(id)
    }

    /// What is armed, and what it has done.
    pub fn list(&self) -> Vec<ArmedFault> {
        self.state()
            .armed
            .iter()
            .map(|armed| armed.told.clone())
            .collect()
    }

    /// Takes a fault away; whether it was there.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|armed| armed.told.id != id);
        state.armed.len() < before
    }

    /// Takes all faults away.
    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// For how many seconds the whole account is refused at this moment, if it is.
    pub(crate) fn account_limited(&self, now: Micros) -> Option<u32> {
        let mut state = self.state();
        let State { armed, dice, .. } = &mut *state;
        let limits = armed
            .iter_mut()
            .filter(|armed| armed.told.fault.route == ACCOUNT && armed.told.is_left());
        for armed in limits {
            if !armed.told.is_due(dice) {
                continue;
            }
            if let Some(seconds) = armed.limits(now) {
                armed.told.happened += 1;
                return Some(seconds);
            }
        }
        None
    }

    /// Rolls the dice for one call of the API.
    pub(crate) fn for_call(&self, route: &str, project: Option<&str>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut words = Vec::new();
        self.state().each(route, project, |fault| {
            let happens = match &fault.effect {
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
                effect if !effect.is_of_calls() || verdict.outcome.is_some() => false,
                effect => {
                    verdict.outcome = Some(effect.clone());
                    true
                }
            };
            if happens {
                words.push(fault.effect.word());
            }
            happens
        });
        verdict.words = words;
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
        for Armed { told: armed, .. } in &mut self.armed {
            let fault = &armed.fault;
            let of_route =
                fault.route == route || (fault.route == EVERY_ROUTE && route != DATA_PLANE);
            // A list is about many projects: there the named one says which of them is meant.
            let of_project = matches!(fault.effect, Effect::Unavailable { .. })
                || fault
                    .project
                    .as_ref()
                    .is_none_or(|wanted| Some(wanted.as_str()) == project);
            if !of_route || !of_project || !armed.is_left() {
                continue;
            }
            if armed.is_due(&mut self.dice) && apply(&armed.fault) {
                armed.happened += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
