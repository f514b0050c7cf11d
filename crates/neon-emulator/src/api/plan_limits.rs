//! Refuses what the account's plan does not allow.

use http::StatusCode;
use neon_client::model::{
    BranchEndpoint, ComputeUnits, CreateEndpoint, CreateProject, DefaultEndpointSettings,
    ProjectSettings, UpdateEndpoint, UpdateProject,
};

use super::ApiError;
use crate::plan::{Plan, PlanViolation};

pub(super) fn project_creation(plan: Plan, request: &CreateProject) -> Result<(), PlanViolation> {
    plan.check_history(request.history_retention_seconds)?;
    plan.check_size(request.autoscaling_limit_max_cu.map(ComputeUnits::as_f64))?;
    settings(plan, request.settings.as_ref())?;
    compute_defaults(plan, request.default_endpoint_settings.as_ref())
}

pub(super) fn project_update(plan: Plan, update: &UpdateProject) -> Result<(), PlanViolation> {
    plan.check_history(update.history_retention_seconds)?;
    settings(plan, update.settings.as_ref())?;
    compute_defaults(plan, update.default_endpoint_settings.as_ref())
}

pub(super) fn compute_creation(plan: Plan, request: &CreateEndpoint) -> Result<(), PlanViolation> {
    plan.check_suspend_timeout(request.suspend_timeout_seconds)?;
    plan.check_size(request.autoscaling_limit_max_cu.map(ComputeUnits::as_f64))
}

pub(super) fn branch_compute(plan: Plan, request: &BranchEndpoint) -> Result<(), PlanViolation> {
    plan.check_suspend_timeout(request.suspend_timeout_seconds)?;
    plan.check_size(request.autoscaling_limit_max_cu.map(ComputeUnits::as_f64))
}

pub(super) fn compute_update(plan: Plan, update: &UpdateEndpoint) -> Result<(), PlanViolation> {
    plan.check_suspend_timeout(update.suspend_timeout_seconds)?;
    plan.check_size(update.autoscaling_limit_max_cu.map(ComputeUnits::as_f64))
}

fn settings(plan: Plan, settings: Option<&ProjectSettings>) -> Result<(), PlanViolation> {
    plan.check_allowed_ips(settings.is_some_and(|settings| settings.allowed_ips.is_some()))
}

fn compute_defaults(
    plan: Plan,
    defaults: Option<&DefaultEndpointSettings>,
) -> Result<(), PlanViolation> {
    let Some(defaults) = defaults else {
        return Ok(());
    };
    plan.check_suspend_timeout(defaults.suspend_timeout_seconds)?;
    plan.check_size(defaults.autoscaling_limit_max_cu.map(ComputeUnits::as_f64))
}

/// Neon answers most of these without a code.
impl From<PlanViolation> for ApiError {
    fn from(violation: PlanViolation) -> Self {
        let (status, code) = match violation {
            PlanViolation::SuspendTimeout => (StatusCode::PRECONDITION_FAILED, ""),
            PlanViolation::History { .. }
            | PlanViolation::ComputeSize { .. }
            | PlanViolation::AllowedIps => (StatusCode::BAD_REQUEST, ""),
            PlanViolation::ProtectedBranches { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "BRANCHES_PROTECTED_LIMIT_EXCEEDED",
            ),
        };
        Self::new(status, code, violation.to_string())
    }
}
