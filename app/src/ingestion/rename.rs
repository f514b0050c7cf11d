//! A new title, brought to the tenant's database, where citations read it.

use serde::{Deserialize, Serialize};

use super::embed::lock;
use super::ingest::lane;
use crate::jobs::{Job, Setback, Turn};
use super::workshop::Workshop;
use crate::documents;
use crate::ids::{DocumentId, WorkspaceId};
use crate::tenants::Unavailable;
use crate::workspaces;

/// Brings a document's title to the tenant's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameDocument {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Which it is.
    pub document: DocumentId,
}

impl Job for RenameDocument {
    type State = Workshop;
    const NAME: &'static str = "rename_document";

    fn key(&self) -> String {
        format!("rename:{}", self.document)
    }

    fn lane(&self) -> Option<String> {
        Some(lane(self.document))
    }

    async fn run(self, workshop: Workshop, turn: Turn) -> Result<(), Setback> {
        let database = &workshop.tools().database;
        let away = |error: sqlx::Error| Setback::backoff(turn, error);
        let Some(workspace) = workspaces::store::find(database, &self.workspace)
            .await
            .map_err(away)?
        else {
            return Ok(());
        };
        let lease = match workshop.tools().tenants.open(&workspace).await {
            Ok(lease) => lease,
            // There is nothing to rename in: whatever is stored later is stored with the title as it is then.
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(Setback::backoff(turn, reason)),
        };
        let renamed = async {
            let mut transaction = lock(lease.pool(), self.document).await?;
            // Under the lock, so that of two renamings the later title stays.
            let Some(row) = documents::find(database, &self.workspace, self.document).await? else {
                return Ok(());
            };
            sqlx::query(
                "UPDATE documents SET title = $2, updated_at = now() WHERE id = $1 AND title <> $2",
            )
            .bind(self.document.0)
            .bind(&row.title)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        if let Err(error) = renamed.await {
            workshop.tools().tenants.failed(&workspace, &error).await;
            return Err(Setback::backoff(turn, error));
        }
        Ok(())
    }
}
