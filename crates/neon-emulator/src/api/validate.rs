//! Validates requests against the limits of the Neon API.

use std::net::IpAddr;

use neon_client::ids::{DatabaseName, RegionId, RoleName};
use neon_client::model::{
    ComputeUnits, CreateProject, DefaultEndpointSettings, MAX_PROJECT_NAME_CHARS, ProjectSettings,
    UpdateEndpoint, UpdateProject,
};

use super::error::ApiError;
use crate::clock::{Micros, SECOND};
use crate::plan::Plan;
use crate::store::{BranchRow, ProjectSpec};

/// The available regions: ID, name, latitude and longitude.
pub(super) const REGIONS: &[(&str, &str, &str, &str)] = &[
    (
        "aws-us-east-1",
        "AWS US East 1 (N. Virginia)",
        "38.13",
        "-78.45",
    ),
    ("aws-us-east-2", "AWS US East 2 (Ohio)", "39.96", "-83.00"),
    (
        "aws-us-west-2",
        "AWS US West 2 (Oregon)",
        "46.15",
        "-123.88",
    ),
    (
        "aws-eu-central-1",
        "AWS Europe Central 1 (Frankfurt)",
        "50.11",
        "8.68",
    ),
    (
        "aws-eu-west-2",
        "AWS Europe West 2 (London)",
        "51.51",
        "-0.13",
    ),
    (
        "aws-ap-southeast-1",
        "AWS Asia Pacific 1 (Singapore)",
        "1.37",
        "103.80",
    ),
    (
        "aws-ap-southeast-2",
        "AWS Asia Pacific 2 (Sydney)",
        "-33.87",
        "151.21",
    ),
    (
        "aws-sa-east-1",
        "AWS South America East 1 (Sao Paulo)",
        "-23.55",
        "-46.63",
    ),
    (
        "azure-eastus2",
        "Azure East US 2 (Virginia)",
        "36.67",
        "-78.39",
    ),
    (
        "azure-westus3",
        "Azure West US 3 (Arizona)",
        "33.45",
        "-112.07",
    ),
    (
        "azure-gwc",
        "Azure Germany West Central (Frankfurt)",
        "50.11",
        "8.68",
    ),
];
pub(super) const DEFAULT_REGION: &str = "aws-us-east-2";
const DEFAULT_PG_VERSION: u16 = 18;
const PG_VERSIONS: std::ops::RangeInclusive<u16> = 14..=18;
const DEFAULT_PROVISIONER: &str = "k8s-neonvm";
const PROVISIONERS: &[&str] = &["k8s-pod", "k8s-neonvm", "serverless-platform"];
const MAX_HISTORY_SECONDS: u32 = 2_592_000;
const MIN_SUSPEND_SECONDS: i64 = 60;
const MAX_SUSPEND_SECONDS: i64 = 604_800;
/// The largest compute that autoscaling supports.
pub(super) const MAX_AUTOSCALING_CU: f64 = 16.0;
/// The largest fixed-size compute.
const MAX_FIXED_CU: f64 = 56.0;
/// Maximum difference between the autoscaling limits.
const MAX_AUTOSCALING_RANGE_CU: f64 = 8.0;
const DEFAULT_MIN_CU: ComputeUnits = ComputeUnits::from_quarters(1);
const DEFAULT_MAX_CU: ComputeUnits = ComputeUnits::from_quarters(8);
/// How far in the future a branch may expire.
const MAX_EXPIRATION: Micros = 30 * 24 * 3_600 * SECOND;
const MAX_BRANCH_NAME_CHARS: usize = 256;
const DEFAULT_BRANCH: &str = "main";
const DEFAULT_DATABASE: &str = "neondb";
const MAX_ENDPOINT_NAME_CHARS: usize = 64;
const MAX_ALLOWED_IPS: usize = 1_000;
const RESERVED_ROLES: &[&str] = &[
    "postgres",
    "public",
    "none",
    "neon_superuser",
    "cloud_admin",
    "zenith_admin",
    "web_access",
    "neon_service",
];
const RESERVED_DATABASES: &[&str] = &["postgres", "template0", "template1"];

