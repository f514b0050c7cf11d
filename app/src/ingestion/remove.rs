//! A document, taken away: its rows in the tenant's database, its file, and last its own row, so that until nothing is left there is
//! always something that says what has to go.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tracing::info;

use super::embed::lock;
use super::ingest::lane;
use crate::jobs::{self, Job, Setback, Turn};
use super::workshop::{Checkpoint, Workshop};
use crate::ask::threads;
use crate::documents::{self, State};
use crate::ids::{DocumentId, WorkspaceId};
use crate::tenants::Unavailable;
use crate::workspaces;
use crate::domain::{Workspace, WorkspaceState};

/// Takes a document away whose row says `removing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveDocument {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Which it is.
    pub document: DocumentId,
}

impl Job for RemoveDocument {
    type State = Workshop;
    const NAME: &'static str = "remove_document";

    fn key(&self) -> String {
        format!("remove:{}", self.document)
    }

    fn lane(&self) -> Option<String> {
        Some(lane(self.document))
    }

    async fn run(self, workshop: Workshop, turn: Turn) -> Result<(), Setback> {
        let tools = workshop.tools();
        let away = |error: sqlx::Error| Setback::backoff(turn, error);
        let Some(workspace) = workspaces::store::find(&tools.database, &self.workspace)
            .await
            .map_err(away)?
        else {
            return Ok(());
        };
        let row = documents::find(&tools.database, &self.workspace, self.document)
            .await
            .map_err(away)?;
        let Some(row) = row.filter(|row| row.state == State::Removing) else {
            return Ok(());
        };
        if workspace.state == WorkspaceState::Deleting {
            // All of it goes, and this with it.
            return Ok(());
        }
        remove_rows(&workshop, &workspace, self.document, turn).await?;
        workshop.reached(Checkpoint::RowsRemoved).await;
        let place = tools
            .objects
            .prefix(workspace.region.as_deref(), &workspace.id)
            .document(self.document);
        tools
            .objects
            .remove(&place)
            .await
            .map_err(|error| Setback::backoff(turn, error))?;
        workshop.reached(Checkpoint::FileRemoved).await;
        self.remove_row(&tools.database, workspace.region, row.upload_deadline)
            .await
            .map_err(|error| Setback::backoff(turn, error))?;
        info!(document.id = %self.document, "The document is removed");
        Ok(())
    }
}

impl RemoveDocument {
    async fn remove_row(
        &self,
        database: &PgPool,
        region: Option<String>,
        upload_deadline: jiff::Timestamp,
    ) -> Result<(), jobs::QueueError> {
        let mut transaction = database.begin().await?;
        sqlx::query(
            "DELETE FROM documents WHERE workspace_id = $1 AND id = $2 AND state = 'removing'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .execute(&mut *transaction)
        .await?;
        // Whoever still holds the URL can send the file once more, to a place that no row knows of.
        let rest = upload_deadline.duration_since(jiff::Timestamp::now());
        if let Ok(rest) = Duration::try_from(rest)
            && !rest.is_zero()
        {
            let job = RemoveStrayFile {
                workspace: self.workspace.clone(),
                document: self.document,
                region,
            };
            jobs::add_after(&mut *transaction, &job, rest).await?;
        }
        documents::note_event(&mut *transaction, &self.workspace, self.document).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn remove_rows(
    workshop: &Workshop,
    workspace: &Workspace,
    document: DocumentId,
    turn: Turn,
) -> Result<(), Setback> {
    let lease = match workshop.tools().tenants.open(workspace).await {
        Ok(lease) => lease,
        // With the database, its rows are gone.
        Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
        // One that never was there has none.
        Err(_) if workspace.available_at.is_none() => return Ok(()),
        Err(reason) => return Err(Setback::backoff(turn, reason)),
    };
    let removed = async {
        // A reading that is about to commit holds this lock: its rows are there when it is ours, or never will be.
        let mut transaction = lock(lease.pool(), document).await?;
        for statement in [
            "DELETE FROM embedding_drafts WHERE document_id = $1",
            "DELETE FROM documents WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(document.0)
                .persistent(false)
                .execute(&mut *transaction)
                .await?;
        }
        // What answers quoted of it goes with it.
        threads::forget_document(&mut *transaction, document).await?;
        transaction.commit().await
    };
    if let Err(error) = removed.await {
        workshop.tools().tenants.failed(workspace, &error).await;
        return Err(Setback::backoff(turn, error));
    }
    Ok(())
}

/// Looks once more at the place of a removed document, when no URL for it can be good any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveStrayFile {
    /// Whose it was.
    pub workspace: WorkspaceId,
    /// Which it was.
    pub document: DocumentId,
    /// Region of its workspace, which says in which bucket the place is: the workspace may be gone by then.
    #[serde(default)]
    pub region: Option<String>,
}

impl Job for RemoveStrayFile {
    type State = Workshop;
    const NAME: &'static str = "remove_stray_file";

    fn key(&self) -> String {
        format!("stray:{}", self.document)
    }

    async fn run(self, workshop: Workshop, turn: Turn) -> Result<(), Setback> {
        let tools = workshop.tools();
        let place = tools
            .objects
            .prefix(self.region.as_deref(), &self.workspace)
            .document(self.document);
        tools
            .objects
            .remove(&place)
            .await
            .map_err(|error| Setback::backoff(turn, error))?;
        Ok(())
    }
}
