//! The row of a document.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use pdf_text::{PageKind, PageRange, PageReport};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor, Row as _};

use super::{BlockedOn, IngestError};
use crate::events::{self, Event};
use crate::ids::{DocumentId, UserId, WorkspaceId};
use crate::objects::Sha256Digest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Also identifies the document in URLs, in the tenant's database and in its object key.
    pub id: DocumentId,
    pub workspace: WorkspaceId,
    pub file_name: String,
    pub title: String,
    pub byte_count: u64,
    /// Of the file's bytes.
    pub content_sha256: Sha256Digest,
    pub state: DocumentStatus,
    /// Incremented by every change that makes work in progress obsolete.
    pub revision: i32,
    /// When the file must have arrived.
    pub upload_deadline: Timestamp,
    /// `None` once the user's account is deleted.
    pub uploaded_by: Option<UserId>,
    pub uploaded_by_name: Option<String>,
    /// `None` until the document was ingested once.
    pub page_count: Option<u32>,
    /// `None` until the document was ingested once.
    pub chunk_count: Option<u32>,
    /// `None` if all pages were read, or the document was not ingested yet.
    pub page_summary: Option<PageSummary>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Messages for users about pages that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSummary {
    /// For lists, for example `198 of 311 pages are images.`
    pub summary: String,
    /// For details, for example `Pages 2–5 are damaged and could not be read.`
    pub warnings: Vec<String>,
}

impl PageSummary {
    /// `None` if all pages were read.
    pub(crate) fn of(report: &PageReport) -> Option<Self> {
        Some(Self {
            summary: report.summary()?,
            warnings: report.warnings(),
        })
    }
}

/// The value of the column `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "document_state", rename_all = "snake_case")]
pub enum DocumentPhase {
    Uploading,
    Queued,
    Working,
    Ready,
    Failed,
    Deleting,
}

/// A document's phase, with what the row holds about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentStatus {
    /// The file has not arrived yet.
    Uploading,
    Queued,
    Working {
        step: IngestStep,
        /// Progress within the step.
        percent: u8,
        /// What the ingestion is waiting for, and when the next attempt starts.
        blocked: Option<(BlockedOn, Option<Timestamp>)>,
    },
    /// The document can be searched and asked about.
    Ready,
    Failed(IngestError),
    Deleting,
}

impl DocumentStatus {
    /// Whether the file is stored, so that it can be downloaded and ingested again.
    pub fn has_file(&self) -> bool {
        match self {
            Self::Uploading | Self::Deleting => false,
            Self::Failed(failure) => failure.has_file(),
            Self::Queued | Self::Working { .. } | Self::Ready => true,
        }
    }
}

/// The steps of ingestion, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum IngestStep {
    /// Check that the file and the database are available.
    Fetch,
    Extract,
    /// Split the text into chunks.
    Chunk,
    /// Create the embeddings.
    Embed,
    /// Write everything to the tenant's database.
    Store,
}

impl IngestStep {
    /// As stored, and as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Embed => "embed",
            Self::Store => "store",
        }
    }
}

/// Columns of every query for a [`Document`]. A macro, so that the SQL is a compile-time constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.workspace_id, d.file_name, d.title, d.byte_count, d.content_sha256, d.state,
                    d.revision, d.uploaded_by, u.display_name AS uploaded_by_name, d.step, d.percent, d.blocked_on, d.retry_at, d.failure,
                    d.page_count, d.chunk_count, d.page_summary,
                    CASE WHEN d.page_summary IS NULL THEN d.page_report - 'labels' END AS page_report,
                    CASE WHEN d.page_summary IS NULL THEN d.unreadable_pages END AS unreadable_pages, d.upload_deadline, d.created_at, d.updated_at
             FROM documents d LEFT JOIN users u ON u.id = d.uploaded_by ",
            $rest
        )
    };
}

pub async fn find(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> sqlx::Result<Option<Document>> {
    sqlx::query_as(select!("WHERE d.workspace_id = $1 AND d.id = $2"))
        .bind(workspace.as_str())
        .bind(document.0)
        .fetch_optional(executor)
        .await
}

/// The workspace's documents, newest first, including those being deleted. The plan limits their
/// number.
pub async fn list(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
) -> sqlx::Result<Vec<Document>> {
    sqlx::query_as(select!(
        "WHERE d.workspace_id = $1 ORDER BY d.created_at DESC, d.id"
    ))
    .bind(workspace.as_str())
    .fetch_all(executor)
    .await
}

/// How many of the workspace's documents are being uploaded or processed for the first time.
pub async fn count_pending(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
) -> sqlx::Result<u32> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM documents
         WHERE workspace_id = $1 AND state IN ('uploading', 'queued', 'working') AND page_count IS NULL",
    )
    .bind(workspace.as_str())
    .fetch_one(executor)
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What the pages of a ready document are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPages {
    pub title: String,
    pub report: PageReport,
}

