//! The jobs that changes of documents enqueue. `crate::ingestion` runs them.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs::Job;

/// Lower runs first: deletions and renames precede ingestion.
const PRIORITY: i16 = 10;
/// The most that a workspace's other pending documents can add to the priority, so that even the
/// last one precedes background work.
const MAX_AHEAD: i16 = 30;
/// A file that crashes its worker this often is given up.
const MAX_STARTS: i16 = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    pub workspace: WorkspaceId,
    pub document: DocumentId,
    /// Which revision of the document; jobs for an older one stop.
    pub revision: i32,
    /// How many other documents of the workspace were pending when the job was enqueued. Added to
    /// the priority, so that one workspace's many uploads do not delay the first uploads of others.
    #[serde(default)]
    pub ahead: i16,
}

impl Ingest {
    /// The job for a revision, with a priority behind the workspace's other pending documents.
    pub async fn for_revision(
        connection: &mut PgConnection,
        workspace: &WorkspaceId,
        document: DocumentId,
        revision: i32,
    ) -> sqlx::Result<Self> {
        let ahead = sqlx::query_scalar(
            "SELECT least(count(*), $3)::smallint FROM documents
             WHERE workspace_id = $1 AND id <> $2 AND state IN ('queued', 'working')",
        )
        .bind(workspace.as_str())
        .bind(document.0)
        .bind(MAX_AHEAD)
        .fetch_one(connection)
        .await?;
        Ok(Self {
            workspace: workspace.clone(),
            document,
            revision,
            ahead,
        })
    }

    pub fn job_key(document: DocumentId) -> String {
        format!("ingest:{document}")
    }
}

impl Job for Ingest {
    const NAME: &'static str = "ingest_document";
    const MAX_STARTS: i16 = MAX_STARTS;

    fn key(&self) -> String {
        Self::job_key(self.document)
    }

    fn queue_name(&self) -> Option<String> {
        Some(queue_name(self.document))
    }

    fn priority(&self) -> i16 {
        PRIORITY.saturating_add(self.ahead)
    }
}

/// Deletes a document whose state is `deleting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteDocument {
    pub workspace: WorkspaceId,
    pub document: DocumentId,
}

impl Job for DeleteDocument {
    const NAME: &'static str = "delete_document";

    fn key(&self) -> String {
        format!("delete:{}", self.document)
    }

    fn queue_name(&self) -> Option<String> {
        Some(queue_name(self.document))
    }
}

/// Copies a document's title to the tenant's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameDocument {
    pub workspace: WorkspaceId,
    pub document: DocumentId,
}

impl Job for RenameDocument {
    const NAME: &'static str = "rename_document";

    fn key(&self) -> String {
        format!("rename:{}", self.document)
    }

    fn queue_name(&self) -> Option<String> {
        Some(queue_name(self.document))
    }
}

/// The queue name of a document: jobs for the same document run one after another.
fn queue_name(document: DocumentId) -> String {
    format!("document:{document}")
}
