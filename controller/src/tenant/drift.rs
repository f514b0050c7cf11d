//! Differences between what Neon has and what a Tenant should have. Pure.
//!
//! A setting that the desired state leaves open never differs, and neither does one that Neon did
//! not show.

use neon_client::model::{AllowedIps, Quota};

use crate::accounts::ObservedProject;
use crate::tenant::desired::{ComputeSettings, DesiredState};

/// Whether the name or a setting of a project differs. An adopted project keeps its own name.
pub fn project_differs(
    observed: &ObservedProject,
    desired: &DesiredState,
    project_name: &str,
    adopted: bool,
) -> bool {
    let renamed = !adopted && observed.name != project_name;
    let quota = observed
        .quota
        .is_some_and(|observed| quota_differs(observed, desired.quota));
    let allowed_ips = match (&observed.allowed_ips, &desired.allowed_ips) {
        (Some(observed), Some(desired)) => {
            let desired = AllowedIps {
                ips: Some(desired.clone()),
                ..AllowedIps::default()
            };
            *observed != desired.canonical()
        }
        _ => false,
    };
    let history = observed.history_retention_seconds.is_some()
        && differs(
            observed.history_retention_seconds,
            desired.history_retention_seconds,
        );
    renamed || quota || allowed_ips || history
}

/// Whether the size or the suspend timeout of a compute differs.
pub fn compute_differs(observed: ComputeSettings, desired: ComputeSettings) -> bool {
    differs(observed.min, desired.min)
        || differs(observed.max, desired.max)
        || differs(
            observed.suspend_timeout_seconds,
            desired.suspend_timeout_seconds,
        )
}

/// Neon omits a limit of 0, which means unlimited.
fn quota_differs(observed: Quota, desired: Quota) -> bool {
    let limits = |quota: Quota| {
        [
            quota.active_time_seconds,
            quota.compute_time_seconds,
            quota.written_data_bytes,
            quota.data_transfer_bytes,
            quota.logical_size_bytes,
        ]
    };
    limits(observed)
        .into_iter()
        .zip(limits(desired))
        .any(|(observed, desired)| differs(Some(observed.unwrap_or(0)), desired))
}

fn differs<T: Copy + PartialEq>(observed: Option<T>, desired: Option<T>) -> bool {
    desired.is_some() && desired != observed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_differs_if_the_desired_state_sets_another_limit() {
        let quota = |limit| Quota {
            active_time_seconds: limit,
            ..Quota::default()
        };
        for (desired, observed, expected) in [
            (None, Some(5), false),
            (Some(0), None, false),
            (Some(0), Some(0), false),
            (Some(0), Some(5), true),
            (Some(5), None, true),
            (Some(5), Some(5), false),
            (Some(5), Some(6), true),
        ] {
            assert_eq!(
                quota_differs(quota(observed), quota(desired)),
                expected,
                "{desired:?} {observed:?}"
            );
        }
    }
}
