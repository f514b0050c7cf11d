//! Migrates the Tenant's database. No other step connects to it, because a connection wakes its
//! compute.

use std::sync::Arc;
use std::time::Duration;

use crds::{Reason, SchemaRollout, SchemaStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use neon_client::ids::ProjectId;
use service_kit::error_chain;

use super::compute;
use super::operations::failed_operation;
use super::restore::request_restore;
use super::secret::owner_password;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::issue::{Component, Issue};
use crate::migrations::{
    DatabaseTarget, MigrationError, MigrationFailure, MigrationReport, MigrationSet, Tls,
};
use crate::rollout_concurrency::{Load, Speed};
use crate::schema_assignment::{SchemaTarget, migrations_of};
use crate::telemetry::MigrationOutcome;
use crate::tenant::observed::ObservedState;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::millis_between;

/// Wait before the next attempt to be admitted or to get a slot.
const SLOT_RETRY: Duration = Duration::from_secs(3);

/// Applies the missing migrations of the Tenant's target schema. If the class no longer has
/// them, only connects. If the database rejects the password, records that for the next plan.
pub(super) async fn migrate_database(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let (Some(content), Ok(schema)) = (&rec.migrations, &observed.schema) else {
        return Err(ReconcileError::transient(
            Component::Schema,
            Reason::MigrationsInvalid,
            "the class's migrations are no longer available",
        ));
    };
    let rollouts = rec.ctx.rollouts.of_class(&rec.tenant.spec.class_name);
    let known = migrations_of(schema, content, &rollouts);
    let set = known.clone().unwrap_or_else(MigrationSet::unmanaged);
    let target = database_target(rec, id).await?;
    let is_new = recorded_schema(rec, id).is_none();
    let was_asleep = !is_new && observed.is_asleep();
    let Attempt {
        result,
        connected,
        connecting,
        elapsed,
    } = migrate_within_limits(rec, &target, &set, is_new, was_asleep).await?;
    rec.state.connected |= connected;
    let time_limit = matches!(&result, Err(failure) if failure.error.ran_into_time_limit());
    if !time_limit {
        rec.ctx.migration_slots.forget(rec.uid);
    }
    // A new database is not one of the rollout's.
    if !is_new && (result.is_ok() || time_limit) {
        let speed = Speed::of(connecting, time_limit);
        record_speed(rec, &rollouts, schema, speed);
    }
    match result {
        Ok(report) => {
            rec.ctx.password_refusals.forget(rec.uid);
            rec.ctx.connection_refusals.forget(rec.uid);
            if was_asleep && report.unused {
                compute::suspend(rec, id);
            }
            if known.is_some() {
                record_success(rec, id, &report, &set, schema);
            }
            rec.status
                .last_reconcile_at
                .clone_from(&observed.reconcile_at);
            publish_applied(rec, &report.applied);
            Ok(())
        }
        Err(failure) => {
            if known.is_some() {
                record_failure(rec, id, &failure, &set, schema);
            }
            match &failure.error {
                // Another password helps only if the server rejects this one, not for any other
                // authentication error.
                MigrationError::Authentication { server, .. }
                    if server.refuses_password() && !rec.state.password_rejected =>
                {
                    rec.state.password_rejected = true;
                    Ok(())
                }
                error => {
                    let error = migration_error(rec, id, error).await;
                    if request_restore(rec, observed, &failure, &error) {
                        return Ok(());
                    }
                    Err(if time_limit {
                        let wait = rec.ctx.migration_slots.record_time_limit(rec.uid, elapsed);
                        retry_later(rec, error, wait)
                    } else {
                        error
                    })
                }
            }
        }
    }
}

/// Tells the rollout that assigned the schema how fast the database was.
fn record_speed(
    rec: &Reconciliation<'_>,
    rollouts: &[Arc<SchemaRollout>],
    target: &SchemaTarget,
    speed: Speed,
) {
    let newest = rollouts
        .last()
        .filter(|newest| newest.metadata.name == target.rollout);
    let Some((rollout, status)) = newest.and_then(|newest| Some((newest, newest.status.as_ref()?)))
    else {
        return;
    };
    let load = Load {
        rollout: &rollout.name_any(),
        max_concurrent: rollout.spec.rollout.max_concurrent(),
        in_progress: usize::try_from(status.in_progress).unwrap_or_default(),
    };
    let class = &rec.tenant.spec.class_name;
    let now = rec.ctx.clock.now();
    rec.ctx.rollout_concurrency.record(class, load, speed, now);
}

/// The result of connecting to a database and migrating it.
struct Attempt {
    result: Result<MigrationReport, MigrationFailure>,
    connected: bool,
    /// The time that connecting took.
    connecting: Duration,
    /// The time that all took.
    elapsed: Duration,
}

/// Connects to the database and migrates it, once the limits on concurrent migrations allow it.
async fn migrate_within_limits(
    rec: &Reconciliation<'_>,
    target: &DatabaseTarget,
    set: &MigrationSet,
    is_new: bool,
    check_use: bool,
) -> Result<Attempt, ReconcileError> {
    let slots = &rec.ctx.migration_slots;
    let lane = slots.lane(rec.uid, is_new);
    let admission = slots
        .admit(&rec.tenant.spec.class_name, lane)
        .ok_or_else(no_slot)?;
    // A compute can take long to start. Meanwhile the slots serve other databases.
    let connecting = rec.ctx.migrator.connect(target);
    let connected = tokio::select! {
        connected = connecting => connected,
        () = rec.ctx.stopping.cancelled() => return Err(ReconcileError::not_leader(Component::Schema)),
        () = rec.ctx.deletion_of(&rec.tenant) => return Err(deleted()),
    };
    let connecting = admission.elapsed();
    let is_connected = connected.is_ok();
    let result = match connected {
        Ok(database) => {
            let _slot = admission.acquire_slot().await.ok_or_else(no_slot)?;
            database.migrate(set, check_use).await
        }
        Err(error) => Err(error.into()),
    };
    let elapsed = admission.elapsed();
    rec.ctx.metrics.record_migration(outcome(&result), elapsed);
    Ok(Attempt {
        result,
        connected: is_connected,
        connecting,
        elapsed,
    })
}

/// The deletion needs no connection, and triggers the next reconciliation.
fn deleted() -> ReconcileError {
    let message = "the Tenant is being deleted";
    ReconcileError::transient(Component::Schema, Reason::Deleting, message)
        .with_retry(Retry::Conflict)
}

fn no_slot() -> ReconcileError {
    let message = "waiting until other databases of the class have been migrated";
    ReconcileError::transient(Component::Schema, Reason::Migrating, message)
        .with_retry(Retry::After(SLOT_RETRY))
}

/// Replaces the usual retry after an error by a longer one.
fn retry_later(rec: &Reconciliation<'_>, error: ReconcileError, wait: Duration) -> ReconcileError {
    let slow = rec.ctx.config.reconcile.stalled_retry_interval;
    let retry = match error.retry {
        Retry::OnChange => Retry::OnChangeOrAfter(wait.max(slow)),
        _ => Retry::After(wait),
    };
    error.with_retry(retry)
}

async fn database_target(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
) -> Result<DatabaseTarget, ReconcileError> {
    let Some(connection) = rec.status.connection.clone() else {
        return Err(ReconcileError::transient(
            Component::Credentials,
            Reason::UpdatingSecret,
            "the connection is not known yet",
        ));
    };
    Ok(DatabaseTarget {
        host: connection.host,
        port: u16::try_from(connection.port).unwrap_or_default(),
        database: connection.database,
        role: connection.role,
        password: owner_password(rec, id).await?,
        options: connection.options,
        tls: Tls::VerifyFull {
            ca_pem: rec
                .class
                .as_ref()
                .and_then(|class| class.spec.neon.ca_bundle.clone()),
        },
    })
}

fn recorded_schema<'a>(rec: &'a Reconciliation<'_>, id: &ProjectId) -> Option<&'a SchemaStatus> {
    rec.status
        .schema
        .as_ref()
        .filter(|schema| schema.project_id.as_deref() == Some(id.as_str()))
}

fn record_success(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    report: &MigrationReport,
    set: &MigrationSet,
    target: &SchemaTarget,
) {
    let now = rec.ctx.clock.now();
    let rollout = rollout_of(rec, id, target);
    let applied_at = match recorded_schema(rec, id) {
        Some(recorded) if report.applied.is_empty() && recorded.version == Some(report.version) => {
            recorded.applied_at.clone()
        }
        _ => Some(Time(now)),
    };
    rec.status.schema = Some(if set.is_empty() {
        SchemaStatus {
            version: None,
            target: None,
            checksum: None,
            applied_at: None,
            rollout: None,
            project_id: Some(id.to_string()),
        }
    } else {
        SchemaStatus {
            version: Some(report.version),
            target: Some(report.version),
            checksum: Some(report.digest.clone()),
            applied_at,
            rollout,
            project_id: Some(id.to_string()),
        }
    });
    if let Some(timings) = &mut rec.status.timings
        && timings.schema_ms.is_none()
        && let (Some(start), Some(project_ms)) = (&timings.started_at, timings.project_ms)
    {
        timings.schema_ms = Some(millis_between(start.0, now).saturating_sub(project_ms));
    }
}

fn publish_applied(rec: &Reconciliation<'_>, applied: &[i64]) {
    if !applied.is_empty() {
        rec.publish_event(&ControllerEvent::Migrated { applied });
    }
}

/// Records the version that a failed migration reached: the database is in use with that version.
fn record_failure(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    failure: &MigrationFailure,
    set: &MigrationSet,
    target: &SchemaTarget,
) {
    let recorded = recorded_schema(rec, id);
    let version = failure
        .version
        .or_else(|| recorded.and_then(|schema| schema.version));
    let (checksum, applied_at) = if failure.applied.is_empty() {
        (
            recorded.and_then(|schema| schema.checksum.clone()),
            recorded.and_then(|schema| schema.applied_at.clone()),
        )
    } else {
        (failure.digest.clone(), Some(Time(rec.ctx.clock.now())))
    };
    let project_id = recorded
        .and_then(|schema| schema.project_id.clone())
        .or_else(|| version.map(|_| id.to_string()));
    rec.status.schema = Some(SchemaStatus {
        version,
        target: (!set.is_empty()).then(|| set.target_version()),
        checksum,
        applied_at,
        rollout: rollout_of(rec, id, target),
        project_id,
    });
}

/// The rollout that assigned the schema, or the recorded one if the Tenant keeps its schema.
fn rollout_of(rec: &Reconciliation<'_>, id: &ProjectId, target: &SchemaTarget) -> Option<String> {
    let recorded = || recorded_schema(rec, id).and_then(|schema| schema.rollout.clone());
    target.rollout.clone().or_else(recorded)
}

async fn migration_error(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    error: &MigrationError,
) -> ReconcileError {
    let is_refusal = error.is_refusal();
    if let MigrationError::Unreachable { .. } = error
        && !is_refusal
        && let Some(operation) = failed_operation(rec, id).await
    {
        return ReconcileError::transient(Component::Project, Reason::OperationFailed, operation);
    }
    let mut message = error_chain(error);
    let size_limit = rec
        .desired()
        .ok()
        .and_then(|desired| desired.quota.logical_size_bytes);
    if let Some(hint) = error.hint(size_limit) {
        message.push_str(": ");
        message.push_str(&hint);
    }
    // A failed migration leaves the database usable; these errors do not.
    let reason = match error {
        MigrationError::Authentication { .. } => Reason::PasswordRejected,
        MigrationError::DatabaseMissing { .. } => Reason::DatabaseMissing,
        _ => error.reason(),
    };
    if error.is_transient() {
        return ReconcileError::transient(Component::Schema, reason, message);
    }
    let issue = Issue::new(Component::Schema, reason, message);
    let error = ReconcileError::from(Issue {
        readable: error.is_size_limit(),
        ..issue
    });
    let now = rec.ctx.clock.now();
    let early = is_refusal
        .then(|| rec.ctx.connection_refusals.record(rec.uid, now))
        .flatten();
    match early {
        Some(wait) => error.with_retry(Retry::OnChangeOrAfter(wait)),
        None => error,
    }
}

fn outcome(result: &Result<MigrationReport, MigrationFailure>) -> MigrationOutcome {
    match result {
        Ok(report) if report.applied.is_empty() => MigrationOutcome::UpToDate,
        Ok(_) => MigrationOutcome::Applied,
        Err(failure) => match failure.error {
            MigrationError::Unreachable { .. }
            | MigrationError::Authentication { .. }
            | MigrationError::DatabaseMissing { .. }
            | MigrationError::InvalidHost { .. }
            | MigrationError::PlaintextRefused { .. }
            | MigrationError::Untrusted { .. } => MigrationOutcome::Unreachable,
            MigrationError::Changed { .. }
            | MigrationError::Missing { .. }
            | MigrationError::Ahead { .. } => MigrationOutcome::Refused,
            _ => MigrationOutcome::Failed,
        },
    }
}
