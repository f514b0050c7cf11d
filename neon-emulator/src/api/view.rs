//! Rows of the state as resources of the API, complete as the API's document requires.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use neon::ids::{EndpointId, OrgId, RoleName};
use neon::model::{
    Branch, BranchState, ComputeUnits, Database, Endpoint, EndpointState, EndpointType, PoolerMode,
    Project, ProjectOwner, Role,
};
use secrecy::SecretString;

use super::Api;
use crate::clock::{Micros, SECOND, timestamp};
use crate::store::{BranchRow, DatabaseRow, EndpointRow, ProjectRow, RoleRow, StoreError};

const PLATFORM: &str = "aws";
const CREATION_SOURCE: &str = "console";
const OWNER: &str = "emulator";
/// What a suspend timeout of 0 means, in seconds.
const SUSPEND_DEFAULT_SECONDS: i64 = 300;
/// The limit of a branch's data, in MiB: that of a paid plan.
const BRANCH_SIZE_LIMIT_MIB: i64 = 16 * 1024 * 1024;
const BYTES_PER_MIB: i64 = 1024 * 1024;

/// Which of the two forms of a project is wanted: lists leave out what a single answer has, and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Single,
    Listed,
}

pub(super) fn project(api: &Api, row: &ProjectRow, form: Form) -> Result<Project, StoreError> {
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
    let recoverable = i64::try_from(api.limits.recoverable_seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(SECOND);
    Ok(Project {
        id: row.id.parse().map_err(StoreError::corrupt)?,
        name: row.name.clone(),
        region_id: row.region_id.parse().map_err(StoreError::corrupt)?,
        platform_id: PLATFORM.to_owned(),
        pg_version: u16::try_from(row.pg_version).map_err(StoreError::corrupt)?,
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
        org_name: (form == Form::Listed)
            .then(|| org_id.as_ref().map(ToString::to_string))
            .flatten(),
        org_id,
        owner_id,
        owner: (form == Form::Single).then(|| ProjectOwner {
            email: "emulator@example.test".to_owned(),
            name: OWNER.to_owned(),
            branches_limit: 10,
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
        active_time: (form == Form::Listed).then_some(0),
        cpu_used_sec: Some(0),
        active_time_seconds: single(0),
        compute_time_seconds: single(0),
        written_data_bytes: single(0),
        data_transfer_bytes: single(0),
        data_storage_bytes_hour: single(0),
        consumption_period_start: (form == Form::Single).then_some(period_start),
        consumption_period_end: (form == Form::Single).then_some(period_end),
        quota_reset_at: None,
        compute_last_active_at: row.last_active_us.map(timestamp),
        maintenance_starts_at: None,
        maintenance_scheduled_for: None,
        deleted_at: deleted_at.map(timestamp),
        recoverable_until: deleted_at.map(|at| timestamp(at.saturating_add(recoverable))),
    })
}

pub(super) fn branch(row: &BranchRow, now: Micros) -> Result<Branch, StoreError> {
    let ready = now >= row.ready_at_us;
    Ok(Branch {
        id: row.id.parse().map_err(StoreError::corrupt)?,
        project_id: row.project_id.parse().map_err(StoreError::corrupt)?,
        parent_id: None,
        parent_lsn: None,
        parent_timestamp: None,
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
        logical_size: Some(0),
        creation_source: CREATION_SOURCE.to_owned(),
        primary: Some(row.is_default),
        default: row.is_default,
        protected: false,
        cpu_used_sec: 0,
        compute_time_seconds: 0,
        active_time_seconds: 0,
        written_data_bytes: 0,
        data_transfer_bytes: 0,
        created_at: timestamp(row.created_at_us),
        updated_at: timestamp(row.updated_at_us),
        init_source: Some("parent-data".to_owned()),
        expires_at: None,
        ttl_interval_seconds: None,
        last_reset_at: None,
        restored_from: None,
        recovery: None,
    })
}

pub(super) fn endpoint(
    api: &Api,
    project: &ProjectRow,
    row: &EndpointRow,
    now: Micros,
) -> Result<Endpoint, StoreError> {
    let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
    let size = |units: f64| ComputeUnits::new(units).map_err(StoreError::corrupt);
    let state = endpoint_state(row, api.sessions.count(&row.project_id), now);
    let started = (now >= row.ready_at_us).then_some(row.ready_at_us);
    Ok(Endpoint {
        name: row.name.clone(),
        project_id: row.project_id.parse().map_err(StoreError::corrupt)?,
        branch_id: row.branch_id.parse().map_err(StoreError::corrupt)?,
        region_id: Some(project.region_id.parse().map_err(StoreError::corrupt)?),
        host: api.hosts.host(&id, false),
        proxy_host: api.hosts.suffix().to_owned(),
        endpoint_type: EndpointType::ReadWrite,
        autoscaling_limit_min_cu: size(row.min_cu)?,
        autoscaling_limit_max_cu: size(row.max_cu)?,
        suspend_timeout_seconds: row.suspend_timeout_seconds,
        pending_state: (state == EndpointState::Init).then_some(EndpointState::Active),
        suspended_at: (state == EndpointState::Idle).then(|| timestamp(idle_since(row))),
        current_state: state,
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

/// What a compute is doing: it starts, it runs while somebody is connected and for a while after, and then it sleeps.
pub(super) fn endpoint_state(
    row: &EndpointRow,
    open_connections: usize,
    now: Micros,
) -> EndpointState {
    if now < row.ready_at_us {
        EndpointState::Init
    } else if row.disabled {
        EndpointState::Idle
    } else if open_connections > 0 || row.suspend_timeout_seconds < 0 || now < idle_since(row) {
        EndpointState::Active
    } else {
        EndpointState::Idle
    }
}

/// When a compute that nobody is connected to goes, or went, to sleep.
fn idle_since(row: &EndpointRow) -> Micros {
    let timeout = if row.suspend_timeout_seconds == 0 {
        SUSPEND_DEFAULT_SECONDS
    } else {
        row.suspend_timeout_seconds
    };
    let last_used = row
        .last_active_us
        .unwrap_or(row.ready_at_us)
        .max(row.ready_at_us);
    last_used.saturating_add(timeout.saturating_mul(SECOND))
}

pub(super) fn role(row: &RoleRow, password: Option<&str>) -> Result<Role, StoreError> {
    Ok(Role {
        branch_id: row.branch_id.parse().map_err(StoreError::corrupt)?,
        name: row.name.parse::<RoleName>().map_err(StoreError::corrupt)?,
        password: password.map(SecretString::from),
        protected: Some(false),
        authentication_method: Some("password".to_owned()),
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

/// The month of a moment.
fn billing_period(now: Timestamp) -> (Timestamp, Timestamp) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |date: jiff::civil::Date| {
        date.to_zoned(TimeZone::UTC)
            .map_or(now, |zoned| zoned.timestamp())
    };
    let next = today
        .first_of_month()
        .checked_add(1.month())
        .unwrap_or(today);
    (at(today.first_of_month()), at(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(suspend_timeout_seconds: i64) -> EndpointRow {
        EndpointRow {
            id: "ep-still-lake-00000001".into(),
            project_id: "still-lake-00000001".into(),
            branch_id: "br-still-lake-00000001".into(),
            name: None,
            min_cu: 0.25,
            max_cu: 2.0,
            suspend_timeout_seconds,
            disabled: false,
            passwordless_access: true,
            settings: sqlx::types::Json(neon::model::EndpointSettings::default()),
            ready_at_us: SECOND,
            last_active_us: None,
            created_at_us: 0,
            updated_at_us: 0,
        }
    }

    #[test]
    fn a_compute_starts_runs_and_sleeps_when_nobody_needs_it() {
        let state = |timeout, open, at| endpoint_state(&row(timeout), open, at);
        assert_eq!(state(60, 0, 0), EndpointState::Init);
        assert_eq!(state(60, 0, SECOND), EndpointState::Active);
        assert_eq!(state(60, 0, 61 * SECOND), EndpointState::Idle);
        assert_eq!(state(60, 1, 61 * SECOND), EndpointState::Active);
        assert_eq!(state(0, 0, 300 * SECOND), EndpointState::Active);
        assert_eq!(state(0, 0, 301 * SECOND), EndpointState::Idle);
        assert_eq!(state(-1, 0, i64::MAX), EndpointState::Active);
    }

    #[test]
    fn a_billing_period_is_the_month_of_today() {
        let (start, end) = billing_period("2026-12-31T23:59:59Z".parse().unwrap());
        assert_eq!(
            (start.to_string().as_str(), end.to_string().as_str()),
            ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
        );
    }
}
