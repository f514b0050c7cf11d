//! Compute size, suspend timeout, restore window and quota of a Tenant, checked against Neon's bounds
//! and the class's limits.

use crds::{Compute, Reason, TenantClassSpec, TenantSpec};
use neon_client::model::{ComputeUnits, Quota};

use super::{ComputeSettings, exceeded, invalid};
use crate::issue::{Component, Issue};

/// Smallest size of a compute, in CU.
const MIN_CU: f64 = 0.25;
/// Largest size that a compute autoscales to, in CU ([Neon's limit]). Fixed sizes can be larger.
///
/// [Neon's limit]: https://neon.com/docs/introduction/autoscaling
const MAX_AUTOSCALING_CU: f64 = 16.0;
/// Largest difference between the minimum and the maximum size, in CU; a limit of Neon as well.
const MAX_AUTOSCALING_SPAN_CU: f64 = 8.0;
/// Neon's default suspend timeout, which applies if the timeout is 0.
const DEFAULT_SUSPEND_TIMEOUT_SECONDS: i64 = 300;
/// The suspend timeout of a compute that is never suspended.
const NEVER_SUSPENDED: i64 = -1;
/// Neon's default restore window.
const DEFAULT_HISTORY_RETENTION_SECONDS: i64 = 86_400;

pub(super) fn compute(
    spec: &TenantSpec,
    class: &TenantClassSpec,
) -> Result<ComputeSettings, Issue> {
    let own = spec.compute.unwrap_or_default();
    let defaults = class.defaults.compute.unwrap_or_default();
    let limits = &class.limits;
    let min = own.min_cu.or(defaults.min_cu).or(limits.min_cu);
    // If neither the Tenant nor the class sets a maximum, the class's limit is used, as far as Neon
    // autoscales.
    let reachable = (min.unwrap_or(MIN_CU) + MAX_AUTOSCALING_SPAN_CU).min(MAX_AUTOSCALING_CU);
    let max = own.max_cu.or(defaults.max_cu).or(limits
        .max_cu
        .map(|limit| limit.min(reachable).max(min.unwrap_or(MIN_CU))));
    if let (Some(max), Some(limit)) = (max, limits.min_cu)
        && max < limit
    {
        return Err(exceeded(format!(
            "compute.maxCU {max} is below the minimum of TenantClass {}: use {limit} or more",
            spec.class_name
        )));
    }
    if let (Some(min), Some(max)) = (min, max) {
        if min > max {
            return Err(Issue::new(
                Component::Project,
                Reason::InvalidSpec,
                format!(
                    "compute.minCU {min} is above compute.maxCU {max} after the class's defaults are applied: set both \
                     in the Tenant"
                ),
            ));
        }
        check_autoscaling(min, max)?;
    }
    if let (Some(min), Some(limit)) = (min, limits.min_cu)
        && min < limit
    {
        return Err(exceeded(format!(
            "compute.minCU {min} is below the minimum of TenantClass {}: use {limit} or more",
            spec.class_name
        )));
    }
    if let (Some(max), Some(limit)) = (max, limits.max_cu)
        && max > limit
    {
        return Err(exceeded(format!(
            "compute.maxCU {max} is above the maximum of TenantClass {}: use {limit} or less",
            spec.class_name
        )));
    }
    let units = |field: &str, value: Option<f64>| {
        value
            .map(ComputeUnits::new)
            .transpose()
            .map_err(|error| invalid(field, &error))
    };
    Ok(ComputeSettings {
        min: units("spec.compute.minCU", min)?,
        max: units("spec.compute.maxCU", max)?,
        suspend_timeout_seconds: suspend_timeout(spec, class)?,
    })
}

fn suspend_timeout(spec: &TenantSpec, class: &TenantClassSpec) -> Result<Option<i64>, Issue> {
    let chosen = |compute: Option<Compute>| compute.and_then(|it| it.suspend_timeout_seconds);
    let chosen = chosen(spec.compute).or_else(|| chosen(class.defaults.compute));
    let (min, max) = (
        class.limits.min_suspend_timeout_seconds,
        class.limits.max_suspend_timeout_seconds,
    );
    let Some(chosen) = chosen else {
        // Neon's default, unless a limit excludes it.
        let allowed = DEFAULT_SUSPEND_TIMEOUT_SECONDS
            .min(max.unwrap_or(i64::MAX))
            .max(min.unwrap_or(0));
        return Ok((allowed != DEFAULT_SUSPEND_TIMEOUT_SECONDS).then_some(allowed));
    };
    let seconds = match chosen {
        NEVER_SUSPENDED => i64::MAX,
        0 => DEFAULT_SUSPEND_TIMEOUT_SECONDS,
        seconds => seconds,
    };
    let described = match chosen {
        NEVER_SUSPENDED => "-1 (never)".to_owned(),
        0 => format!("0 (Neon's default of {DEFAULT_SUSPEND_TIMEOUT_SECONDS})"),
        seconds => seconds.to_string(),
    };
    match (min, max) {
        (_, Some(max)) if seconds > max => Err(exceeded(format!(
            "compute.suspendTimeoutSeconds {described} is above the maximum of TenantClass {}: use {max} or less",
            spec.class_name
        ))),
        (Some(min), _) if seconds < min => Err(exceeded(format!(
            "compute.suspendTimeoutSeconds {described} is below the minimum of TenantClass {}: use {min} or more",
            spec.class_name
        ))),
        _ => Ok(Some(chosen)),
    }
}