/// What the pages of a document are. `None` if the document does not exist.
pub async fn page_report(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> sqlx::Result<Option<PageReport>> {
    let report: Option<Json<PageReport>> =
        sqlx::query_scalar("SELECT page_report FROM documents WHERE workspace_id = $1 AND id = $2")
            .bind(workspace.as_str())
            .bind(document.0)
            .fetch_optional(executor)
            .await?;
    Ok(report.map(|Json(report)| report))
}

/// The pages of these documents, and of all documents of the workspace with pages that could not be
/// read. Documents that are not ready are left out.
pub async fn pages(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    documents: &[DocumentId],
) -> sqlx::Result<HashMap<DocumentId, DocumentPages>> {
    let documents: Vec<uuid::Uuid> = documents.iter().map(|document| document.0).collect();
    let rows: Vec<(DocumentId, String, Json<PageReport>)> = sqlx::query_as(
        "SELECT id, title, page_report FROM documents
         WHERE workspace_id = $1 AND state = 'ready'
           AND (id = ANY($2) OR cardinality(unreadable_pages) > 0)",
    )
    .bind(workspace.as_str())
    .bind(documents)
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, title, Json(report))| (id, DocumentPages { title, report }))
        .collect())
}

/// Notifies the workspace's event streams of a changed document when the transaction commits.
pub(crate) async fn publish_change(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> sqlx::Result<()> {
    events::publish(executor, &Event::document(workspace.clone(), document)).await
}

impl FromRow<'_, PgRow> for Document {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let workspace: String = row.try_get("workspace_id")?;
        let sha256: Vec<u8> = row.try_get("content_sha256")?;
        Ok(Self {
            id: row.try_get("id")?,
            workspace: workspace
                .parse()
                .map_err(|error| undecodable("workspace_id", error))?,
            file_name: row.try_get("file_name")?,
            title: row.try_get("title")?,
            byte_count: unsigned(row, "byte_count")?,
            content_sha256: sha256
                .as_slice()
                .try_into()
                .map_err(|error| undecodable("content_sha256", error))?,
            state: DocumentStatus::from_row(row)?,
            revision: row.try_get("revision")?,
            upload_deadline: row.try_get::<SqlTimestamp, _>("upload_deadline")?.to_jiff(),
            uploaded_by: row.try_get("uploaded_by")?,
            uploaded_by_name: row.try_get("uploaded_by_name")?,
            page_count: count(row, "page_count")?,
            chunk_count: count(row, "chunk_count")?,
            page_summary: page_summary(row)?,
            created_at: row.try_get::<SqlTimestamp, _>("created_at")?.to_jiff(),
            updated_at: row.try_get::<SqlTimestamp, _>("updated_at")?.to_jiff(),
        })
    }
}

impl FromRow<'_, PgRow> for DocumentStatus {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(match row.try_get("state")? {
            DocumentPhase::Uploading => Self::Uploading,
            DocumentPhase::Queued => Self::Queued,
            DocumentPhase::Working => Self::Working {
                step: row
                    .try_get::<Option<_>, _>("step")?
                    .unwrap_or(IngestStep::Fetch),
                percent: row
                    .try_get::<Option<i16>, _>("percent")?
                    .and_then(|percent| u8::try_from(percent).ok())
                    .unwrap_or(0),
                blocked: blocked(row)?,
            },
            DocumentPhase::Ready => Self::Ready,
            DocumentPhase::Failed => Self::Failed(row.try_get("failure")?),
            DocumentPhase::Deleting => Self::Deleting,
        })
    }
}

fn page_summary(row: &PgRow) -> sqlx::Result<Option<PageSummary>> {
    if let Some(Json(summary)) = row.try_get("page_summary")? {
        return Ok(summary);
    }
    // Not ingested yet, or by an earlier version.
    let Some(page_count) = count(row, "page_count")? else {
        return Ok(None);
    };
    let Json(mut report) = row.try_get::<Json<PageReport>, _>("page_report")?;
    if report.ranges.is_empty() {
        // The first versions recorded damaged pages only.
        report.page_count = page_count;
        report.ranges = row
            .try_get::<Vec<i32>, _>("unreadable_pages")?
            .into_iter()
            .filter_map(|number| u32::try_from(number).ok())
            .map(|number| PageRange {
                first: number,
                last: number,
                kind: PageKind::Damaged,
            })
            .collect();
    }
    Ok(PageSummary::of(&report))
}

fn blocked(row: &PgRow) -> sqlx::Result<Option<(BlockedOn, Option<Timestamp>)>> {
    let on: Option<BlockedOn> = match row.try_get("blocked_on") {
        // A value of a newer version.
        Err(sqlx::Error::ColumnDecode { .. }) => None,
        on => on?,
    };
    let retry_at: Option<SqlTimestamp> = row.try_get("retry_at")?;
    Ok(on.map(|on| (on, retry_at.map(SqlTimestamp::to_jiff))))
}

fn unsigned(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|error| undecodable(column, error))
}

fn count(row: &PgRow, column: &str) -> sqlx::Result<Option<u32>> {
    row.try_get::<Option<i32>, _>(column)?
        .map(u32::try_from)
        .transpose()
        .map_err(|error| undecodable(column, error))
}

fn undecodable(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    }
}
