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
/// A file of at most this size has no size penalty. It grows by one whenever the size doubles.
const SMALL_FILE_BYTES: u64 = 512 * 1024;
/// Together with [`MAX_AHEAD`] this precedes background work.
const MAX_SIZE_PENALTY: i16 = 8;
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
    /// Added to the priority, so that a small file does not wait for the large ones before it.
    #[serde(default)]
    pub size_penalty: i16,
}

impl Ingest {
    /// The job for a revision, with a priority behind the workspace's other pending documents.
    pub async fn for_revision(
        connection: &mut PgConnection,
        workspace: &WorkspaceId,
        document: DocumentId,
        revision: i32,
    ) -> sqlx::Result<Self> {
        let (ahead, byte_count): (i16, Option<i64>) = sqlx::query_as(
            "SELECT least(count(*) FILTER (WHERE id <> $2 AND state IN ('queued', 'working')), $3)::smallint,
                    max(byte_count) FILTER (WHERE id = $2)
             FROM documents WHERE workspace_id = $1",
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
            size_penalty: size_penalty(byte_count.unwrap_or_default()),
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
        PRIORITY
            .saturating_add(self.ahead)
            .saturating_add(self.size_penalty)
    }
}

fn size_penalty(byte_count: i64) -> i16 {
    let multiple = u64::try_from(byte_count)
        .unwrap_or(0)
        .div_ceil(SMALL_FILE_BYTES)
        .max(1);
    let doublings = multiple.next_power_of_two().ilog2();
    i16::try_from(doublings)
        .unwrap_or(i16::MAX)
        .min(MAX_SIZE_PENALTY)
}

/// Removes the text of a document whose first ingestion was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardText {
    pub workspace: WorkspaceId,
    pub document: DocumentId,
}

impl Job for DiscardText {
    const NAME: &'static str = "discard_text";

    fn key(&self) -> String {
        format!("discard-text:{}", self.document)
    }

    fn queue_name(&self) -> Option<String> {
        Some(queue_name(self.document))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_precede_large_ones_and_all_precede_background_work() {
        const MB: i64 = 1_000_000;
        let penalties: Vec<i16> = [0, MB / 10, MB, 5 * MB, 25 * MB, 1_000_000 * MB]
            .map(size_penalty)
            .to_vec();
        assert_eq!(penalties, [0, 0, 1, 4, 6, MAX_SIZE_PENALTY]);
        // The priority of re-embedding is 50.
        const { assert!(PRIORITY + MAX_AHEAD + MAX_SIZE_PENALTY < 50) };
    }
}
