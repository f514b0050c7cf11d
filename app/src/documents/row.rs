//! A document's row.

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row as _};

use super::{Failure, Trouble};
use crate::ids::{DocumentId, UserId, WorkspaceId};
use crate::objects::Sha256Digest;
use crate::events::{self, Event};
use crate::rows::{moment, optional_moment};

/// A document, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Stands in URLs, in the tenant's database and in the object's key.
    pub id: DocumentId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// As it was uploaded.
    pub file_name: String,
    /// As people call it.
    pub title: String,
    /// Its size.
    pub byte_count: u64,
    /// Of its bytes.
    pub content_sha256: Sha256Digest,
    /// How far it is.
    pub state: State,
    /// Counts the readings that were asked for.
    pub reading: i32,
    /// Until when the file has to have arrived.
    pub upload_deadline: Timestamp,
    /// Who brought it, if they are still there.
    pub uploaded_by: Option<UserId>,
    /// How that person is called.
    pub uploaded_by_name: Option<String>,
    /// Pages, once it was read.
    pub page_count: Option<u32>,
    /// Chunks, once it was read.
    pub chunk_count: Option<u32>,
    /// The numbers of the pages that are damaged and were left out when it was read.
    pub unreadable_pages: Vec<u32>,
    /// When it came.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

/// How far a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its file is on the way.
    Uploading,
    /// It waits for its turn.
    Queued,
    /// It is being read.
    Working {
        /// What is being done.
        step: Step,
        /// How much of the step is done, 0 to 100.
        percent: u8,
        /// What is in the way, and when it goes on.
        trouble: Option<(Trouble, Option<Timestamp>)>,
    },
    /// It can be searched and asked.
    Ready,
    /// It could not be read.
    Failed(Failure),
    /// It is on its way out.
    Removing,
}

impl State {
    /// Whether the file is here, to be opened and read again.
    pub fn has_file(&self) -> bool {
        match self {
            Self::Uploading | Self::Removing => false,
            Self::Failed(failure) => failure.has_file(),
            Self::Queued | Self::Working { .. } | Self::Ready => true,
        }
    }
}

/// What is done to a document, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Looking for what is needed: the file and the database.
    Fetch,
    /// Getting its text.
    Extract,
    /// Cutting the text.
    Chunk,
    /// Making vectors.
    Embed,
    /// Writing all of it into the tenant's database.
    Store,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Fetch,
        Self::Extract,
        Self::Chunk,
        Self::Embed,
        Self::Store,
    ];

    /// As the row and the metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Embed => "embed",
            Self::Store => "store",
        }
    }

    fn from_column(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// What every query here selects. A constant, so that no text of anybody's comes near the SQL.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.workspace_id, d.file_name, d.title, d.byte_count, d.content_sha256, d.state::text AS state, d.reading,
                    d.uploaded_by, u.display_name AS uploaded_by_name, d.step, d.percent, d.trouble, d.failure, d.page_count, d.chunk_count,
                    d.unreadable_pages,
                    (extract(epoch FROM d.upload_deadline) * 1000000)::bigint AS deadline_us,
                    (extract(epoch FROM d.retry_at) * 1000000)::bigint AS retry_us,
                    (extract(epoch FROM d.created_at) * 1000000)::bigint AS created_us,
                    (extract(epoch FROM d.updated_at) * 1000000)::bigint AS updated_us
             FROM documents d LEFT JOIN users u ON u.id = d.uploaded_by ",
            $rest
        )
    };
}

/// The workspace's document of this id.
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

/// The workspace's documents, newest first. The plan bounds their number; those on their way out are among them.
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

/// Tells whoever watches the workspace that this document changed; with the transaction.
pub(crate) async fn note_event(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> sqlx::Result<()> {
    events::notify(executor, &Event::document(workspace.clone(), document)).await
}

impl FromRow<'_, PgRow> for Document {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let workspace: String = row.try_get("workspace_id")?;
        let sha256: Vec<u8> = row.try_get("content_sha256")?;
        Ok(Self {
            id: DocumentId(row.try_get("id")?),
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
            state: state(row)?,
            reading: row.try_get("reading")?,
            upload_deadline: moment(row, "deadline_us")?,
            uploaded_by: row.try_get::<Option<_>, _>("uploaded_by")?.map(UserId),
            uploaded_by_name: row.try_get("uploaded_by_name")?,
            page_count: count(row, "page_count")?,
            chunk_count: count(row, "chunk_count")?,
            unreadable_pages: row
                .try_get::<Vec<i32>, _>("unreadable_pages")?
                .into_iter()
                .filter_map(|number| u32::try_from(number).ok())
                .collect(),
            created_at: moment(row, "created_us")?,
            updated_at: moment(row, "updated_us")?,
        })
    }
}

fn state(row: &PgRow) -> sqlx::Result<State> {
    let state: &str = row.try_get("state")?;
    Ok(match state {
        "uploading" => State::Uploading,
        "queued" => State::Queued,
        "working" => State::Working {
            step: row
                .try_get::<Option<&str>, _>("step")?
                .and_then(Step::from_column)
                .unwrap_or(Step::Fetch),
            percent: row
                .try_get::<Option<i16>, _>("percent")?
                .and_then(|percent| u8::try_from(percent).ok())
                .unwrap_or(0),
            trouble: match row
                .try_get::<Option<&str>, _>("trouble")?
                .and_then(Trouble::from_column)
            {
                Some(trouble) => Some((trouble, optional_moment(row, "retry_us")?)),
                None => None,
            },
        },
        "ready" => State::Ready,
        "failed" => State::Failed(Failure::from_column(
            row.try_get::<Option<&str>, _>("failure")?
                .unwrap_or_default(),
        )),
        _ => State::Removing,
    })
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
