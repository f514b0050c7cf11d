//! Steps of a workspace's deletion: files, database, rows.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::job::DeleteLateUploads;
use super::progress::{ConversationCount, DeletedDatabase, DeletionProgress, DeletionStep};
use super::{
    Deletion, DeletionError, DeletionWorker, FileStore, NextStep, conversations, finish,
    save_progress,
};
use crate::domain::Workspace;
use crate::events::{self, Event};
use crate::ids::WorkspaceId;
use crate::jobs;
use crate::tenants::{TenantName, TenantView};
use crate::workspaces::store;

/// How long the step that requests a Tenant's deletion waits for its end. Later attempts only
/// check, so that many blocked deletions do not occupy all workers.
const DELETE_WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Allows for clock differences and for uploads that started in time and end later.
const LATE_UPLOAD_MARGIN: Duration = Duration::from_mins(5);

pub(super) async fn step<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
) -> Result<NextStep, DeletionError> {
    let id: WorkspaceId = deletion
        .subject
        .parse()
        .map_err(|_| DeletionError::InvalidSubject)?;
    let workspace = store::find(&worker.database, &id).await?;
    match (deletion.progress.step, workspace) {
        (DeletionStep::Workspaces | DeletionStep::Files, Some(workspace)) => {
            files(worker, deletion, &workspace).await
        }
        (DeletionStep::Database, Some(workspace)) => database(worker, deletion, &workspace).await,
        // The rows are deleted last, in the transaction that finishes the deletion.
        (DeletionStep::Rows | DeletionStep::Finished, _) | (_, None) => {
            rows(worker, deletion, &id).await
        }
    }
}

async fn files<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    workspace: &Workspace,
) -> Result<NextStep, DeletionError> {
    worker.pools.close(&workspace.id);
    let progress = count_conversations(worker, deletion, workspace).await?;
    let deleted = worker
        .files
        .delete_all(workspace.region.as_deref(), &workspace.id)
        .await?;
    let progress = DeletionProgress {
        step: DeletionStep::Database,
        files: progress.files + deleted.objects,
        file_bytes: progress.file_bytes + deleted.byte_count,
        blocked_on: None,
        ..progress
    };
    save_progress(&worker.database, deletion.id, &progress).await?;
    Ok(NextStep::Continue)
}

/// Counts the conversations and saves the count before anything is deleted.
async fn count_conversations<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    workspace: &Workspace,
) -> Result<DeletionProgress, DeletionError> {
    if deletion.progress.conversations != ConversationCount::NotCounted {
        return Ok(deletion.progress.clone());
    }
    let progress = DeletionProgress {
        conversations: conversations::count(&worker.pools, workspace).await,
        ..deletion.progress.clone()
    };
    save_progress(&worker.database, deletion.id, &progress).await?;
    Ok(progress)
}

/// The receipt is readable by anyone with its link, so it shows the condition's reason and not its
/// message, which names cluster internals.
fn operator_action_message(reason: &str) -> String {
    format!(
        "This needs attention from your administrator. It will continue once they\u{2019}ve resolved the problem (reason: {reason})."
    )
}

