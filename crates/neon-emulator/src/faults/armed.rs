//! The armed faults: decides which of them apply to a call or a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::verdict::{OperationFault, Verdict};
use super::{ACCOUNT, ArmError, DATA_PLANE, EVERY_ROUTE, Effect, Fault};
use crate::clock::{Micros, from_millis};
use crate::rate::{MINUTE, Window, retry_after_seconds};

/// Maximum number of armed faults.
pub const FAULTS_MAX: usize = 256;

/// The `Retry-After` value of an account limit with an unknown end.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An armed fault with its statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmedFault {
    /// The ID, which [`Faults::remove`] accepts.
    pub id: u64,
    #[serde(flatten)]
    pub fault: Fault,
    /// Number of matching calls so far.
    pub seen: u64,
    /// How often the fault was triggered.
    pub happened: u64,
}

impl ArmedFault {
    /// Whether the fault can still be triggered.
    fn is_left(&self) -> bool {
        self.fault.times.is_none_or(|times| self.happened < times)
    }

    /// Counts a matching call, and decides whether the fault is triggered.
    fn is_due(&mut self, dice: &mut StdRng) -> bool {
        self.seen += 1;
        self.seen > self.fault.skip && dice.random_bool(self.fault.probability)
    }
}

/// The armed faults. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    armed: Vec<Armed>,
    next_id: u64,
    dice: StdRng,
}

/// An armed fault with the state of an account limit.
#[derive(Debug)]
struct Armed {
    told: ArmedFault,
    /// When the first call matched.
    since: Option<Micros>,
    /// The calls that an account limit let through.
    window: Option<Window>,
}

impl Armed {
    /// The seconds until the next call can succeed, if this account limit rejects a call now.
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
    /// Arms faults, with a random number generator of this seed.
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Result<Self, ArmError> {
        let state = State {
            armed: Vec::new(),
            next_id: 1,
            dice: StdRng::seed_from_u64(seed),
        };
        let all = Self(Arc::new(Mutex::new(state)));
        for fault in faults {
            all.arm(fault)?;
        }
        Ok(all)
    }

    /// Arms a fault and returns its ID. Returns `None` if [`FAULTS_MAX`] faults are armed, or if
    /// the fault is invalid.
    pub fn add(&self, fault: Fault) -> Option<u64> {
        self.arm(fault).ok()
    }

    /// Like [`Faults::add`], but returns the reason of a failure.
    pub(crate) fn arm(&self, fault: Fault) -> Result<u64, ArmError> {
        if let Some(misfit) = fault.misfit() {
            return Err(ArmError::NeverHappens {
                fault: fault.to_string(),
                problem: misfit.to_string(),
            });
        }
        let mut state = self.state();
        if state.armed.len() >= FAULTS_MAX {
            return Err(ArmError::TooMany);
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
        Ok(id)
    }

    /// All armed faults with their statistics.
    pub fn list(&self) -> Vec<ArmedFault> {
        self.state()
            .armed
            .iter()
            .map(|armed| armed.told.clone())
            .collect()
    }

    /// Removes a fault. Returns whether it was armed.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|armed| armed.told.id != id);
        state.armed.len() < before
    }

    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// The `Retry-After` seconds, if an account limit rejects all calls now.
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

    /// Decides which faults apply to an API call.
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
                words.push(format!("fault {}", fault.effect.word()));
            }
            happens
        });
        verdict.words = words;
        verdict
    }

    /// Decides which faults apply to a connection to a project's database.
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
    /// Offers a call to each matching fault that is due. `apply` returns whether the fault was
    /// used.
    fn each(&mut self, route: &str, project: Option<&str>, mut apply: impl FnMut(&Fault) -> bool) {
        for Armed { told: armed, .. } in &mut self.armed {
            let fault = &armed.fault;
            let of_route =
                fault.route == route || (fault.route == EVERY_ROUTE && route != DATA_PLANE);
            // A list contains many projects; for this effect the project selects an entry.
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
