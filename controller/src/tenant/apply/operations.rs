//! Waits for Neon's asynchronous operations, and reads their errors.

use std::time::Duration;

use crds::Reason;
use neon_client::ids::{OperationId, ProjectId};
use tokio::time::{Instant, sleep};

use crate::error::ReconcileError;
use crate::issue::Component;
use crate::tenant::reconciliation::Reconciliation;

const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Operations of a project that are searched for an error.
const MAX_OPERATIONS_SEARCHED: u16 = 10;

/// Waits until the operations have finished, at most [`WAIT_TIMEOUT`].
pub(super) async fn wait_for_operations(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    operations: &[OperationId],
) -> Result<(), ReconcileError> {
    let neon = rec.neon()?;
    let deadline = Instant::now() + WAIT_TIMEOUT;
    for operation in operations {
        loop {
            let operation = neon.operation(id, *operation).await.map_err(|error| {
                ReconcileError::neon(Component::Project, "wait for Neon's operation", error)
            })?;
            if operation.status.is_finished() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(ReconcileError::transient(
                    Component::Project,
                    Reason::OperationsRunning,
                    format!(
                        "operation {} of project {id} is still {}",
                        operation.action, operation.status
                    ),
                ));
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

/// Describes a recent operation of the project that failed, if there is one.
pub(super) async fn failed_operation(rec: &Reconciliation<'_>, id: &ProjectId) -> Option<String> {
    let neon = rec.account.as_ref()?.client();
    let operations = neon
        .latest_operations(id, MAX_OPERATIONS_SEARCHED)
        .await
        .ok()?;
    let failed = operations.iter().find(|operation| {
        operation.status.is_finished() && !operation.status.is_success()
            || operation.error.is_some()
    })?;
    Some(format!(
        "Neon operation {} on project {id} {}: {}",
        failed.action,
        failed.status,
        failed.error.as_deref().unwrap_or("Neon gives no reason")
    ))
}
