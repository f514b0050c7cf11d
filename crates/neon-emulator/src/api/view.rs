//! Converts stored rows to API resources, with all fields that the OpenAPI document requires.

use std::collections::HashMap;

use neon_client::ids::{EndpointId, OrgId, RoleName};
use neon_client::model::{
    Branch, BranchRecovery, BranchState, ComputeUnits, Database, Endpoint, EndpointState,
    PoolerMode, Project, ProjectOwner, Role,
};
use secrecy::SecretString;

use super::Api;
use crate::clock::{Micros, SECOND, billing_period, period_start, timestamp};
use crate::compute::Compute;
use crate::store::{BranchRow, DatabaseRow, EndpointRow, ProjectRow, RoleRow, StoreError, Usage};

const PLATFORM: &str = "aws";
const CREATION_SOURCE: &str = "console";
const OWNER: &str = "emulator";
/// The size limit of a branch on a paid plan, in MiB.
const BRANCH_SIZE_LIMIT_MIB: i64 = 16 * 1024 * 1024;
const BYTES_PER_MIB: i64 = 1024 * 1024;

/// The two forms of a project. Some fields appear only in lists, others only in single responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    Listed,
}

/// The use of a project.
#[derive(Debug, Clone, Copy, Default)]
struct ProjectUse {
    used: Usage,
    /// When a compute last started, was used, or was suspended.
    last_event: Option<Micros>,
    /// When a compute was last active.
    last_active: Option<Micros>,
}

impl ProjectUse {
    fn add(&mut self, api: &Api, row: &EndpointRow, now: Micros) {
        let last_use = api.sessions.last_use(row, now);
        let compute = Compute::with_last_use(row, last_use, now);
        self.used
            .add_unrecorded(row, period_start(now), compute.suspends_at, now);
        self.last_event = self
            .last_event
            .max(Some(compute.last_event(row, last_use, now)));
        let started = (now >= row.ready_at_us).then_some(row.ready_at_us);
        self.last_active = self
            .last_active
            .max(row.last_active_us)
            .max(last_use)
            .max(started);
    }
}

/// The projects of a list, in its order.
pub(super) async fn listed(api: &Api, rows: &[ProjectRow]) -> Result<Vec<Project>, StoreError> {
    let now = api.clock.now();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut uses: HashMap<String, ProjectUse> = HashMap::new();
    for (id, used) in api.store.usages(&ids, period_start(now)).await? {
        uses.entry(id).or_default().used = used;
    }
    for endpoint in api.store.endpoints_of_all(&ids).await? {
        uses.entry(endpoint.project_id.clone())
            .or_default()
            .add(api, &endpoint, now);
    }
    rows.iter()
        .map(|row| {
            let project_use = uses.get(&row.id).copied().unwrap_or_default();
            project(api, row, Form::Listed, project_use)
        })
        .collect()
}

/// A project in a single response, with its usage.
pub(super) async fn single(api: &Api, row: &ProjectRow) -> Result<Project, StoreError> {
    let now = api.clock.now();
    let mut project_use = ProjectUse {
        used: api.store.usage(&row.id, None, period_start(now)).await?,
        ..ProjectUse::default()
    };
    for endpoint in api.store.endpoints_of_all(&[&row.id]).await? {
        project_use.add(api, &endpoint, now);
    }
    project(api, row, Form::Single, project_use)
}

fn project(
    api: &Api,
    row: &ProjectRow,
    form: Form,
    ProjectUse {
        used,
        last_event,
        last_active,
    }: ProjectUse,
) -> Result<Project, StoreError> {
    let single = |value: i64| (form == Form::Single).then_some(value);
    let now = timestamp(api.clock.now());
    let (period_start, period_end) = billing_period(now);
    let org_id: Option<OrgId> = row
        .org_id
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(StoreError::corrupt)?;
    let owner_id = org_id
        .as_ref()
        .map_or_else(|| OWNER.to_owned(), ToString::to_string);
    let deleted_at = row.deleted_at_us.filter(|_| form == Form::Listed);
    let recoverable = api.recoverable_window();
    let last_event =
        last_event.filter(|_| api.activity_updates_projects && row.deleted_at_us.is_none());
    Ok(Project {
        id: row.id.parse().map_err(StoreError::corrupt)?,
        name: row.name.clone(),
        region_id: row.region_id.parse().map_err(StoreError::corrupt)?,
        platform_id: PLATFORM.to_owned(),
        pg_version: u16::try_from(row.pg_version).map_err(StoreError::corrupt)?,
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(last_event.map_or(row.updated_at_us, |at| at.max(row.updated_at_us))),
        org_name: (form == Form::Listed)
            .then(|| org_id.as_ref().map(ToString::to_string))
            .flatten(),
        org_id,
        owner_id,
        owner: (form == Form::Single).then(|| ProjectOwner {
            email: "emulator@example.test".to_owned(),
            name: OWNER.to_owned(),
            branches_limit: api.limits.branches_per_project.map_or(-1, i64::from),
            subscription_type: "scale".to_owned(),
        }),
        settings: Some(row.settings.0.clone()),
        default_endpoint_settings: Some(row.default_endpoint_settings.0.clone()),
        history_retention_seconds: Some(
            u32::try_from(row.history_retention_seconds).map_err(StoreError::corrupt)?,
        ),
        store_passwords: row.store_passwords,
        proxy_host: api.hosts.suffix().to_owned(),
        provisioner: row.provisioner.clone(),
        creation_source: CREATION_SOURCE.to_owned(),
        branch_logical_size_limit: Some(BRANCH_SIZE_LIMIT_MIB),
        branch_logical_size_limit_bytes: Some(BRANCH_SIZE_LIMIT_MIB * BYTES_PER_MIB),
        synthetic_storage_size: Some(0),
        active_time: (form == Form::Listed).then_some(used.active_us / SECOND),
        cpu_used_sec: Some(used.compute_us / SECOND),
        active_time_seconds: single(used.active_us / SECOND),
        compute_time_seconds: single(used.compute_us / SECOND),
        written_data_bytes: single(0),
        data_transfer_bytes: single(used.transferred_bytes),
        data_storage_bytes_hour: single(0),
        consumption_period_start: (form == Form::Single).then_some(period_start),
        consumption_period_end: (form == Form::Single).then_some(period_end),
        quota_reset_at: None,
        compute_last_active_at: row.last_active_us.max(last_active).map(timestamp),
        maintenance_starts_at: None,
        maintenance_scheduled_for: None,
        deleted_at: deleted_at.map(timestamp),
        recoverable_until: deleted_at.map(|at| timestamp(at.saturating_add(recoverable))),
    })
}

