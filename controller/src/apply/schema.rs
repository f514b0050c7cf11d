//! Opening the tenant's database: the one step that may wake its compute.

use crds::{Reason, SchemaStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::ids::ProjectId;
use service_kit::error_chain;

use crate::facts::Facts;
use crate::failure::{Failure, Retry};
use crate::pass::Pass;
use crate::report::{Area, millis_between};
use crate::schema::{
    DatabaseTarget, MigrateError, MigrateFailure, Tls, migrate as bring_up_to_date,
};
use crate::telemetry::MigrationOutcome;

/// `SQLSTATE` of a wrong password.
const INVALID_PASSWORD: &str = "28P01";
/// How many of a project's operations are looked at when its database does not answer.
const OPERATIONS_LOOKED_AT: u16 = 10;

pub(super) async fn migrate(
    pass: &mut Pass<'_>,
    facts: &Facts,
    id: &ProjectId,
) -> Result<(), Failure> {
    let Some(set) = pass.schema.clone() else {
        return Err(Failure::passing(
            Area::Schema,
            Reason::MigrationsInvalid,
            "the class's migrations went away",
        ));
    };
    let Some(connection) = pass.status.connection.clone() else {
        return Err(Failure::passing(
            Area::Credentials,
            Reason::UpdatingSecret,
            "the connection is not known yet",
        ));
    };
    let password = super::credentials::password(pass, id).await?;
    let _turn = pass.ctx.migrations.acquire().await;
    let target = DatabaseTarget {
        host: connection.host,
        port: u16::try_from(connection.port).unwrap_or_default(),
        database: connection.database,
        role: connection.role,
        password,
        options: connection.options,
        tls: Tls::VerifyFull {
            ca_pem: pass
                .class
                .as_ref()
                .and_then(|class| class.spec.neon.ca_bundle.clone()),
        },
    };
    let start = std::time::Instant::now();
    let result = bring_up_to_date(&target, &set, &pass.ctx.migration_limits).await;
    pass.ctx.metrics.migrated(outcome(&result), start.elapsed());
    match result {
        Ok(migrated) => {
            let before = pass
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
            pass.status.schema = Some(SchemaStatus {
                version: Some(migrated.version),
                target: set.target_version(),
                checksum: Some(migrated.digest),
                applied_at,
                project_id: Some(id.to_string()),
            });
            pass.status
                .last_reconcile_at
                .clone_from(&facts.reconcile_at);
            if let Some(timings) = &mut pass.status.timings
                && timings.schema_ms.is_none()
                && let (Some(start), Some(project_ms)) = (&timings.started_at, timings.project_ms)
            {
                timings.schema_ms =
                    Some(millis_between(start.0, Timestamp::now()).saturating_sub(project_ms));
            }
            match migrated.applied.as_slice() {
                [] => {}
                [one] => pass.say(Reason::Migrated, &format!("applied migration {one}")),
                [.., last] => {
                    let count = migrated.applied.len();
                    let note = format!("applied {count} migrations, up to version {last}");
                    pass.say(Reason::Migrated, &note);
                }
            }
            Ok(())
        }
        Err(failure) => {
            note_version(pass, id, &failure, set.target_version());
            match &failure.error {
                // Only this code speaks of the password: a refused address, say, is not mended by another one.
                MigrateError::Authentication { server, .. }
                    if server.code == INVALID_PASSWORD && !pass.hand.password_rejected =>
                {
                    pass.hand.password_rejected = true;
                    Ok(())
                }
                _ => Err(explain(pass, id, &failure).await),
            }
        }
    }
}

/// Writes down how far a failed migration got, so that the tenant is known to be served on that version.
fn note_version(pass: &mut Pass<'_>, id: &ProjectId, failure: &MigrateFailure, target: i64) {
    let known = pass
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
        pass.schema
            .as_ref()?
            .digest_up_to(version)
            .map(str::to_owned)
    });
    pass.status.schema = Some(SchemaStatus {
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

async fn explain(pass: &Pass<'_>, id: &ProjectId, failure: &MigrateFailure) -> Failure {
    let error = &failure.error;
    if let MigrateError::Unreachable { .. } = error
        && let Some(operation) = failed_operation(pass, id).await
    {
        return Failure::passing(Area::Project, Reason::OperationFailed, operation);
    }
    let mut message = error_chain(error);
    if let Some(advice) = error.advice() {
        message.push_str(": ");
        message.push_str(advice);
    }
    Failure {
        area: Area::Schema,
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
async fn failed_operation(pass: &Pass<'_>, id: &ProjectId) -> Option<String> {
    let neon = pass.account.as_ref()?.neon();
    let page = neon
        .operations(id)
        .list()
        .limit(OPERATIONS_LOOKED_AT)
        .first_page()
        .send()
        .await
        .ok()?;
    let failed = page.operations.iter().find(|operation| {
        operation.status.is_finished() && !operation.status.is_success()
            || operation.error.is_some()
    })?;
    Some(format!(
        "Neon's operation {} on project {id} {}: {}",
        failed.action,
        failed.status,
        failed.error.as_deref().unwrap_or("no reason is given")
    ))
}

fn outcome(result: &Result<crate::schema::Migrated, MigrateFailure>) -> MigrationOutcome {
    match result {
        Ok(migrated) if migrated.applied.is_empty() => MigrationOutcome::UpToDate,
        Ok(_) => MigrationOutcome::Applied,
        Err(failure) => match failure.error {
            MigrateError::Unreachable { .. }
            | MigrateError::Authentication { .. }
            | MigrateError::DatabaseMissing { .. }
            | MigrateError::InvalidHost { .. }
            | MigrateError::PlaintextRefused { .. }
            | MigrateError::Untrusted { .. } => MigrationOutcome::Unreachable,
            MigrateError::Changed { .. }
            | MigrateError::Missing { .. }
            | MigrateError::Ahead { .. } => MigrationOutcome::Refused,
            _ => MigrationOutcome::Failed,
        },
    }
}
