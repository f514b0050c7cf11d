//! The steps of a workspace: files, database, rows.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::job::SweepLateFiles;
use super::progress::{Conversations, Progress, RemovedDatabase, Step};
use super::{Files, Next, Removal, RemovalError, Remover, conversations, finish, write};
use crate::ids::WorkspaceId;
use crate::ingestion::queue;
use crate::tenants::{TenantName, TenantView};
use crate::web::events::{self, Event};
use crate::workspaces::{Workspace, store};

/// How long the step that asks for a Tenant's deletion waits for it before it gives its worker to others. Later steps only look:
/// many removals that are held up must not take the workers from everything else.
const GOING_TAKES: Duration = Duration::from_secs(20);
/// Clocks differ, and an upload that began in time may end later.
const UPLOAD_SLACK: Duration = Duration::from_mins(5);

pub(super) async fn step<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
) -> Result<Next, RemovalError> {
    let id: WorkspaceId = removal
        .subject
        .parse()
        .map_err(|_| RemovalError::Nameless)?;
    let workspace = store::find(&remover.database, &id).await?;
    match (removal.progress.step, workspace) {
        (Step::Workspaces | Step::Files, Some(workspace)) => {
            files(remover, removal, &workspace).await
        }
        (Step::Database, Some(workspace)) => database(remover, removal, &workspace).await,
        // The rows go last and with the finish: without them there is nothing left.
        (Step::Rows | Step::Nothing, _) | (_, None) => rows(remover, removal, &id).await,
    }
}

async fn files<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    workspace: &Workspace,
) -> Result<Next, RemovalError> {
    remover.pools.forget(&workspace.id);
    let counted = counted(remover, removal, workspace).await?;
    let taken = remover
        .files
        .remove_all(workspace.region.as_deref(), &workspace.id)
        .await?;
    let progress = Progress {
        step: Step::Database,
        files: counted.files + taken.objects,
        file_bytes: counted.file_bytes + taken.byte_count,
        held: None,
        ..counted
    };
    write(&remover.database, removal.id, &progress).await?;
    Ok(Next::Step)
}

/// The progress with what only the database knows, written down before anything goes.
async fn counted<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    workspace: &Workspace,
) -> Result<Progress, RemovalError> {
    if removal.progress.conversations != Conversations::NotCounted {
        return Ok(removal.progress.clone());
    }
    let progress = Progress {
        conversations: conversations::count(&remover.pools, workspace).await,
        ..removal.progress.clone()
    };
    write(&remover.database, removal.id, &progress).await?;
    Ok(progress)
}

/// For a receipt, which whoever has its link reads: the controller's message names the cluster's insides, its reason does not.
fn held_words(reason: &str) -> String {
    format!(
        "It waits for whoever runs this service, and goes on by itself once they have mended what is in its way (reason: {reason})."
    )
}

async fn database<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    workspace: &Workspace,
) -> Result<Next, RemovalError> {
    remover.pools.forget(&workspace.id);
    let name = TenantName::of(&workspace.id);
    let there = remover.tenants.look(&name).await?;
    // Only what is ours, and where its uid was ever known only that very one.
    let known_uid = removal
        .progress
        .database
        .as_ref()
        .map(|database| database.uid.as_str())
        .or(workspace.tenant_uid.as_deref());
    let Some(tenant) = there.filter(|tenant| tenant.belongs_to(&workspace.id, known_uid)) else {
        return gone(remover, removal).await;
    };
    let before = removal.progress.database.clone();
    let progress = Progress {
        database: Some(noted(&tenant, before)),
        held: tenant
            .stalled
            .as_ref()
            .filter(|_| tenant.is_deleting)
            .map(|note| held_words(&note.reason)),
        ..removal.progress.clone()
    };
    if progress != removal.progress {
        // What it was is written down before it goes: afterwards nobody knows.
        write(&remover.database, removal.id, &progress).await?;
    }
    if tenant.is_deleting {
        return Ok(Next::Later);
    }
    remover.tenants.delete(&name, &tenant.uid).await?;
    went(remover, &name, &tenant.uid).await;
    // The watch may be late, or not have begun: the API server has the last word.
    let still_there = remover.tenants.look(&name).await?;
    if still_there.is_some_and(|still| still.uid == tenant.uid) {
        return Ok(Next::Later);
    }
    let removal = Removal {
        progress,
        ..removal.clone()
    };
    gone(remover, &removal).await
}

/// What the receipt will say of the Tenant. What was known before stays known: a Tenant that is going may say less.
fn noted(tenant: &TenantView, before: Option<RemovedDatabase>) -> RemovedDatabase {
    let project = tenant.project.as_deref();
    let (before_project, before_region, asked_at) = match before {
        Some(before) => (before.project, before.region, before.asked_at),
        None => (None, None, Timestamp::now()),
    };
    RemovedDatabase {
        tenant: tenant.name.to_string(),
        uid: tenant.uid.to_string(),
        project: project
            .map(|project| project.id.to_string())
            .or(before_project),
        region: project
            .map(|project| project.region.to_string())
            .or(before_region),
        is_retained: tenant.is_retained,
        asked_at,
        gone_at: None,
    }
}

/// Waits until the watch does not show the Tenant (any more), for [`GOING_TAKES`] at most.
async fn went<F: Files>(remover: &Remover<F>, name: &TenantName, uid: &str) {
    let mut changes = pin!(remover.tenants.changes(name));
    let going = async {
        while let Some(Some(view)) = changes.next().await {
            if *view.uid != *uid {
                return;
            }
        }
    };
    // Not in time: whoever asked looks again later.
    let _ = timeout(GOING_TAKES, going).await;
}

async fn gone<F: Files>(remover: &Remover<F>, removal: &Removal) -> Result<Next, RemovalError> {
    let mut progress = Progress {
        step: Step::Rows,
        held: None,
        ..removal.progress.clone()
    };
    if let Some(database) = &mut progress.database {
        database.gone_at.get_or_insert_with(Timestamp::now);
    }
    write(&remover.database, removal.id, &progress).await?;
    Ok(Next::Step)
}

async fn rows<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    id: &WorkspaceId,
) -> Result<Next, RemovalError> {
    let progress = Progress {
        step: Step::Nothing,
        held: None,
        ..removal.progress.clone()
    };
    let mut transaction = remover.database.begin().await?;
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
        let sweep = SweepLateFiles {
            workspace: id.clone(),
            region: region.flatten(),
        };
        queue::add_after(&mut *transaction, &sweep, wait + UPLOAD_SLACK).await?;
    }
    finish(&mut transaction, removal.id, &progress).await?;
    events::notify(&mut *transaction, &Event::workspace(id.clone())).await?;
    transaction.commit().await?;
    info!(workspace.id = %id, removal.id = %removal.id, "The workspace is removed");
    Ok(Next::Done)
}