pub(super) fn branch(
    api: &Api,
    row: &BranchRow,
    used: Usage,
    logical_size: i64,
) -> Result<Branch, StoreError> {
    let ready = api.clock.now() >= row.ready_at_us;
    let recoverable = api.recoverable_window();
    Ok(Branch {
        id: row.id.parse().map_err(StoreError::corrupt)?,
        project_id: row.project_id.parse().map_err(StoreError::corrupt)?,
        parent_id: row
            .parent_id
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(StoreError::corrupt)?,
        parent_lsn: None,
        parent_timestamp: row.parent_at_us.map(timestamp),
        name: row.name.clone(),
        current_state: if ready {
            BranchState::Ready
        } else {
            BranchState::Init
        },
        pending_state: (!ready).then_some(BranchState::Ready),
        state_changed_at: Some(timestamp(if ready {
            row.ready_at_us
        } else {
            row.created_at_us
        })),
        logical_size: Some(logical_size),
        creation_source: CREATION_SOURCE.to_owned(),
        primary: Some(row.is_default),
        default: row.is_default,
        protected: row.protected,
        cpu_used_sec: used.compute_us / SECOND,
        compute_time_seconds: used.compute_us / SECOND,
        active_time_seconds: used.active_us / SECOND,
        written_data_bytes: 0,
        data_transfer_bytes: used.transferred_bytes,
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
        init_source: Some(row.init_source.clone()),
        expires_at: row.expires_at_us.map(timestamp),
        ttl_interval_seconds: row
            .expires_at_us
            .zip(row.expires_set_us)
            .map(|(at, set)| at.saturating_sub(set) / SECOND),
        last_reset_at: row.last_reset_us.map(timestamp),
        restored_from: row.restored_from.clone(),
        recovery: row.deleted_at_us.map(|at| BranchRecovery {
            deleted_at: timestamp(at),
            recoverable_until: timestamp(at.saturating_add(recoverable)),
            deletion_method: row
                .deleted_by
                .map_or_else(String::new, |method| method.as_str().to_owned()),
        }),
    })
}

pub(super) fn endpoint(
    api: &Api,
    project: &ProjectRow,
    row: &EndpointRow,
) -> Result<Endpoint, StoreError> {
    let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
    let size = |units: f64| ComputeUnits::new(units).map_err(StoreError::corrupt);
    let now = api.clock.now();
    let compute = Compute::of(row, &api.sessions, now);
    let started = (now >= row.ready_at_us).then_some(row.ready_at_us);
    Ok(Endpoint {
        name: row.name.clone(),
        project_id: row.project_id.parse().map_err(StoreError::corrupt)?,
        branch_id: row.branch_id.parse().map_err(StoreError::corrupt)?,
        region_id: Some(project.region_id.parse().map_err(StoreError::corrupt)?),
        host: api.hosts.host(&id, false),
        proxy_host: api.hosts.suffix().to_owned(),
        endpoint_type: row.kind.into(),
        autoscaling_limit_min_cu: size(row.min_cu)?,
        autoscaling_limit_max_cu: size(row.max_cu)?,
        suspend_timeout_seconds: row.suspend_timeout_seconds,
        pending_state: (now < row.ready_at_us).then_some(EndpointState::Active),
        suspended_at: compute.is_idle().then(|| timestamp(compute.suspends_at)),
        current_state: compute.state.into(),
        disabled: row.disabled,
        passwordless_access: row.passwordless_access,
        pooler_enabled: false,
        pooler_mode: Some(PoolerMode::Transaction),
        settings: row.settings.0.clone(),
        provisioner: project.provisioner.clone(),
        creation_source: CREATION_SOURCE.to_owned(),
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
        last_active: row.last_active_us.or(started).map(timestamp),
        started_at: started.map(timestamp),
        compute_release_version: None,
        id,
    })
}

pub(super) fn role(row: &RoleRow, password: Option<&str>) -> Result<Role, StoreError> {
    Ok(Role {
        branch_id: row.branch_id.parse().map_err(StoreError::corrupt)?,
        name: row.name.parse::<RoleName>().map_err(StoreError::corrupt)?,
        password: password.map(SecretString::from),
        protected: Some(false),
        authentication_method: Some(if row.no_login { "no_login" } else { "password" }.to_owned()),
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
    })
}

pub(super) fn database(row: &DatabaseRow) -> Result<Database, StoreError> {
    Ok(Database {
        id: row.number,
        branch_id: row.branch_id.parse().map_err(StoreError::corrupt)?,
        name: row.name.parse().map_err(StoreError::corrupt)?,
        owner_name: row.owner_name.parse().map_err(StoreError::corrupt)?,
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
    })
}
