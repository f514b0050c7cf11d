//! The desired state of a Tenant: its spec, completed with the defaults of its class and checked
//! against the class's limits. Pure.
//!
//! The steps that follow rely on [`resolve_desired`] and do not check the spec again.

mod network;
mod size;

use crds::{
    Compute, DEFAULT_DATABASE, DEFAULT_OWNER, Database, DeletionPolicy, Effective,
    OnExistingProject, Reason, TenantClassSpec, TenantSpec,
};
use neon_client::ids::{DatabaseName, ProjectId, RegionId, RoleName};
use neon_client::model::{ComputeUnits, Quota};

use crate::issue::{Component, Issue};
use network::allowed_ips;
use size::{compute, history_retention, quota};

/// Postgres major version if neither the Tenant nor its class sets one. It is Neon's default as
/// well.
const DEFAULT_POSTGRES_VERSION: i32 = 17;

/// A complete, validated desired state.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredState {
    pub class_name: String,
    /// The human-readable part of the project's name.
    pub label: String,
    pub region: RegionId,
    pub postgres_version: u16,
    pub compute: ComputeSettings,
    /// Limits per billing period. 0 is unlimited; `None` keeps the limit of an adopted project.
    pub quota: Quota,
    /// `None` leaves Neon's default.
    pub history_retention_seconds: Option<u32>,
    /// Addresses that may connect; empty allows all. `None` keeps the list of an adopted project.
    pub allowed_ips: Option<Vec<String>>,
    pub database: DatabaseName,
    /// Role that owns the database.
    pub owner: RoleName,
    pub deletion_policy: DeletionPolicy,
    /// What happens if a project of an earlier Tenant of the same namespace and name exists.
    pub on_existing_project: OnExistingProject,
    /// The project to adopt instead of creating one.
    pub adopt: Option<AdoptionSpec>,
    pub secret_name: String,
}

/// Size and suspend timeout of a compute. `None` leaves Neon's default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComputeSettings {
    pub min: Option<ComputeUnits>,
    pub max: Option<ComputeUnits>,
    /// Idle seconds before the compute suspends; 0 is Neon's default, -1 is never.
    pub suspend_timeout_seconds: Option<i64>,
}

/// An existing project to adopt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptionSpec {
    pub project: ProjectId,
    /// Whether the owner's password may be reset if Neon does not reveal it.
    pub reset_password: bool,
}

/// Namespace and name of a Tenant.
#[derive(Clone, Copy, Debug)]
pub struct TenantName<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Completes the spec from its class and validates it.
///
/// `immutable` is the configuration in effect once the project exists. Its region, Postgres version
/// and names take precedence, so later changes of the class do not apply to the Tenant.
pub fn resolve_desired(
    name: TenantName<'_>,
    spec: &TenantSpec,
    class: &TenantClassSpec,
    immutable: Option<&Effective>,
) -> Result<DesiredState, Issue> {
    let defaults = &class.defaults;
    if let Some(immutable) = immutable {
        check_unchanged(spec, immutable)?;
    }
    let region = immutable
        .map(|immutable| &immutable.region)
        .or(spec.region.as_ref())
        .or(defaults.region.as_ref());
    let region = region.ok_or_else(|| {
        Issue::new(
            Component::Project,
            Reason::InvalidSpec,
            format!(
                "no region is set: set spec.region, or spec.defaults.region of TenantClass {}",
                spec.class_name
            ),
        )
    })?;
    let postgres_version = immutable
        .map(|immutable| immutable.postgres_version)
        .or(spec.postgres_version)
        .or(defaults.postgres_version)
        .unwrap_or(DEFAULT_POSTGRES_VERSION);
    if immutable.is_none() && spec.adopt.is_none() {
        check_allowed_by_class(spec, class, region, postgres_version)?;
    }
    let named = immutable
        .map(|immutable| &immutable.database)
        .or(spec.database.as_ref());
    let (database, owner) = database_names(named, defaults.database.as_ref())?;
    let adopt = spec
        .adopt
        .as_ref()
        .map(|adopt| adoption(name, adopt, class))
        .transpose()?;
    Ok(DesiredState {
        class_name: spec.class_name.clone(),
        label: spec
            .display_name
            .clone()
            .unwrap_or_else(|| format!("{}/{}", name.namespace, name.name)),
        region: region
            .parse()
            .map_err(|error| invalid("spec.region", &error))?,
        postgres_version: u16::try_from(postgres_version).map_err(|_| {
            let problem = format!("must be a major version, such as 17 (got {postgres_version})");
            invalid("spec.postgresVersion", &problem)
        })?,
        compute: compute(spec, class)?,
        quota: quota(spec, class)?,
        history_retention_seconds: history_retention(spec, class)?,
        allowed_ips: allowed_ips(spec, class)?,
        database,
        owner,
        deletion_policy: deletion_policy(spec, Some(class), None),
        on_existing_project: class.on_existing_project,
        adopt,
        secret_name: secret_name(name.name, spec),
    })
}

/// Name of the connection Secret: from the spec, or `<tenant>-connection`.
pub fn secret_name(tenant: &str, spec: &TenantSpec) -> String {
    spec.connection_secret.as_ref().map_or_else(
        || format!("{tenant}-connection"),
        |secret| secret.name.clone(),
    )
}

/// The deletion policy. Deletion must not wait for a valid spec or for a class, so neither is
/// required; without a class, the policy last in effect applies.
pub fn deletion_policy(
    spec: &TenantSpec,
    class: Option<&TenantClassSpec>,
    in_effect: Option<DeletionPolicy>,
) -> DeletionPolicy {
    let adopted = spec.adopt.as_ref().map(|_| DeletionPolicy::Retain);
    spec.deletion_policy
        .or(adopted)
        .or_else(|| class.and_then(|class| class.deletion_policy))
        .or(if class.is_none() { in_effect } else { None })
        .unwrap_or(DeletionPolicy::Delete)
}

