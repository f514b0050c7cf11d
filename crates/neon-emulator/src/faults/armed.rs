//! The armed faults: decides which of them apply to a call or a connection.

use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::injection::{Injection, OperationFault};
use super::{ACCOUNT, ArmError, DATA_PLANE, EVERY_ROUTE, Effect, Fault};
use crate::clock::{Micros, from_millis};
use crate::rate::{MINUTE, Window, retry_after_seconds};

/// Maximum number of armed faults.
pub const MAX_FAULTS: usize = 256;

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
    pub matched: u64,
    /// How often the fault was triggered.
    pub triggered: u64,
}

impl ArmedFault {
    /// Whether the fault can still be triggered.
    fn can_trigger(&self) -> bool {
        self.fault.times.is_none_or(|times| self.triggered < times)
    }

    /// Counts a matching call, and decides whether the fault is triggered.
    fn is_due(&mut self, rng: &mut StdRng) -> bool {
        self.matched += 1;
        self.matched > self.fault.skip && rng.random_bool(self.fault.probability)
    }
}

/// The armed faults. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<ArmedFaults>>);

#[derive(Debug)]
struct ArmedFaults {
    armed: Vec<ArmedEntry>,
    next_id: u64,
    rng: StdRng,
}

/// An armed fault with the state of an account limit.
#[derive(Debug)]
struct ArmedEntry {
    fault: ArmedFault,
    /// When the first call matched.
    since: Option<Micros>,
    /// The calls that an account limit let through.
    window: Option<Window>,
}

impl ArmedEntry {
    /// The seconds until the next call can succeed, if this account limit rejects a call now.
    fn limits(&mut self, now: Micros) -> Option<u32> {
        let Effect::AccountLimited {
            per_minute,
            for_ms,
            retry_after_seconds: retry_after,
        } = self.fault.fault.effect
        else {
            return None;
        };
        let since = *self.since.get_or_insert(now);
        let remaining = for_ms.map(|ms| since.saturating_add(from_millis(ms)).saturating_sub(now));
        if remaining.is_some_and(|remaining| remaining <= 0) {
            return None;
        }
        let wait = match per_minute {
            Some(max_calls) => {
                let window = self
                    .window
                    .get_or_insert_with(|| Window::new(max_calls, MINUTE));
                let wait = window.wait(now);
                if wait == 0 {
                    window.record(now);
                    return None;
                }
                Some(remaining.map_or(wait, |remaining| remaining.min(wait)))
            }
            None => remaining,
        };
        Some(retry_after.unwrap_or_else(|| wait.map_or(RETRY_AFTER_SECONDS, retry_after_seconds)))
    }
}

impl Faults {
    /// Arms faults, with a random number generator of this seed.
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Result<Self, ArmError> {
        let state = ArmedFaults {
            armed: Vec::new(),
            next_id: 1,
            rng: StdRng::seed_from_u64(seed),
        };
        let all = Self(Arc::new(Mutex::new(state)));
        for fault in faults {
            all.arm(fault)?;
        }
        Ok(all)
    }

    /// Arms a fault and returns its ID. Returns `None` if [`MAX_FAULTS`] faults are armed, or if
    /// the fault is invalid.
    pub fn add(&self, fault: Fault) -> Option<u64> {
        self.arm(fault).ok()
    }

    /// Like [`Faults::add`], but returns the reason of a failure.
    pub(crate) fn arm(&self, fault: Fault) -> Result<u64, ArmError> {
        if let Some(invalid) = fault.validate() {
            return Err(ArmError::Invalid {
                fault: fault.to_string(),
                reason: invalid.to_string(),
            });
        }
        let mut state = self.state();
        if state.armed.len() >= MAX_FAULTS {
            return Err(ArmError::TooMany);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.armed.push(ArmedEntry {
            fault: ArmedFault {
                id,
                fault,
                matched: 0,
                triggered: 0,
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
            .map(|armed| armed.fault.clone())
            .collect()
    }

    /// Removes a fault. Returns whether it was armed.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.armed.len();
        state.armed.retain(|armed| armed.fault.id != id);
        state.armed.len() < before
    }

    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// The `Retry-After` seconds, if an account limit rejects all calls now.
    pub(crate) fn account_limited(&self, now: Micros) -> Option<u32> {
        let mut state = self.state();
        let ArmedFaults { armed, rng, .. } = &mut *state;
        let limits = armed
            .iter_mut()
            .filter(|armed| armed.fault.fault.route == ACCOUNT && armed.fault.can_trigger());
        for armed in limits {
            if !armed.fault.is_due(rng) {
                continue;
            }
            if let Some(seconds) = armed.limits(now) {
                armed.fault.triggered += 1;
                return Some(seconds);
            }
        }
        None
    }

    /// Decides which faults apply to an API call.
    pub(crate) fn for_call(&self, route: &str, project: Option<&str>) -> Injection {
        let mut injection = Injection::default();
        let mut labels = Vec::new();
        self.state().each(route, project, |fault| {
            let happens = match &fault.effect {
                Effect::Delay { ms } => {
                    injection.delay_ms += ms;
                    true
                }
                Effect::OperationFails { ms, error } => {
                    injection.operation = Some(OperationFault {
                        error: error.clone(),
                        retried_after_ms: Some(*ms),
                    });
                    true
                }
                Effect::OperationErrors { error } => {
                    injection.operation = Some(OperationFault {
                        error: error.clone(),
                        retried_after_ms: None,
                    });
                    true
                }
                Effect::Unavailable { first } => {
                    match &fault.project {
                        Some(project) => injection.unavailable.push(project.clone()),
                        None => {
                            injection.unavailable_first = injection.unavailable_first.max(*first);
                        }
                    }
                    true
                }
                Effect::SettingsIgnored => {
                    injection.ignores_settings = true;
                    true
                }
                effect if !effect.applies_to_calls() || injection.outcome.is_some() => false,
                effect => {
                    injection.outcome = Some(effect.clone());
                    true
                }
            };
            if happens {
                labels.push(format!("fault {}", fault.effect.keyword()));
            }
            happens
        });
        injection.labels = labels;
        injection
    }

    /// Decides which faults apply to a connection to a project's database.
    pub(crate) fn for_connection(&self, project: &str) -> Injection {
        let mut injection = Injection::default();
        self.state()
            .each(DATA_PLANE, Some(project), |fault| match &fault.effect {
                Effect::Delay { ms } => {
                    injection.delay_ms += ms;
                    true
                }
                effect if effect.applies_to_connections() && injection.outcome.is_none() => {
                    injection.outcome = Some(effect.clone());
                    true
                }
                _ => false,
            });
        injection
    }

    fn state(&self) -> MutexGuard<'_, ArmedFaults> {
        self.0.lock()
    }
}

impl ArmedFaults {
    /// Offers a call to each matching fault that is due. `apply` returns whether the fault was
    /// used.
    fn each(&mut self, route: &str, project: Option<&str>, mut apply: impl FnMut(&Fault) -> bool) {
        for ArmedEntry { fault: armed, .. } in &mut self.armed {
            let fault = &armed.fault;
            let of_route =
                fault.route == route || (fault.route == EVERY_ROUTE && route != DATA_PLANE);
            // A list contains many projects; for this effect the project selects an entry.
            let of_project = matches!(fault.effect, Effect::Unavailable { .. })
                || fault
                    .project
                    .as_ref()
                    .is_none_or(|expected| Some(expected.as_str()) == project);
            if !of_route || !of_project || !armed.can_trigger() {
                continue;
            }
            if armed.is_due(&mut self.rng) && apply(&armed.fault) {
                armed.triggered += 1;
            }
        }
    }
}
