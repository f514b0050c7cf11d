//! Differences between what Neon has and what a Tenant should have. Pure.
//!
//! A setting that the desired state leaves open never differs, and neither does one that Neon did
//! not show.

use neon_client::model::{
    AllowedIps, DefaultEndpointSettings, ProjectSettings, Quota, UpdateProject,
};

use crate::accounts::ObservedProject;
use crate::tenant::desired::{ComputeSettings, DesiredState};

/// What a suspend timeout of 0 means, in seconds.
const DEFAULT_SUSPEND_TIMEOUT_S: i64 = 300;

/// Whether the name or a setting of a project differs. An adopted project keeps its own name.
pub fn project_differs(
    observed: &ObservedProject,
    desired: &DesiredState,
    project_name: &str,
    adopted: bool,
) -> bool {
    project_changes(Some(observed), desired, project_name, adopted) != UpdateProject::default()
}

/// The changes that bring a project to its desired settings. `observed` is `None` if the listing
/// does not show the project; then the changes contain every setting that the desired state sets.
pub fn project_changes(
    observed: Option<&ObservedProject>,
    desired: &DesiredState,
    project_name: &str,
    adopted: bool,
) -> UpdateProject {
    let Some(observed) = observed else {
        return UpdateProject {
            name: (!adopted).then(|| project_name.to_owned()),
            settings: creation_settings(desired),
            history_retention_seconds: desired.history_retention_seconds,
            default_endpoint_settings: compute_defaults(desired.compute),
        };
    };
    let renamed = !adopted && observed.name != project_name;
    let quota = observed
        .quota
        .and_then(|observed| quota_changes(observed, desired.quota));
    let allowed_ips = desired.allowed_ips.as_deref().map(allowed_ips);
    let allowed_ips = allowed_ips.filter(|desired| {
        let observed = observed.allowed_ips.as_ref();
        observed.is_some_and(|observed| *observed != desired.canonical())
    });
    let history = desired.history_retention_seconds.filter(|_| {
        observed.history_retention_seconds.is_some()
            && differs(
                observed.history_retention_seconds,
                desired.history_retention_seconds,
            )
    });
    UpdateProject {
        name: renamed.then(|| project_name.to_owned()),
        settings: non_empty(ProjectSettings {
            quota,
            allowed_ips,
            ..ProjectSettings::default()
        }),
        history_retention_seconds: history,
        default_endpoint_settings: compute_default_changes(observed, desired),
    }
}

/// Whether a listed project's defaults for new computes differ. The controller sets them together
/// with the settings of the Tenant's compute, which a listing does not show.
pub fn compute_defaults_differ(observed: &ObservedProject, desired: &DesiredState) -> bool {
    compute_default_changes(observed, desired).is_some()
}

fn compute_default_changes(
    observed: &ObservedProject,
    desired: &DesiredState,
) -> Option<DefaultEndpointSettings> {
    let defaults = observed.compute_defaults.as_ref()?;
    let observed = ComputeSettings {
        min: defaults.autoscaling_limit_min_cu,
        max: defaults.autoscaling_limit_max_cu,
        suspend_timeout_seconds: defaults.suspend_timeout_seconds,
    };
    compute_defaults(compute_changes(Some(observed), desired.compute))
}

/// These settings as the defaults of computes that will be created in the project; `None` if there
/// are none.
pub fn compute_defaults(settings: ComputeSettings) -> Option<DefaultEndpointSettings> {
    (settings != ComputeSettings::default()).then(|| DefaultEndpointSettings {
        autoscaling_limit_min_cu: settings.min,
        autoscaling_limit_max_cu: settings.max,
        suspend_timeout_seconds: settings.suspend_timeout_seconds,
        ..DefaultEndpointSettings::default()
    })
}

/// The settings that a new project needs; `None` if Neon's defaults are the desired ones.
pub fn creation_settings(desired: &DesiredState) -> Option<ProjectSettings> {
    let ips = desired.allowed_ips.as_deref().unwrap_or_default();
    non_empty(ProjectSettings {
        quota: quota_changes(Quota::default(), desired.quota),
        allowed_ips: (!ips.is_empty()).then(|| allowed_ips(ips)),
        ..ProjectSettings::default()
    })
}

fn non_empty(settings: ProjectSettings) -> Option<ProjectSettings> {
    (settings != ProjectSettings::default()).then_some(settings)
}

