//! Opening the tenant's database: the one step that may wake its compute.

use crds::{Reason, SchemaStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::ids::ProjectId;
use service_kit::error_chain;

use crate::error::{ReconcileError, Retry};
use crate::migrations::{
    DatabaseTarget, MigrationError, MigrationFailure, Tls, migrate as bring_up_to_date,
};
use crate::telemetry::MigrationOutcome;
use crate::tenant::observed::ObservedState;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::{Component, millis_between};

/// `SQLSTATE` of a wrong password.
const INVALID_PASSWORD: &str = "28P01";
/// How many of a project's operations are looked at when its database does not answer.
const OPERATIONS_LOOKED_AT: u16 = 10;

pub(super) async fn migrate(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let Some(set) = rec.schema.clone() else {
        return Err(ReconcileError::transient(
            Component::Schema,
            Reason::MigrationsInvalid,
            "the class's migrations went away",
        ));
    };
    let Some(connection) = rec.status.connection.clone() else {
        return Err(ReconcileError::transient(
            Component::Credentials,
            Reason::UpdatingSecret,
            "the connection is not known yet",
        ));
    };
    let password = super::credentials::password(rec, id).await?;
    let _turn = rec.ctx.migrations.acquire().await;
    let target = DatabaseTarget {
        host: connection.host,
        port: u16::try_from(connection.port).unwrap_or_default(),
        database: connection.database,
        role: connection.role,
        password,
        options: connection.options,
        tls: Tls::VerifyFull {
            ca_pem: rec
                .class
                .as_ref()
                .and_then(|class| class.spec.neon.ca_bundle.clone()),
        },
    };
    let start = std::time::Instant::now();
    let result = bring_up_to_date(&target, &set, &rec.ctx.migration_limits).await;
    rec.ctx.metrics.record_migration(outcome(&result), start.elapsed());
    match result {
        Ok(migrated) => {
            let before = rec
                .status
                .schema
                .as_ref()
                .filter(|schema| schema.project_id.as_deref() == Some(id.as_str()));
            let applied_at = match before {
                Some(before)
                    if migrated.applied.is_empty() && before.version == Some(migrated.version) =>
                {
                    before.applied_at.clone()
                }
                _ => Some(Time(Timestamp::now())),
            };
            rec.status.schema = Some(SchemaStatus {
                version: Some(migrated.version),
                target: set.target_version(),
                checksum: Some(migrated.digest),
                applied_at,
                project_id: Some(id.to_string()),
            });
            rec.status
                .last_reconcile_at
                .clone_from(&observed.reconcile_at);
            if let Some(timings) = &mut rec.status.timings
                && timings.schema_ms.is_none()
                && let (Some(start), Some(project_ms)) = (&timings.started_at, timings.project_ms)
            {
                timings.schema_ms =
                    Some(millis_between(start.0, Timestamp::now()).saturating_sub(project_ms));
            }
            match migrated.applied.as_slice() {
                [] => {}
                [one] => rec.say(Reason::Migrated, &format!("applied migration {one}")),
                [.., last] => {
                    let count = migrated.applied.len();
                    let note = format!("applied {count} migrations, up to version {last}");
                    rec.say(Reason::Migrated, &note);
                }
            }
            Ok(())
        }
        Err(failure) => {
            note_version(rec, id, &failure, set.target_version());
            match &failure.error {
                // Only this code speaks of the password: a refused address, say, is not mended by another one.
                MigrationError::Authentication { server, .. }
                    if server.code == INVALID_PASSWORD && !rec.state.password_rejected =>
                {
                    rec.state.password_rejected = true;
                    Ok(())
                }
                _ => Err(explain(rec, id, &failure).await),
            }
        }
    }
}

/// Writes down how far a failed migration got, so that the tenant is known to be served on that version.
fn note_version(rec: &mut Reconciliation<'_>, id: &ProjectId, failure: &MigrationFailure, target: i64) {
    let known = rec
        .status
        .schema
        .as_ref()
        .filter(|schema| schema.project_id.as_deref() == Some(id.as_str()));
    let checksum = known.and_then(|schema| schema.checksum.clone());
    let applied_at = known.and_then(|schema| schema.applied_at.clone());
    let version = failure
        .version
        .or_else(|| known.and_then(|schema| schema.version));
    let moved = !failure.applied.is_empty();
    let set_digest = version.and_then(|version| {
        rec.schema
            .as_ref()?
            .digest_up_to(version)
            .map(str::to_owned)
    });
    rec.status.schema = Some(SchemaStatus {
        version,
        target,
        // A set that does not fit the database has no digest for it.
        checksum: if moved { set_digest } else { checksum },
        applied_at: if moved {
            Some(Time(Timestamp::now()))
        } else {
            applied_at
        },
        project_id: version.map(|_| id.to_string()),
    });
}

async fn explain(rec: &Reconciliation<'_>, id: &ProjectId, failure: &MigrationFailure) -> ReconcileError {
    let error = &failure.error;
    if let MigrationError::Unreachable { .. } = error
        && let Some(operation) = failed_operation(rec, id).await
    {
        return ReconcileError::transient(Component::Project, Reason::OperationFailed, operation);
    }
    let mut message = error_chain(error);
    if let Some(advice) = error.hint() {
        message.push_str(": ");
        message.push_str(advice);
    }
    ReconcileError {
        component: Component::Schema,
        reason: error.reason(),
        message,
        retry: if error.is_transient() {
            Retry::Backoff
        } else {
            Retry::OnChange
        },
    }
}

/// What Neon says went wrong with the project, when its database does not answer.
async fn failed_operation(rec: &Reconciliation<'_>, id: &ProjectId) -> Option<String> {
    let neon = rec.account.as_ref()?.client();
    let page = neon
        .operations(id)
        .list()
        .limit(OPERATIONS_LOOKED_AT)
        .first_page()
        .send()
        .await
        .ok()?;
    let failed = page.operations.iter().find(|operation| {
        operation.status.is_over() && !operation.status.is_success() || operation.error.is_some()
    })?;
    Some(format!(
        "Neon's operation {} on project {id} {}: {}",
        failed.action,
        failed.status,
        failed.error.as_deref().unwrap_or("no reason is given")
    ))
}

fn outcome(result: &Result<crate::migrations::MigrationReport, MigrationFailure>) -> MigrationOutcome {
    match result {
        Ok(migrated) if migrated.applied.is_empty() => MigrationOutcome::UpToDate,
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