/// A new project's specification, with all defaults applied.
pub(crate) fn project_spec(request: &CreateProject, plan: Plan) -> Result<ProjectSpec, ApiError> {
    if let Some(name) = &request.name {
        length("project.name", name, MAX_PROJECT_NAME_CHARS)?;
    }
    let region_id = region(request.region_id.as_ref())?;
    let pg_version = request.pg_version.unwrap_or(DEFAULT_PG_VERSION);
    if !PG_VERSIONS.contains(&pg_version) {
        return Err(ApiError::bad_request(
            "project.pg_version must be between 14 and 18",
        ));
    }
    let provisioner = request
        .provisioner
        .clone()
        .unwrap_or_else(|| DEFAULT_PROVISIONER.to_owned());
    if !PROVISIONERS.contains(&provisioner.as_str()) {
        return Err(ApiError::invalid(format!(
            "unknown provisioner {provisioner:?}"
        )));
    }
    let history = request
        .history_retention_seconds
        .unwrap_or(plan.default_history_seconds());
    history_retention(history)?;
    let settings = request.settings.clone().unwrap_or_default();
    project_settings(&settings)?;

    let mut defaults = request
        .default_endpoint_settings
        .clone()
        .unwrap_or_default();
    let min_cu = defaults
        .autoscaling_limit_min_cu
        .or(request.autoscaling_limit_min_cu);
    let max_cu = defaults
        .autoscaling_limit_max_cu
        .or(request.autoscaling_limit_max_cu);
    let (min_cu, max_cu) = with_default_sizes(min_cu, max_cu);
    defaults.autoscaling_limit_min_cu = Some(min_cu);
    defaults.autoscaling_limit_max_cu = Some(max_cu);
    let suspend_timeout_seconds = *defaults.suspend_timeout_seconds.get_or_insert(0);
    endpoint_defaults(&defaults)?;

    let branch = request.branch.clone().unwrap_or_default();
    let branch_name = branch.name.unwrap_or_else(|| DEFAULT_BRANCH.to_owned());
    length("project.branch.name", &branch_name, MAX_BRANCH_NAME_CHARS)?;
    let (role_name, database_name) = owner_and_database(branch.role_name, branch.database_name)?;
    Ok(ProjectSpec {
        org_id: request.org_id.clone(),
        region_id,
        pg_version,
        provisioner,
        store_passwords: request.store_passwords.unwrap_or(true),
        history_retention_seconds: history,
        settings,
        default_endpoint_settings: defaults,
        min_cu,
        max_cu,
        suspend_timeout_seconds,
        branch_name,
        role_name,
        database_name,
    })
}

pub(super) fn project_update(update: &UpdateProject) -> Result<(), ApiError> {
    if let Some(name) = &update.name {
        length("project.name", name, MAX_PROJECT_NAME_CHARS)?;
    }
    if let Some(seconds) = update.history_retention_seconds {
        history_retention(seconds)?;
    }
    update.settings.as_ref().map_or(Ok(()), project_settings)
}

/// Validates the default settings for new computes.
pub(super) fn endpoint_defaults(defaults: &DefaultEndpointSettings) -> Result<(), ApiError> {
    let (min, max) = with_default_sizes(
        defaults.autoscaling_limit_min_cu,
        defaults.autoscaling_limit_max_cu,
    );
    compute_sizes(min, max)?;
    suspend_timeout(defaults.suspend_timeout_seconds.unwrap_or(0))
}

pub(super) fn endpoint_update(update: &UpdateEndpoint) -> Result<(), ApiError> {
    if let Some(name) = &update.name {
        endpoint_name(name)?;
    }
    update
        .suspend_timeout_seconds
        .map_or(Ok(()), suspend_timeout)
}

/// Validates the autoscaling limits.
pub(super) fn compute_sizes(min: ComputeUnits, max: ComputeUnits) -> Result<(), ApiError> {
    for size in [min, max] {
        if !is_compute_size(size) {
            return Err(ApiError::invalid(format!(
                "{size} is not a valid compute size: use 0.25, 0.5, a whole number up to 16, or an even number up to 56"
            )));
        }
    }
    if min > max {
        return Err(ApiError::invalid(
            "autoscaling_limit_min_cu must not be greater than autoscaling_limit_max_cu",
        ));
    }
    let (least, most) = (min.as_f64(), max.as_f64());
    if least < most && (most > MAX_AUTOSCALING_CU || most - least > MAX_AUTOSCALING_RANGE_CU) {
        return Err(ApiError::invalid(
            "autoscaling supports at most 16 compute units and a range of at most 8",
        ));
    }
    Ok(())
}

fn is_compute_size(size: ComputeUnits) -> bool {
    let units = size.as_f64();
    let fraction = [1, 2].map(ComputeUnits::from_quarters).contains(&size);
    let whole = units.fract() == 0.0 && (1.0..=MAX_AUTOSCALING_CU).contains(&units);
    let even = units % 2.0 == 0.0 && (MAX_AUTOSCALING_CU..=MAX_FIXED_CU).contains(&units);
    fraction || whole || even
}

/// Fills in missing autoscaling limits. A default that would cross the given limit is moved to it.
pub(super) fn with_default_sizes(
    min: Option<ComputeUnits>,
    max: Option<ComputeUnits>,
) -> (ComputeUnits, ComputeUnits) {
    match (min, max) {
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, min.max(DEFAULT_MAX_CU)),
        (None, Some(max)) => (max.min(DEFAULT_MIN_CU), max),
        (None, None) => (DEFAULT_MIN_CU, DEFAULT_MAX_CU),
    }
}

fn region(requested: Option<&RegionId>) -> Result<RegionId, ApiError> {
    let name = requested.map_or(DEFAULT_REGION, RegionId::as_str);
    if !REGIONS.iter().any(|(id, ..)| *id == name) {
        let regions: Vec<_> = REGIONS.iter().map(|(id, ..)| *id).collect();
        return Err(ApiError::invalid(format!(
            "unknown region {name:?}; the regions are {}",
            regions.join(", ")
        )));
    }
    name.parse().map_err(|_| ApiError::internal())
}

