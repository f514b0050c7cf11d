//! The steps of a workspace: files, database, rows.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::job::DeleteLateUploads;
use super::progress::{ConversationCount, DeletionProgress, DeletedDatabase, DeletionStep};
use super::{FileStore, NextStep, Deletion, DeletionError, DeletionWorker, conversations, finish, save_progress};
use crate::ids::WorkspaceId;
use crate::jobs;
use crate::tenants::{TenantName, TenantView};
use crate::events::{self, Event};
use crate::domain::Workspace;
use crate::workspaces::store;

/// How long the step that asks for a Tenant's deletion waits for it before it gives its worker to others. Later steps only look:
/// many removals that are blocked_on up must not take the workers from everything else.
const DELETE_WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Clocks differ, and an upload that began in time may end later.
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
        // The rows go last and with the finish: without them there is nothing left.
        (DeletionStep::Rows | DeletionStep::Finished, _) | (_, None) => rows(worker, deletion, &id).await,
    }
}

async fn files<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    workspace: &Workspace,
) -> Result<NextStep, DeletionError> {
    worker.pools.close(&workspace.id);
    let counted = count_conversations(worker, deletion, workspace).await?;
    let taken = worker
        .files
        .remove_all(workspace.region.as_deref(), &workspace.id)
        .await?;
    let progress = DeletionProgress {
        step: DeletionStep::Database,
        files: counted.files + taken.objects,
        file_bytes: counted.file_bytes + taken.byte_count,
        blocked_on: None,
        ..counted
    };
    save_progress(&worker.database, deletion.id, &progress).await?;
    Ok(NextStep::Continue)
}

/// The progress with what only the database knows, written down before anything goes.
async fn counted<F: FileStore>(
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

/// For a receipt, which whoever has its link reads: the controller's message names the cluster's insides, its reason does not.
fn operator_action_message(reason: &str) -> String {
    format!(
        "It waits for whoever runs this service, and goes on by itself once they have mended what is in its way (reason: {reason})."
    )
}

async fn database<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    workspace: &Workspace,
) -> Result<NextStep, DeletionError> {
    worker.pools.close(&workspace.id);
    let name = TenantName::of(&workspace.id);
    let there = worker.tenants.get(&name).await?;
    // Only what is ours, and where its uid was ever known only that very one.
    let known_uid = deletion
        .progress
        .database
        .as_ref()
        .map(|database| database.uid.as_str())
        .or(workspace.tenant_uid.as_deref());
    let Some(tenant) = there.filter(|tenant| tenant.belongs_to(&workspace.id, known_uid)) else {
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
        // What it was is written down before it goes: afterwards nobody knows.
        save_progress(&worker.database, deletion.id, &progress).await?;
    }
    if tenant.is_deleting {
        return Ok(NextStep::RetryWithBackoff);
    }
    worker.tenants.delete(&name, &tenant.uid).await?;
    wait_until_deleted(worker, &name, &tenant.uid).await;
    // The watch may be late, or not have begun: the API server has the last word.
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

/// What the receipt will say of the Tenant. What was known before stays known: a Tenant that is going may say less.
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

/// Waits until the watch does not show the Tenant (any more), for [`DELETE_WAIT_TIMEOUT`] at most.
async fn went<F: FileStore>(worker: &DeletionWorker<F>, name: &TenantName, uid: &str) {
    let mut changes = pin!(worker.tenants.changes(name));
    let going = async {
        while let Some(Some(view)) = changes.next().await {
            if *view.uid != *uid {
                return;
            }
        }
    };
    // Not in time: whoever asked looks again later.
    let _ = timeout(DELETE_WAIT_TIMEOUT, going).await;
}

async fn gone<F: FileStore>(worker: &DeletionWorker<F>, deletion: &Deletion) -> Result<NextStep, DeletionError> {
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
        "DELETE FROM workspaces WHERE id = $1 AND state = 'removing' RETURNING region",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(until) = progress.uploads_until {
        // A URL that was signed before may be used still, or was since the files were taken: whatever arrives is taken away
        // once none is good any more. Where that is so already, nothing is left of the wait.
        let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        let sweep = DeleteLateUploads {
            workspace: id.clone(),
            region: region.flatten(),
        };
        jobs::add_after(&mut *transaction, &sweep, wait + LATE_UPLOAD_MARGIN).await?;
    }
    finish(&mut transaction, deletion.id, &progress).await?;
    events::notify(&mut *transaction, &Event::workspace(id.clone())).await?;
    transaction.commit().await?;
    info!(workspace.id = %id, deletion.id = %deletion.id, "The workspace is removed");
    Ok(NextStep::Done)
}