/// Whether the Tenant, or else its class, refuses the Tenant's deletion.
pub fn deletion_protected(spec: &TenantSpec, class: Option<&TenantClassSpec>) -> bool {
    spec.deletion_protection
        .unwrap_or_else(|| class.is_some_and(|class| class.deletion_protection))
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Issue {
    Issue::new(
        Component::Project,
        Reason::InvalidSpec,
        format!("{field}: {error}"),
    )
}

fn exceeded(message: String) -> Issue {
    Issue::new(Component::Project, Reason::ClassLimitExceeded, message)
}

/// Rejects changes of fields that cannot change once the project exists. The API server rejects
/// most such edits; this check covers the others, such as a changed region that the class's
/// defaults used to set.
fn check_unchanged(spec: &TenantSpec, immutable: &Effective) -> Result<(), Issue> {
    let changed = |field: &str, new: &str, current: &str| {
        Err(Issue::new(
            Component::Project,
            Reason::ImmutableField,
            format!(
                "{field} cannot be changed from {current} to {new}: set it to {current}, or create a new Tenant and \
                 move the data there"
            ),
        ))
    };
    match (&spec.region, spec.postgres_version) {
        (Some(region), _) if *region != immutable.region => {
            changed("spec.region", region, &immutable.region)
        }
        (_, Some(version)) if version != immutable.postgres_version => changed(
            "spec.postgresVersion",
            &version.to_string(),
            &immutable.postgres_version.to_string(),
        ),
        _ => Ok(()),
    }
}

fn check_allowed_by_class(
    spec: &TenantSpec,
    class: &TenantClassSpec,
    region: &str,
    postgres_version: i32,
) -> Result<(), Issue> {
    let class_name = &spec.class_name;
    if let Some(regions) = class
        .limits
        .regions
        .as_ref()
        .filter(|list| !list.is_empty())
        && !regions.iter().any(|one| one == region)
    {
        return Err(exceeded(format!(
            "TenantClass {class_name} does not allow region {region}: use one of {}",
            regions.join(", ")
        )));
    }
    if let Some(versions) = class
        .limits
        .postgres_versions
        .as_ref()
        .filter(|list| !list.is_empty())
        && !versions.contains(&postgres_version)
    {
        let list: Vec<String> = versions.iter().map(ToString::to_string).collect();
        return Err(exceeded(format!(
            "TenantClass {class_name} does not allow postgresVersion {postgres_version}: use one of {}",
            list.join(", ")
        )));
    }
    Ok(())
}

fn database_names(
    spec: Option<&Database>,
    defaults: Option<&Database>,
) -> Result<(DatabaseName, RoleName), Issue> {
    let pick = |field: fn(&Database) -> Option<&String>, fallback: &str| {
        spec.and_then(field)
            .or_else(|| defaults.and_then(field))
            .cloned()
            .unwrap_or_else(|| fallback.to_owned())
    };
    let database = pick(|database| database.name.as_ref(), DEFAULT_DATABASE);
    let owner = pick(|database| database.owner.as_ref(), DEFAULT_OWNER);
    Ok((
        database
            .parse()
            .map_err(|error| invalid("spec.database.name", &error))?,
        owner
            .parse()
            .map_err(|error| invalid("spec.database.owner", &error))?,
    ))
}

fn adoption(
    name: TenantName<'_>,
    adopt: &crds::Adopt,
    class: &TenantClassSpec,
) -> Result<AdoptionSpec, Issue> {
    let TenantName { namespace, name } = name;
    if !class.adoption.allows(&adopt.project_id, namespace, name) {
        return Err(Issue::new(
            Component::Project,
            Reason::AdoptionRefused,
            format!(
                "the class does not allow Tenant {namespace}/{name} to adopt project {id}: ask an administrator to add \
                 {{projectId: {id}, namespace: {namespace}}} to spec.adoption.allowed of the class",
                id = adopt.project_id
            ),
        ));
    }
    Ok(AdoptionSpec {
        project: adopt
            .project_id
            .parse()
            .map_err(|error| invalid("spec.adopt.projectId", &error))?,
        reset_password: adopt.reset_password,
    })
}

impl DesiredState {
    /// The desired state in the form of `status.effective`.
    pub fn effective(&self) -> Effective {
        let quota = &self.quota;
        let limit = |value: Option<u64>| {
            value
                .and_then(|value| i64::try_from(value).ok())
                .filter(|value| *value > 0)
        };
        Effective {
            class_name: self.class_name.clone(),
            region: self.region.to_string(),
            postgres_version: i32::from(self.postgres_version),
            compute: Compute {
                min_cu: self.compute.min.map(ComputeUnits::as_f64),
                max_cu: self.compute.max.map(ComputeUnits::as_f64),
                suspend_timeout_seconds: self.compute.suspend_timeout_seconds,
            },
            quota: crds::Quota {
                active_time_seconds: limit(quota.active_time_seconds),
                compute_time_seconds: limit(quota.compute_time_seconds),
                written_data_bytes: limit(quota.written_data_bytes),
                data_transfer_bytes: limit(quota.data_transfer_bytes),
                logical_size_bytes: limit(quota.logical_size_bytes),
            },
            history_retention_seconds: self.history_retention_seconds.map(i64::from),
            allowed_ips: self.allowed_ips.clone().unwrap_or_default(),
            database: Database {
                name: Some(self.database.to_string()),
                owner: Some(self.owner.to_string()),
            },
            deletion_policy: self.deletion_policy,
        }
    }
}

#[cfg(test)]
mod tests;
