//! The syntax of the `--fault` flag: `ROUTE:EFFECT[:KEY=VALUE]...`.
//!
//! Effects are a status (`429`, `423`, `503`, ...), `524-html`, `delay`, `answer-lost`,
//! `work-late`, `operation-fails`, `operation-errors`, `unavailable`, `settings-ignored`,
//! `refuse-connections`, `does-not-wake`, `unknown-endpoint`, `control-plane-fails` and `cut-connection`. All of them
//! accept the keys `times`, `skip`, `p` and `project`. Further keys are `retry-after` (seconds) for a status, `ms` for delays, `error` for
//! operations, `first` for `unavailable`, and `after` (messages) for `cut-connection`.
//! `account:429` rejects every call of the account and accepts `per-minute` (calls that succeed),
//! `for` (milliseconds from the first call) and `retry-after`.

use std::fmt;
use std::str::FromStr;

use super::{ACCOUNT, Effect, Fault, InvalidFault, is_route};

/// The default duration of a failed operation, in milliseconds.
const RETRIED_AFTER_MS: u64 = 1_000;
/// The default error message of a failed operation.
const ERROR: &str = "injected: the compute did not come up";

/// The only effect for the route `account`.
const ACCOUNT_EFFECT: &str = "429";

/// Why a string is not a valid fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid fault {spec:?}: {problem}; expected ROUTE:EFFECT[:KEY=VALUE]..., such as createProject:503:times=2"
)]
pub struct FaultSpecError {
    spec: String,
    problem: String,
}

/// Formats the fault in the syntax that [`FromStr`] parses.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.route, self.effect.keyword())?;
        let (mut ms, mut error, mut first, mut after) = (None, None, None, None);
        let (mut retry_after, mut per_minute, mut for_ms) = (None, None, None);
        match &self.effect {
            Effect::Status {
                retry_after_seconds,
                ..
            } => retry_after = *retry_after_seconds,
            Effect::AccountLimited {
                per_minute: calls,
                for_ms: lasts,
                retry_after_seconds,
            } => (per_minute, for_ms, retry_after) = (*calls, *lasts, *retry_after_seconds),
            Effect::Delay { ms: takes }
            | Effect::WorkLate { ms: takes }
            | Effect::DoesNotWake { ms: takes } => ms = Some(*takes),
            Effect::OperationFails {
                ms: lasts,
                error: text,
            } => (ms, error) = (Some(*lasts), Some(text)),
            Effect::OperationErrors { error: text } => error = Some(text),
            Effect::Unavailable { first: count } => first = Some(*count),
            Effect::CutConnection { after_messages } => after = Some(*after_messages),
            Effect::Html524
            | Effect::AnswerLost
            | Effect::SettingsIgnored
            | Effect::RefuseConnections
            | Effect::UnknownEndpoint
            | Effect::ControlPlaneFails => {}
        }
        key(f, "ms", ms)?;
        key(f, "error", error)?;
        key(f, "first", first)?;
        key(f, "after", after)?;
        key(f, "per-minute", per_minute)?;
        key(f, "for", for_ms)?;
        key(f, "retry-after", retry_after)?;
        key(f, "skip", (self.skip > 0).then_some(self.skip))?;
        key(f, "times", self.times)?;
        let sometimes = self.probability < 1.0;
        key(f, "p", sometimes.then_some(self.probability))?;
        key(f, "project", self.project.as_ref())
    }
}

fn key(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, ":{name}={value}"))
}

#[derive(Default)]
struct Keys {
    times: Option<u64>,
    skip: u64,
    probability: Option<f64>,
    project: Option<neon_client::ids::ProjectId>,
    retry_after: Option<u32>,
    ms: Option<u64>,
    error: Option<String>,
    first: Option<usize>,
    after: Option<u64>,
    per_minute: Option<u32>,
    for_ms: Option<u64>,
}

impl FromStr for Fault {
    type Err = FaultSpecError;