async fn database<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    workspace: &Workspace,
) -> Result<NextStep, DeletionError> {
    worker.pools.close(&workspace.id);
    let name = TenantName::of(&workspace.id);
    let existing = worker.tenants.get(&name).await?;
    // Only delete the workspace's own Tenant, identified by its UID if one was recorded.
    let known_uid = deletion
        .progress
        .database
        .as_ref()
        .map(|database| database.uid.as_str())
        .or(workspace.tenant_uid.as_deref());
    let Some(tenant) = existing.filter(|tenant| tenant.belongs_to(&workspace.id, known_uid)) else {
        return database_deleted(worker, deletion).await;
    };
    let before = deletion.progress.database.clone();
    let progress = DeletionProgress {
        database: Some(describe(&tenant, before)),
        blocked_on: tenant
            .stalled
            .as_ref()
            .filter(|_| tenant.is_deleting)
            .map(|note| operator_action_message(&note.reason)),
        ..deletion.progress.clone()
    };
    if progress != deletion.progress {
        // Saved before the deletion, because it cannot be read afterwards.
        save_progress(&worker.database, deletion.id, &progress).await?;
    }
    if tenant.is_deleting {
        return Ok(NextStep::RetryWithBackoff);
    }
    worker.tenants.delete(&name, &tenant.uid).await?;
    wait_until_deleted(worker, &name, &tenant.uid).await;
    // The watch may lag behind or be disconnected, so ask the API server.
    let still_there = worker.tenants.get(&name).await?;
    if still_there.is_some_and(|still| still.uid == tenant.uid) {
        return Ok(NextStep::RetryWithBackoff);
    }
    let deletion = Deletion {
        progress,
        ..deletion.clone()
    };
    database_deleted(worker, &deletion).await
}

/// Describes the Tenant's database for the receipt. Keeps earlier details, because the status of a
/// Tenant that is being deleted may lack them.
fn describe(tenant: &TenantView, before: Option<DeletedDatabase>) -> DeletedDatabase {
    let project = tenant.project.as_deref();
    let (before_project, before_region, requested_at) = match before {
        Some(before) => (before.project, before.region, before.requested_at),
        None => (None, None, Timestamp::now()),
    };
    DeletedDatabase {
        tenant: tenant.name.to_string(),
        uid: tenant.uid.to_string(),
        project: project
            .map(|project| project.id.to_string())
            .or(before_project),
        region: project
            .map(|project| project.region.to_string())
            .or(before_region),
        is_retained: tenant.is_retained,
        requested_at,
        deleted_at: None,
    }
}

/// Waits until the watch no longer shows the Tenant, for at most [`DELETE_WAIT_TIMEOUT`].
async fn wait_until_deleted<F: FileStore>(
    worker: &DeletionWorker<F>,
    name: &TenantName,
    uid: &str,
) {
    let mut changes = pin!(worker.tenants.changes(name));
    let deleted = async {
        while let Some(Some(view)) = changes.next().await {
            if *view.uid != *uid {
                return;
            }
        }
    };
    // After a timeout, the caller retries later.
    let _ = timeout(DELETE_WAIT_TIMEOUT, deleted).await;
}

async fn database_deleted<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
) -> Result<NextStep, DeletionError> {
    let mut progress = DeletionProgress {
        step: DeletionStep::Rows,
        blocked_on: None,
        ..deletion.progress.clone()
    };
    if let Some(database) = &mut progress.database {
        database.deleted_at.get_or_insert_with(Timestamp::now);
    }
    save_progress(&worker.database, deletion.id, &progress).await?;
    Ok(NextStep::Continue)
}

async fn rows<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    id: &WorkspaceId,
) -> Result<NextStep, DeletionError> {
    let progress = DeletionProgress {
        step: DeletionStep::Finished,
        blocked_on: None,
        ..deletion.progress.clone()
    };
    let mut transaction = worker.database.begin().await?;
    let region: Option<Option<String>> = sqlx::query_scalar(
        "DELETE FROM workspaces WHERE id = $1 AND state = 'deleting' RETURNING region",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(until) = progress.uploads_until {
        // A presigned URL may still be used, or may have been used after the files were deleted.
        // Delete such uploads after the last URL has expired; if it has already expired, do so
        // soon.
        let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        let sweep = DeleteLateUploads {
            workspace: id.clone(),
            region: region.flatten(),
        };
        jobs::add_after(&mut *transaction, &sweep, wait + LATE_UPLOAD_MARGIN).await?;
    }
    finish(&mut transaction, deletion.id, &progress).await?;
    events::publish(&mut *transaction, &Event::workspace(id.clone())).await?;
    transaction.commit().await?;
    info!(workspace.id = %id, deletion.id = %deletion.id, "workspace deleted");
    Ok(NextStep::Done)
}