fn owner_and_database(
    role: Option<RoleName>,
    database: Option<DatabaseName>,
) -> Result<(RoleName, DatabaseName), ApiError> {
    let database = match database {
        Some(database) => database,
        None => DEFAULT_DATABASE.parse().map_err(|_| ApiError::internal())?,
    };
    let role = match role {
        Some(role) => role,
        None => format!("{database}_owner").parse().map_err(|_| {
            ApiError::bad_request("project.branch.role_name is required: the database name is too long to derive a role name from it")
        })?,
    };
    database_name(&database)?;
    role_name(&role)?;
    Ok((role, database))
}

pub(super) fn database_name(name: &DatabaseName) -> Result<(), ApiError> {
    if RESERVED_DATABASES.contains(&name.as_str()) {
        return Err(ApiError::invalid(format!(
            "the database name {:?} is reserved",
            name.as_str()
        )));
    }
    Ok(())
}

pub(super) fn role_name(name: &RoleName) -> Result<(), ApiError> {
    if RESERVED_ROLES.contains(&name.as_str()) || name.as_str().starts_with("pg_") {
        return Err(ApiError::invalid(format!(
            "the role name {:?} is reserved",
            name.as_str()
        )));
    }
    Ok(())
}

pub(super) fn endpoint_name(name: &str) -> Result<(), ApiError> {
    length("endpoint.name", name, MAX_ENDPOINT_NAME_CHARS)
}

pub(super) fn branch_name(name: &str) -> Result<(), ApiError> {
    length("branch.name", name, MAX_BRANCH_NAME_CHARS)
}

/// Validates the expiration time of a branch.
pub(super) fn expiration(
    row: &BranchRow,
    has_children: bool,
    at: Option<Micros>,
    now: Micros,
) -> Result<(), ApiError> {
    let Some(at) = at else { return Ok(()) };
    if at <= now {
        return Err(ApiError::invalid("expires_at must be in the future"));
    }
    if at.saturating_sub(now) > MAX_EXPIRATION {
        return Err(ApiError::invalid(
            "expires_at must be within 30 days from now",
        ));
    }
    if row.is_default || row.protected || has_children {
        return Err(ApiError::invalid(
            "the default branch, a protected branch, and a branch with children cannot expire",
        ));
    }
    Ok(())
}

/// A branch that expires cannot have children.
pub(super) fn parent(row: &BranchRow) -> Result<(), ApiError> {
    if row.expires_at_us.is_some() {
        return Err(ApiError::invalid(
            "a branch that expires cannot have children",
        ));
    }
    Ok(())
}

/// A branch that is restored from another one becomes a child of it.
pub(super) fn restore_source(source: &BranchRow, restored: &BranchRow) -> Result<(), ApiError> {
    if source.id == restored.id {
        return Ok(());
    }
    parent(source)
}

fn length(field: &str, text: &str, max_chars: usize) -> Result<(), ApiError> {
    if (1..=max_chars).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!(
            "{field} must have between 1 and {max_chars} characters"
        )))
    }
}

fn history_retention(seconds: u32) -> Result<(), ApiError> {
    if seconds <= MAX_HISTORY_SECONDS {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!(
            "history_retention_seconds must be at most {MAX_HISTORY_SECONDS}"
        )))
    }
}

pub(super) fn suspend_timeout(seconds: i64) -> Result<(), ApiError> {
    if matches!(seconds, -1 | 0) || (MIN_SUSPEND_SECONDS..=MAX_SUSPEND_SECONDS).contains(&seconds) {
        Ok(())
    } else {
        Err(ApiError::bad_request(
            "suspend_timeout_seconds must be -1, 0, or between 60 and 604800",
        ))
    }
}

fn project_settings(settings: &ProjectSettings) -> Result<(), ApiError> {
    let Some(ips) = settings
        .allowed_ips
        .as_ref()
        .and_then(|allowed| allowed.ips.as_ref())
    else {
        return Ok(());
    };
    if ips.len() > MAX_ALLOWED_IPS {
        return Err(ApiError::invalid(format!(
            "allowed_ips may hold at most {MAX_ALLOWED_IPS} entries"
        )));
    }
    match ips.iter().find(|text| !is_network(text.trim())) {
        Some(invalid) => Err(ApiError::invalid(format!(
            "{invalid:?} is not an IP address, a CIDR block, or an address range"
        ))),
        None => Ok(()),
    }
}

fn is_network(text: &str) -> bool {
    if let Some((first, last)) = text.split_once('-') {
        return first.trim().parse::<IpAddr>().is_ok() && last.trim().parse::<IpAddr>().is_ok();
    }
    let Some((address, bits)) = text.split_once('/') else {
        return text.parse::<IpAddr>().is_ok();
    };
    let max_bits = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max_bits)
}

#[cfg(test)]
mod tests;
