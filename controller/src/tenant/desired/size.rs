//! How large a tenant may be: its compute and its quota, held against Neon's own bounds and the class's limits.

use crds::{Reason, TenantClassSpec, TenantSpec};
use neon_client::model::ComputeUnits;

use super::{ComputeSettings, Quota, Issue, exceeded, invalid};

/// Smallest size of a compute, in CU.
const SMALLEST_CU: f64 = 0.25;
/// Largest size that a compute scales up to by itself, in CU ([Neon's limit]). Fixed sizes go further.
///
/// [Neon's limit]: https://neon.com/docs/introduction/autoscaling
const AUTOSCALING_CU_MAX: f64 = 16.0;
/// Largest distance between the smallest and the largest size, in CU; Neon's limit as well.
const AUTOSCALING_SPAN_CU_MAX: f64 = 8.0;

pub(super) fn compute(spec: &TenantSpec, class: &TenantClassSpec) -> Result<ComputeSettings, Issue> {
    let own = spec.compute.unwrap_or_default();
    let defaults = class.defaults.compute.unwrap_or_default();
    let limits = &class.limits;
    let min = own.min_cu.or(defaults.min_cu).or(limits.min_cu);
    // A limit stands in for a size that nobody names, as far as Neon scales from the smallest.
    let reach = (min.unwrap_or(SMALLEST_CU) + AUTOSCALING_SPAN_CU_MAX).min(AUTOSCALING_CU_MAX);
    let named = own.max_cu.or(defaults.max_cu);
    let max = named.or(limits
        .max_cu
        .map(|most| most.min(reach).max(min.unwrap_or(SMALLEST_CU))));
    if let (Some(max), Some(least)) = (max, limits.min_cu)
        && max < least
    {
        return Err(exceeded(format!(
            "compute.maxCU {max} is under what TenantClass {} allows: use {least} or more",
            spec.class_name
        )));
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(Issue::new(
            Reason::InvalidSpec,
            format!(
                "compute.minCU {min} is above compute.maxCU {max} once the class has caches_synced in what the Tenant leaves \
                 out: set both in the Tenant"
            ),
        ));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let fixed = (max - min).abs() < f64::EPSILON;
        if !fixed && (max > AUTOSCALING_CU_MAX || max - min > AUTOSCALING_SPAN_CU_MAX) {
            return Err(Issue::new(
                Reason::InvalidSpec,
                format!(
                    "compute from {min} to {max} CU, once the class has caches_synced in what the Tenant leaves out, is more than \
                     Neon scales between: use at most {AUTOSCALING_CU_MAX} CU and at most {AUTOSCALING_SPAN_CU_MAX} CU \
                     between minCU and maxCU, or set both to one size"
                ),
            ));
        }
    }
    if let (Some(min), Some(least)) = (min, limits.min_cu)
        && min < least
    {
        return Err(exceeded(format!(
            "compute.minCU {min} is under what TenantClass {} allows: use {least} or more",
            spec.class_name
        )));
    }
    if let (Some(max), Some(most)) = (max, limits.max_cu)
        && max > most
    {
        return Err(exceeded(format!(
            "compute.maxCU {max} is over what TenantClass {} allows: use {most} or less",
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
        suspend_timeout_seconds: own
            .suspend_timeout_seconds
            .or(defaults.suspend_timeout_seconds),
    })
}

pub(super) fn quota(spec: &TenantSpec, class: &TenantClassSpec) -> Result<Quota, Issue> {
    let own = spec.quota.unwrap_or_default();
    let defaults = class.defaults.quota.unwrap_or_default();
    let limits = class.limits.quota.unwrap_or_default();
    // What nobody speaks of is unlimited in a project of our own, and left alone in an adopted one.
    let unsaid = spec.adopt.is_none().then_some(0);
    let pick = |field: &str, own: Option<i64>, default: Option<i64>, limit: Option<i64>| {
        let limit = limit.filter(|limit| *limit > 0);
        let Some(value) = own.or(default).or(limit).or(unsaid) else {
            return Ok(None);
        };
        match limit {
            Some(limit) if value == 0 || value > limit => Err(exceeded(format!(
                "quota.{field} {} is over what TenantClass {} allows: use 1 to {limit}",
                if value == 0 {
                    "0 (no limit)".to_owned()
                } else {
                    value.to_string()
                },
                spec.class_name
            ))),
            _ => u64::try_from(value)
                .map(Some)
                .map_err(|error| invalid(&format!("spec.quota.{field}"), &error)),
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