fn allowed_ips(ips: &[String]) -> AllowedIps {
    AllowedIps {
        ips: Some(ips.to_vec()),
        protected_branches_only: Some(false),
    }
}

/// The desired settings that a compute does not have. `observed` is `None` if the compute is not
/// known; then these are all.
pub fn compute_changes(
    observed: Option<ComputeSettings>,
    desired: ComputeSettings,
) -> ComputeSettings {
    let Some(observed) = observed else {
        return desired;
    };
    // Neon checks the two sizes against each other, so they are sent together.
    let resized = differs(observed.min, desired.min) || differs(observed.max, desired.max);
    ComputeSettings {
        min: desired.min.filter(|_| resized),
        max: desired.max.filter(|_| resized),
        suspend_timeout_seconds: desired
            .suspend_timeout_seconds
            .filter(|_| differs(suspend_timeout(observed), suspend_timeout(desired))),
    }
}

/// Whether the size or the suspend timeout of a compute differs.
pub fn compute_differs(observed: ComputeSettings, desired: ComputeSettings) -> bool {
    compute_changes(Some(observed), desired) != ComputeSettings::default()
}

/// The suspend timeout, with Neon's default in seconds.
fn suspend_timeout(settings: ComputeSettings) -> Option<i64> {
    settings
        .suspend_timeout_seconds
        .map(|seconds| match seconds {
            0 => DEFAULT_SUSPEND_TIMEOUT_S,
            seconds => seconds,
        })
}

/// The limits to send if one differs: all that are set, and 0 for those to remove. Neon omits a
/// limit of 0, which means unlimited.
fn quota_changes(observed: Quota, desired: Quota) -> Option<Quota> {
    let limits = |quota: Quota| {
        [
            quota.active_time_seconds,
            quota.compute_time_seconds,
            quota.written_data_bytes,
            quota.data_transfer_bytes,
            quota.logical_size_bytes,
        ]
    };
    let mut pairs = limits(observed).into_iter().zip(limits(desired));
    let differs = pairs.any(|(observed, desired)| differs(Some(observed.unwrap_or(0)), desired));
    let send = |observed: Option<u64>, desired: Option<u64>| {
        desired.filter(|desired| *desired > 0 || observed.unwrap_or(0) > 0)
    };
    differs.then(|| Quota {
        active_time_seconds: send(observed.active_time_seconds, desired.active_time_seconds),
        compute_time_seconds: send(observed.compute_time_seconds, desired.compute_time_seconds),
        written_data_bytes: send(observed.written_data_bytes, desired.written_data_bytes),
        data_transfer_bytes: send(observed.data_transfer_bytes, desired.data_transfer_bytes),
        logical_size_bytes: send(observed.logical_size_bytes, desired.logical_size_bytes),
    })
}

fn differs<T: Copy + PartialEq>(observed: Option<T>, desired: Option<T>) -> bool {
    desired.is_some() && desired != observed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_contains_the_limits_that_are_set_or_removed() {
        let observed = Quota {
            active_time_seconds: Some(5),
            ..Quota::default()
        };
        let desired = Quota {
            active_time_seconds: Some(0),
            compute_time_seconds: Some(0),
            logical_size_bytes: Some(7),
            ..Quota::default()
        };
        let expected = Quota {
            active_time_seconds: Some(0),
            logical_size_bytes: Some(7),
            ..Quota::default()
        };
        assert_eq!(quota_changes(observed, desired), Some(expected));
    }

    #[test]
    fn both_sizes_of_a_compute_are_sent_if_one_differs() {
        let settings = |min: u16, max: u16, suspend| ComputeSettings {
            min: Some(neon_client::model::ComputeUnits::from_quarters(min)),
            max: Some(neon_client::model::ComputeUnits::from_quarters(max)),
            suspend_timeout_seconds: suspend,
        };
        let observed = settings(1, 4, Some(300));
        assert_eq!(
            compute_changes(Some(observed), settings(1, 8, Some(300))),
            settings(1, 8, None)
        );
        assert_eq!(
            compute_changes(Some(observed), settings(1, 4, Some(60))),
            ComputeSettings {
                suspend_timeout_seconds: Some(60),
                ..ComputeSettings::default()
            }
        );
        let desired = settings(1, 4, None);
        assert_eq!(compute_changes(None, desired), desired);
    }

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
                quota_changes(quota(observed), quota(desired)).is_some(),
                expected,
                "{desired:?} {observed:?}"
            );
        }
    }
}
