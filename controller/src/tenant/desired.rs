//! What a Tenant is to be, complete and checked: its spec, filled up from its class and held against the class's limits.
//!
//! Pure. Whatever gets past [`validate`] needs no second look by the steps after it.

mod size;

use crds::{
    Compute, DEFAULT_DATABASE, DEFAULT_OWNER, Database, DeletionPolicy, Effective, Quota, Reason,
    TenantClassSpec, TenantSpec,
};
use neon_client::ids::{DatabaseName, ProjectId, RegionId, RoleName};
use neon_client::model::ComputeUnits;

use size::{compute, quota};

/// Postgres major version when neither Tenant nor class names one; Neon's own default.
const DEFAULT_POSTGRES_VERSION: i32 = 17;

/// A complete, checked wish.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredState {
    /// The class it was made with.
    pub class_name: String,
    /// The part of the project's name that is for people.
    pub label: String,
    /// Region of the project.
    pub region: RegionId,
    /// Postgres major version.
    pub postgres_version: u16,
    /// Size and sleep of the compute; `None` leaves Neon's own default.
    pub compute: ComputeSettings,
    /// Limits of use; 0 is no limit.
    pub quota: Quota,
    /// Seconds of history; `None` leaves Neon's own default.
    pub history_retention_seconds: Option<u32>,
    /// Who may connect; empty: anybody. `None` leaves what an adopted project has.
    pub allowed_ips: Option<Vec<String>>,
    /// Name of the database.
    pub database: DatabaseName,
    /// Role that owns it.
    pub owner: RoleName,
    /// What becomes of the project when the Tenant goes.
    pub deletion_policy: DeletionPolicy,
    /// The project to take over, instead of creating one.
    pub adopt: Option<AdoptionSpec>,
    /// Name of the Secret.
    pub secret_name: String,
}

/// Size and sleep of the compute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComputeSettings {
    /// Smallest size.
    pub min: Option<ComputeUnits>,
    /// Largest size.
    pub max: Option<ComputeUnits>,
    /// Seconds without a query until it sleeps; 0 for Neon's default, -1 for never.
    pub suspend_timeout_seconds: Option<i64>,
}

/// Limits of use in a billing period; 0 is no limit, `None` leaves what an adopted project has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Seconds that a compute may be awake.
    pub active_time_seconds: Option<u64>,
    /// CPU seconds.
    pub compute_time_seconds: Option<u64>,
    /// Bytes written.
    pub written_data_bytes: Option<u64>,
    /// Bytes sent out.
    pub data_transfer_bytes: Option<u64>,
    /// Bytes of a branch's logical size.
    pub logical_size_bytes: Option<u64>,
}

impl Quota {
    /// Whether a limit that the wish names is another in Neon.
    pub fn differs_from(&self, seen: &Self) -> bool {
        let other = |wished: Option<u64>, seen: Option<u64>| {
            wished.is_some_and(|wished| wished != seen.unwrap_or(0))
        };
        other(self.active_time_seconds, seen.active_time_seconds)
            || other(self.compute_time_seconds, seen.compute_time_seconds)
            || other(self.written_data_bytes, seen.written_data_bytes)
            || other(self.data_transfer_bytes, seen.data_transfer_bytes)
            || other(self.logical_size_bytes, seen.logical_size_bytes)
    }
}

/// A project to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptionSpec {
    /// Its id.
    pub project: ProjectId,
    /// Whether its owner's password may be reset when Neon does not reveal it.
    pub reset_password: bool,
}