/// The restore window in seconds; `None` leaves Neon's default.
pub(super) fn history_retention(
    spec: &TenantSpec,
    class: &TenantClassSpec,
) -> Result<Option<u32>, Issue> {
    let limit = class.limits.max_history_retention_seconds;
    let chosen = spec
        .history_retention_seconds
        .or(class.defaults.history_retention_seconds)
        .or(limit.filter(|limit| *limit < DEFAULT_HISTORY_RETENTION_SECONDS));
    if let (Some(chosen), Some(limit)) = (chosen, limit)
        && chosen > limit
    {
        return Err(exceeded(format!(
            "historyRetentionSeconds {chosen} is above the maximum of TenantClass {}: use {limit} or less",
            spec.class_name
        )));
    }
    let convert = |seconds: i64| {
        u32::try_from(seconds).map_err(|_| {
            let problem = format!("must be a number of seconds from 0 (got {seconds})");
            invalid("spec.historyRetentionSeconds", &problem)
        })
    };
    chosen.map(convert).transpose()
}

fn check_autoscaling(min: f64, max: f64) -> Result<(), Issue> {
    let fixed = (max - min).abs() < f64::EPSILON;
    if fixed || (max <= MAX_AUTOSCALING_CU && max - min <= MAX_AUTOSCALING_SPAN_CU) {
        return Ok(());
    }
    Err(Issue::new(
        Component::Project,
        Reason::InvalidSpec,
        format!(
            "Neon cannot autoscale from {min} to {max} CU (including the class's defaults): maxCU must be at most \
             {MAX_AUTOSCALING_CU} and at most {MAX_AUTOSCALING_SPAN_CU} more than minCU; for a fixed size, set both to \
             the same value"
        ),
    ))
}

pub(super) fn quota(spec: &TenantSpec, class: &TenantClassSpec) -> Result<Quota, Issue> {
    let own = spec.quota.unwrap_or_default();
    let defaults = class.defaults.quota.unwrap_or_default();
    let limits = class.limits.quota.unwrap_or_default();
    // Without any limit, the quota of a new project is unlimited, and that of an adopted project stays
    // as it is.
    let unset = spec.adopt.is_none().then_some(0);
    let pick = |field: &str, own: Option<i64>, default: Option<i64>, limit: Option<i64>| {
        let limit = limit.filter(|limit| *limit > 0);
        let Some(value) = own.or(default).or(limit).or(unset) else {
            return Ok(None);
        };
        match limit {
            Some(limit) if value == 0 || value > limit => Err(exceeded(format!(
                "quota.{field} {} is above the limit of TenantClass {}: use 1 to {limit}",
                if value == 0 {
                    "0 (unlimited)".to_owned()
                } else {
                    value.to_string()
                },
                spec.class_name
            ))),
            _ => u64::try_from(value).map(Some).map_err(|_| {
                let problem = format!("must not be negative (got {value})");
                invalid(&format!("spec.quota.{field}"), &problem)
            }),
        }
    };
    Ok(Quota {
        active_time_seconds: pick(
            "activeTimeSeconds",
            own.active_time_seconds,
            defaults.active_time_seconds,
            limits.active_time_seconds,
        )?,
        compute_time_seconds: pick(
            "computeTimeSeconds",
            own.compute_time_seconds,
            defaults.compute_time_seconds,
            limits.compute_time_seconds,
        )?,
        written_data_bytes: pick(
            "writtenDataBytes",
            own.written_data_bytes,
            defaults.written_data_bytes,
            limits.written_data_bytes,
        )?,
        data_transfer_bytes: pick(
            "dataTransferBytes",
            own.data_transfer_bytes,
            defaults.data_transfer_bytes,
            limits.data_transfer_bytes,
        )?,
        logical_size_bytes: pick(
            "logicalSizeBytes",
            own.logical_size_bytes,
            defaults.logical_size_bytes,
            limits.logical_size_bytes,
        )?,
    })
}