    fn from_str(spec: &str) -> Result<Self, FaultSpecError> {
        let error = |problem: String| FaultSpecError {
            spec: spec.to_owned(),
            problem,
        };
        let mut parts = spec.split(':');
        let route = parts
            .next()
            .filter(|route| !route.is_empty())
            .ok_or_else(|| error("the route is missing".into()))?;
        if !is_route(route) {
            return Err(error(format!("unknown operation {route}")));
        }
        let effect = parts
            .next()
            .ok_or_else(|| error("the effect is missing".into()))?;
        let mut keys = Keys::default();
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| error(format!("{part:?} has no =")))?;
            keys.set(key, value)
                .ok_or_else(|| error(format!("invalid key or value {part:?}")))?;
        }
        if route == ACCOUNT && effect != ACCOUNT_EFFECT {
            return Err(error(InvalidFault::AccountEffect.to_string()));
        }
        let keyword = effect;
        let effect = if route == ACCOUNT {
            keys.limit()
        } else {
            keys.effect(keyword).ok_or_else(|| {
                error(format!(
                    "unknown effect {keyword:?}, or a required key is missing"
                ))
            })?
        };
        if let Some(key) = keys.unused() {
            return Err(error(format!("{route}:{keyword} does not accept {key}")));
        }
        let fault = Self {
            route: route.to_owned(),
            effect,
            skip: keys.skip,
            times: keys.times,
            probability: keys.probability.unwrap_or(1.0),
            project: keys.project,
        };
        match fault.validate() {
            Some(invalid) => Err(error(invalid.to_string())),
            None => Ok(fault),
        }
    }
}

impl Keys {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "times" => self.times = Some(value.parse().ok()?),
            "skip" => self.skip = value.parse().ok()?,
            "p" => self.probability = Some(value.parse().ok().filter(|p| (0.0..=1.0).contains(p))?),
            "project" => self.project = Some(value.parse().ok()?),
            "retry-after" => self.retry_after = Some(value.parse().ok()?),
            "ms" => self.ms = Some(value.parse().ok()?),
            "error" => self.error = Some(value.to_owned()),
            "first" => self.first = Some(value.parse().ok()?),
            "after" => self.after = Some(value.parse().ok()?),
            "per-minute" => self.per_minute = Some(value.parse().ok()?),
            "for" => self.for_ms = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// The name of a key that the effect did not use.
    fn unused(&self) -> Option<&'static str> {
        let unused = [
            ("retry-after", self.retry_after.is_some()),
            ("ms", self.ms.is_some()),
            ("error", self.error.is_some()),
            ("first", self.first.is_some()),
            ("after", self.after.is_some()),
            ("per-minute", self.per_minute.is_some()),
            ("for", self.for_ms.is_some()),
        ];
        unused
            .into_iter()
            .find_map(|(key, is_left)| is_left.then_some(key))
    }

    fn limit(&mut self) -> Effect {
        Effect::AccountLimited {
            per_minute: self.per_minute.take(),
            for_ms: self.for_ms.take(),
            retry_after_seconds: self.retry_after.take(),
        }
    }

    fn effect(&mut self, keyword: &str) -> Option<Effect> {
        let error = || ERROR.to_owned();
        Some(match keyword {
            "524-html" => Effect::Html524,
            "delay" => Effect::Delay {
                ms: self.ms.take()?,
            },
            "answer-lost" => Effect::AnswerLost,
            "work-late" => Effect::WorkLate {
                ms: self.ms.take()?,
            },
            "operation-fails" => Effect::OperationFails {
                ms: self.ms.take().unwrap_or(RETRIED_AFTER_MS),
                error: self.error.take().unwrap_or_else(error),
            },
            "operation-errors" => Effect::OperationErrors {
                error: self.error.take().unwrap_or_else(error),
            },
            "unavailable" => Effect::Unavailable {
                first: self.first.take().unwrap_or(1),
            },
            "settings-ignored" => Effect::SettingsIgnored,
            "refuse-connections" => Effect::RefuseConnections,
            "does-not-wake" => Effect::DoesNotWake {
                ms: self.ms.take().unwrap_or(0),
            },
            "unknown-endpoint" => Effect::UnknownEndpoint,
            "control-plane-fails" => Effect::ControlPlaneFails,
            "cut-connection" => Effect::CutConnection {
                after_messages: self.after.take().unwrap_or(0),
            },
            status => Effect::Status {
                status: status
                    .parse()
                    .ok()
                    .filter(|status| (400..600).contains(status))?,
                retry_after_seconds: self.retry_after.take(),
            },
        })
    }
}