/// A wish that cannot be granted, and why, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Reason of the condition.
    pub reason: Reason,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Issue {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Fills the spec up from the class and checks it. `settled` is what is in effect once the project exists: its region,
/// version and names stay, whatever becomes of the class's defaults and choices.
pub fn validate(
    name: TenantName<'_>,
    spec: &TenantSpec,
    class: &TenantClassSpec,
    settled: Option<&Effective>,
) -> Result<DesiredState, Issue> {
    let defaults = &class.defaults;
    if let Some(settled) = settled {
        unchanged(spec, settled)?;
    }
    let region = settled
        .map(|settled| &settled.region)
        .or(spec.region.as_ref())
        .or(defaults.region.as_ref());
    let region = region.ok_or_else(|| {
        Issue::new(
            Reason::InvalidSpec,
            format!(
                "no region is given: set spec.region, or spec.defaults.region of TenantClass {}",
                spec.class_name
            ),
        )
    })?;
    let postgres_version = settled
        .map(|settled| settled.postgres_version)
        .or(spec.postgres_version)
        .or(defaults.postgres_version)
        .unwrap_or(DEFAULT_POSTGRES_VERSION);
    if settled.is_none() && spec.adopt.is_none() {
        within_choices(spec, class, region, postgres_version)?;
    }
    let named = settled
        .map(|settled| &settled.database)
        .or(spec.database.as_ref());
    let (database, owner) = names(named, defaults.database.as_ref())?;
    let adopt = spec
        .adopt
        .as_ref()
        .map(|adopt| adoption(adopt, class))
        .transpose()?;
    let history = spec
        .history_retention_seconds
        .or(defaults.history_retention_seconds);
    Ok(DesiredState {
        class_name: spec.class_name.clone(),
        label: spec
            .display_name
            .clone()
            .unwrap_or_else(|| format!("{}/{}", name.namespace, name.name)),
        region: region
            .parse()
            .map_err(|error| invalid("spec.region", &error))?,
        postgres_version: u16::try_from(postgres_version)
            .map_err(|error| invalid("spec.postgresVersion", &error))?,
        compute: compute(spec, class)?,
        quota: quota(spec, class)?,
        history_retention_seconds: history
            .map(u32::try_from)
            .transpose()
            .map_err(|error| invalid("spec.historyRetentionSeconds", &error))?,
        allowed_ips: spec
            .allowed_ips
            .clone()
            .or_else(|| defaults.allowed_ips.clone())
            .or_else(|| adopt.is_none().then(Vec::new)),
        database,
        owner,
        deletion_policy: deletion_policy(spec, Some(class), None),
        adopt,
        secret_name: secret_name(name.name, spec),
    })
}

/// A Tenant's namespace and name.
#[derive(Clone, Copy, Debug)]
pub struct TenantName<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Name of the Secret: as the spec says, or `<tenant>-connection`.
pub fn secret_name(tenant: &str, spec: &TenantSpec) -> String {
    spec.connection_secret.as_ref().map_or_else(
        || format!("{tenant}-connection"),
        |secret| secret.name.clone(),
    )
}

/// What becomes of the project. It can be answered without a valid spec and without a class, since deletion must not
/// wait for either: then what was in effect last counts.
pub fn deletion_policy(
    spec: &TenantSpec,
    class: Option<&TenantClassSpec>,
    in_effect: Option<DeletionPolicy>,
) -> DeletionPolicy {
    let by_origin = spec.adopt.as_ref().map(|_| DeletionPolicy::Retain);
    spec.deletion_policy
        .or(by_origin)
        .or_else(|| class.and_then(|class| class.deletion_policy))
        .or(if class.is_none() { in_effect } else { None })
        .unwrap_or(DeletionPolicy::Delete)
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Issue {
    Issue::new(Reason::InvalidSpec, format!("{field}: {error}"))
}

fn exceeded(message: String) -> Issue {
    Issue::new(Reason::ClassLimitExceeded, message)
}

/// What cannot be changed once the project exists. The API server refuses most such edits; this catches what it cannot
/// see, such as a region that was left to the class before.
fn unchanged(spec: &TenantSpec, settled: &Effective) -> Result<(), Issue> {
    let differs = |field: &str, now: &str, then: &str| {
        Err(Issue::new(
            Reason::ImmutableField,
            format!(
                "{field} cannot be changed from {then} to {now}: write {then}, or make a new Tenant and move the data \
                 there"
            ),
        ))
    };
    match (&spec.region, spec.postgres_version) {
        (Some(region), _) if *region != settled.region => {
            differs("spec.region", region, &settled.region)
        }
        (_, Some(version)) if version != settled.postgres_version => differs(
            "spec.postgresVersion",
            &version.to_string(),
            &settled.postgres_version.to_string(),
        ),
        _ => Ok(()),
    }
}

fn within_choices(
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
            "region {region} is not offered by TenantClass {class_name}: use one of {}",
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
            "postgresVersion {postgres_version} is not offered by TenantClass {class_name}: use one of {}",
            list.join(", ")
        )));
    }
    Ok(())
}

fn names(
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

fn adoption(adopt: &crds::Adopt, class: &TenantClassSpec) -> Result<AdoptionSpec, Issue> {
    if !class
        .adoption
        .allowed_project_ids
        .contains(&adopt.project_id)
    {
        return Err(Issue::new(
            Reason::AdoptionRefused,
            format!(
                "the class does not allow project {0} to be adopted: whoever keeps the class has to add {0} to its \
                 spec.adoption.allowedProjectIds",
                adopt.project_id
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
    /// The wish as the status shows it.
    pub fn effective(&self) -> Effective {
        let quota = &self.quota;
        let shown = |value: Option<u64>| {
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
            quota: Quota {
                active_time_seconds: shown(quota.active_time_seconds),
                compute_time_seconds: shown(quota.compute_time_seconds),
                written_data_bytes: shown(quota.written_data_bytes),
                data_transfer_bytes: shown(quota.data_transfer_bytes),
                logical_size_bytes: shown(quota.logical_size_bytes),
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
