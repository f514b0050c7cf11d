//! The plan of a Neon account, and what the plans allow.
//!
//! The limits are those that Neon documents. They only serve to warn: Neon itself decides about each
//! request.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use neon_client::ErrorKind;
use neon_client::model::{CurrentUser, Organization};

/// Time between two calls that read the plan of an account.
const PLAN_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Maximum time for reading a plan. The account's rate limiter lets other calls go first.
pub(super) const PLAN_TIMEOUT: Duration = Duration::from_secs(10);

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The plan of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPlan {
    /// The plan's name without its version, such as `free`.
    pub name: String,
    /// Maximum number of projects; `None` if unlimited or not known.
    pub projects_allowed: Option<i64>,
}

/// What is known about the plan of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlanReading {
    /// The plan has not been read yet.
    #[default]
    Pending,
    /// The API key may not read the plan.
    Unavailable,
    Known(AccountPlan),
}

/// The suspend timeouts that a plan allows. Neon rejects others even if they are in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SuspendTimeouts {
    /// None can be set.
    Fixed,
    /// Only Neon's default (0) and never (-1).
    Switch,
    Any,
}

/// What a plan allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanLimits {
    name: &'static str,
    projects: i64,
    /// Largest compute, in CU.
    pub max_cu: f64,
    pub max_history_retention_seconds: i64,
    pub allows_ip_lists: bool,
    suspend_timeouts: SuspendTimeouts,
}

const PLANS: [PlanLimits; 4] = [
    PlanLimits {
        name: "free",
        projects: 100,
        max_cu: 2.0,
        max_history_retention_seconds: 6 * HOUR,
        allows_ip_lists: false,
        suspend_timeouts: SuspendTimeouts::Fixed,
    },
    PlanLimits {
        name: "launch",
        projects: 100,
        max_cu: 16.0,
        max_history_retention_seconds: 7 * DAY,
        allows_ip_lists: false,
        suspend_timeouts: SuspendTimeouts::Switch,
    },
    PlanLimits {
        name: "scale",
        projects: 1_000,
        max_cu: 56.0,
        max_history_retention_seconds: 30 * DAY,
        allows_ip_lists: true,
        suspend_timeouts: SuspendTimeouts::Any,
    },
    PlanLimits {
        name: "agent",
        projects: 30_000,
        max_cu: 56.0,
        max_history_retention_seconds: 30 * DAY,
        allows_ip_lists: true,
        suspend_timeouts: SuspendTimeouts::Any,
    },
];

impl PlanLimits {
    /// The limits of the plan with this name; `None` for a plan that is not known.
    pub fn of(plan: &str) -> Option<&'static Self> {
        PLANS.iter().find(|limits| limits.name == plan)
    }

    pub fn allows_suspend_timeout(&self, seconds: i64) -> bool {
        match self.suspend_timeouts {
            SuspendTimeouts::Fixed => false,
            SuspendTimeouts::Switch => matches!(seconds, -1 | 0),
            SuspendTimeouts::Any => true,
        }
    }
}

impl AccountPlan {
    /// `None` if the API does not tell the plan.
    pub(super) fn of_organization(organization: &Organization) -> Option<Self> {
        Self::named(&organization.plan)
    }

    /// `None` if the API does not tell the plan.
    pub(super) fn of_user(user: &CurrentUser) -> Option<Self> {
        let plan = Self::named(&user.plan)?;
        Some(Self {
            projects_allowed: match user.projects_limit {
                // The API does not tell the limit.
                0 => plan.projects_allowed,
                limit => Some(limit).filter(|limit| *limit > 0),
            },
            ..plan
        })
    }

    fn named(name: &str) -> Option<Self> {
        let name = without_version(name);
        (!name.is_empty()).then(|| Self {
            projects_allowed: PlanLimits::of(name).map(|limits| limits.projects),
            name: name.to_owned(),
        })
    }
}

/// Neon appends a version to the names of its plans, such as `free_v3`.
fn without_version(name: &str) -> &str {
    match name.rsplit_once("_v") {
        Some((plan, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => plan,
        _ => name,
    }
}

/// The plan as it was last read, and when.
#[derive(Debug, Default)]
pub(super) struct PlanCache {
    pub(super) reading: PlanReading,
    read_at: Option<Timestamp>,
}

impl PlanCache {
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.read_at
            .is_none_or(|read_at| now < read_at || now.duration_since(read_at) >= PLAN_INTERVAL)
    }

    /// Records the result of a call. After an error that may pass, the next listing is followed by
    /// another call.
    pub(super) fn record(
        &mut self,
        result: Result<Option<AccountPlan>, ErrorKind>,
        now: Timestamp,
    ) {
        self.reading = match result {
            Ok(Some(plan)) => PlanReading::Known(plan),
            Ok(None) => PlanReading::Unavailable,
            Err(kind) if is_refusal(kind) => PlanReading::Unavailable,
            Err(_) => return,
        };
        self.read_at = Some(now);
    }
}

/// Whether the API key may not read the plan, such as the key of a single project.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Auth | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::InvalidResponse
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(plan: &str, projects_limit: i64) -> CurrentUser {
        serde_json::from_value(serde_json::json!({
            "id": "user-1", "email": "a@b.c", "plan": plan, "projects_limit": projects_limit,
        }))
        .unwrap()
    }

    #[test]
    fn the_name_and_the_number_of_projects_come_from_the_api_or_from_the_plan() {
        for (plan, limit, expected) in [
            ("free_v3", 100, Some(("free", Some(100)))),
            ("free_v3", 0, Some(("free", Some(100)))),
            ("scale", 5_000, Some(("scale", Some(5_000)))),
            ("scale_v3", -1, Some(("scale", None))),
            ("business_plan_v2", 0, Some(("business_plan", None))),
            ("pro_vip", 7, Some(("pro_vip", Some(7)))),
            ("", 100, None),
        ] {
            let read = AccountPlan::of_user(&user(plan, limit));
            let read = read.map(|plan| (plan.name, plan.projects_allowed));
            let expected = expected.map(|(name, allowed)| (name.to_owned(), allowed));
            assert_eq!(read, expected, "{plan} {limit}");
        }
    }

    #[test]
    fn the_plan_is_read_once_per_interval_and_again_after_an_error_that_may_pass() {
        let plan = AccountPlan::named("free_v3");
        let hour = PLAN_INTERVAL.as_secs();
        let mut cache = PlanCache::default();
        assert!(cache.is_due(at(0)));
        cache.record(Err(ErrorKind::Timeout), at(0));
        assert_eq!(cache.reading, PlanReading::Pending);
        assert!(cache.is_due(at(1)));
        cache.record(Ok(plan.clone()), at(1));
        assert!(!cache.is_due(at(hour)));
        assert!(cache.is_due(at(hour + 1)));
        // The clock went back.
        assert!(cache.is_due(at(0)));
        cache.record(Err(ErrorKind::Timeout), at(hour + 1));
        assert_eq!(cache.reading, PlanReading::Known(plan.unwrap()));
        cache.record(Err(ErrorKind::Auth), at(hour + 1));
        assert_eq!(cache.reading, PlanReading::Unavailable);
        assert!(!cache.is_due(at(hour + 2)));
    }
}
