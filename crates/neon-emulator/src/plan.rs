//! What the plans of Neon allow, and how the service refuses the rest.
//!
//! The limits are those of [Neon's plans]. The messages for suspend timeouts, the history and
//! protected branches are the service's own, as users published them. The service's messages for
//! compute sizes and allowed IPs are not known; those here name the setting and the limit.
//!
//! [Neon's plans]: https://neon.com/docs/introduction/plans

use std::fmt;
use std::str::FromStr;

/// A plan of a Neon account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plan {
    Free,
    Launch,
    #[default]
    Scale,
    /// The plan for platforms that create projects for their users.
    Agent,
}

/// A setting that a plan does not allow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum PlanViolation {
    #[error("modifying the suspend interval is not permitted on this account")]
    SuspendTimeout,
    #[error(
        "requested history retention seconds exceeds allowed maximum; \
         requested_history_retention_seconds:\"{requested}\", max:\"{max}\""
    )]
    History { requested: u32, max: u32 },
    #[error("autoscaling_limit_max_cu {requested} exceeds the maximum of the plan, {max}")]
    ComputeSize { requested: f64, max: f64 },
    #[error("IP Allow is not available on this account")]
    AllowedIps,
    #[error("protected branches limit exceeded, limit: {max}")]
    ProtectedBranches { max: usize },
}

/// The suspend timeouts that stand for "never" and for Neon's default.
const SUSPEND_SWITCHES: [i64; 2] = [-1, 0];

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

impl Plan {
    pub const ALL: [Self; 4] = [Self::Free, Self::Launch, Self::Scale, Self::Agent];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Launch => "launch",
            Self::Scale => "scale",
            Self::Agent => "agent",
        }
    }

    /// The plan's name in the API.
    pub(crate) const fn api_name(self) -> &'static str {
        match self {
            Self::Free => "free_v3",
            Self::Launch => "launch_v3",
            Self::Scale => "scale_v3",
            Self::Agent => "agent_v3",
        }
    }

    /// Maximum number of projects. Neon raises the 1,000 of Scale on request, so that plan is
    /// unlimited here.
    pub(crate) const fn max_projects(self) -> Option<u32> {
        match self {
            Self::Free | Self::Launch => Some(100),
            Self::Scale => None,
            Self::Agent => Some(30_000),
        }
    }

    /// The history retention of a project whose creation does not set one, in seconds.
    pub(crate) const fn default_history_seconds(self) -> u32 {
        match self {
            Self::Free => 6 * HOUR,
            Self::Launch | Self::Scale | Self::Agent => DAY,
        }
    }

    const fn max_history_seconds(self) -> u32 {
        match self {
            Self::Free => 6 * HOUR,
            Self::Launch => 7 * DAY,
            Self::Scale | Self::Agent => 30 * DAY,
        }
    }

    /// Largest compute, in CU.
    pub(crate) const fn max_cu(self) -> f64 {
        match self {
            Self::Free => 2.0,
            Self::Launch => 16.0,
            Self::Scale | Self::Agent => 56.0,
        }
    }

    const fn max_protected_branches(self) -> usize {
        match self {
            Self::Free => 0,
            Self::Launch => 2,
            Self::Scale | Self::Agent => 5,
        }
    }

    /// Maximum number of snapshots of a project.
    pub(crate) const fn max_snapshots(self) -> usize {
        match self {
            Self::Free => 1,
            Self::Launch | Self::Scale | Self::Agent => 10,
        }
    }

    /// Free refuses every suspend timeout, even the value in effect; Launch can only switch
    /// suspension off and on.
    pub(crate) fn check_suspend_timeout(self, seconds: Option<i64>) -> Result<(), PlanViolation> {
        let allowed = match (self, seconds) {
            (_, None) | (Self::Scale | Self::Agent, _) => true,
            (Self::Free, Some(_)) => false,
            (Self::Launch, Some(seconds)) => SUSPEND_SWITCHES.contains(&seconds),
        };
        allowed.then_some(()).ok_or(PlanViolation::SuspendTimeout)
    }

    pub(crate) fn check_history(self, seconds: Option<u32>) -> Result<(), PlanViolation> {
        let max = self.max_history_seconds();
        match seconds {
            Some(requested) if requested > max => Err(PlanViolation::History { requested, max }),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_size(self, max_cu: Option<f64>) -> Result<(), PlanViolation> {
        let max = self.max_cu();
        match max_cu {
            Some(requested) if requested > max => {
                Err(PlanViolation::ComputeSize { requested, max })
            }
            _ => Ok(()),
        }
    }

    /// How the service answers an empty list on Free and Launch is not known; here it is refused
    /// as well.
    pub(crate) fn check_allowed_ips(self, is_set: bool) -> Result<(), PlanViolation> {
        match self {
            Self::Free | Self::Launch if is_set => Err(PlanViolation::AllowedIps),
            _ => Ok(()),
        }
    }

    /// `existing` is the number of protected branches before the change.
    pub(crate) fn check_protected_branches(self, existing: usize) -> Result<(), PlanViolation> {
        let max = self.max_protected_branches();
        if existing < max {
            Ok(())
        } else {
            Err(PlanViolation::ProtectedBranches { max })
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a plan is not one of [`Plan::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a plan must be free, launch, scale or agent (got {0:?})")]
pub struct UnknownPlan(String);

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(name: &str) -> Result<Self, UnknownPlan> {
        Self::ALL
            .into_iter()
            .find(|plan| plan.as_str() == name)
            .ok_or_else(|| UnknownPlan(name.to_owned()))
    }
}
