//! Exports a workspace as a zip archive: its PDFs, their text, the conversations that the reader sees,
//! and a manifest with a digest of each file.
//!
//! The archive is streamed while it is written and is not stored anywhere. If writing fails, the
//! response is aborted. The manifest and the zip's central directory come last, so a truncated
//! archive cannot be opened. An export can take long, so it ends when its reader loses access to the
//! workspace meanwhile.

mod archive;
mod block_channel;
mod names;
mod permits;
mod text;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde::Serialize;
use service_kit::error_chain;
use sqlx::{PgPool, Row as _};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::documents::{DocumentPhase, IngestError};
use crate::domain::Workspace;
use crate::identity::sessions;
use crate::ids::{DocumentId, SessionId, UserId, WorkspaceId};
use crate::objects::{ObjectStore, ObjectStoreError};
use crate::tenants::{TenantDatabase, Unavailable};
use crate::workspaces::store;
use archive::{Archive, ArchiveEntry, ArchiveError};
use permits::ExportPermit;

/// Maximum number of concurrent exports per process, each for a different user. An export needs a
/// few blocks of memory and a tenant pool.
pub const MAX_CONCURRENT_EXPORTS: usize = 16;
/// Timeout for an export, so that a slow client does not hold its permit forever.
pub const EXPORT_TIMEOUT: Duration = Duration::from_hours(1);
/// How often a running export checks that its reader still has access.
const ACCESS_CHECK_INTERVAL: Duration = Duration::from_secs(2);
const MANIFEST_VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{MAX_CONCURRENT_EXPORTS} exports are running, or this user already has one")]
    Busy,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("database query failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to read a file")]
    Objects(#[from] ObjectStoreError),
    #[error("a file's content differs from what was uploaded")]
    Changed,
    /// The client disconnected, or writing the zip failed.
    #[error("failed to write the archive")]
    Archive(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("timed out")]
    Timeout,
    /// The reader was removed from the workspace or signed out, or the workspace is being deleted.
    #[error("the reader has no access to the workspace any more")]
    AccessEnded,
}

impl From<ArchiveError> for ExportError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

/// The stores that hold the workspace's content.
#[derive(Debug, Clone)]
pub struct ExportSources {
    pub database: PgPool,
    pub tenant: TenantDatabase,
    pub objects: ObjectStore,
}

/// Who receives an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    pub user: UserId,
    pub session: SessionId,
}

/// Starts an export of the workspace for a member and returns the archive as a stream.
pub async fn export(
    sources: ExportSources,
    workspace: Workspace,
    reader: Reader,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ExportError> {
    let permit = ExportPermit::try_acquire(reader.user).ok_or(ExportError::Busy)?;
    let documents = documents(&sources.database, &workspace).await?;
    let (sender, blocks) = block_channel::block_channel();
    tokio::spawn(write(sources, workspace, reader, documents, sender, permit));
    Ok(blocks)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ExportedDocument {
    id: DocumentId,
    file_name: String,
    title: String,
    byte_count: u64,
    sha256: String,
    state: DocumentPhase,
    has_file: bool,
    page_count: Option<i32>,
}

#[derive(Serialize)]
struct Manifest<'a> {
    version: u32,
    workspace: &'a str,
    name: &'a str,
    exported_at: Timestamp,
    documents: Vec<DocumentEntry>,
    threads: Vec<ThreadEntry>,
    /// All files of the archive except the manifest.
    entries: &'a [ArchiveEntry],
}

#[derive(Serialize)]
struct DocumentEntry {
    id: DocumentId,
    file_name: String,
    title: String,
    state: DocumentPhase,
    page_count: Option<i32>,
    /// Missing if the file was not uploaded, is not a PDF, or was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pdf: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize)]
struct ThreadEntry {
    id: Uuid,
    path: String,
}

/// Documents whose upload has finished or failed, oldest first.
async fn documents(
    database: &PgPool,
    workspace: &Workspace,
) -> Result<Vec<ExportedDocument>, ExportError> {
    let rows = sqlx::query(
        "SELECT id, file_name, title, byte_count, encode(content_sha256, 'hex') AS sha256, state, failure, page_count
         FROM documents
         WHERE workspace_id = $1 AND state NOT IN ('uploading', 'deleting')
         ORDER BY created_at, id",
    )
    .bind(workspace.id.as_str())
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| {
            let failure: Option<IngestError> = row.try_get("failure")?;
            Ok(ExportedDocument {
                has_file: failure.is_none_or(|error| error.has_file()),
                id: row.try_get("id")?,
                file_name: row.try_get("file_name")?,
                title: row.try_get("title")?,
                byte_count: row.try_get::<i64, _>("byte_count")?.unsigned_abs(),
                sha256: row.try_get("sha256")?,
                state: row.try_get("state")?,
                page_count: row.try_get("page_count")?,
            })
        })
        .collect()
}

/// Writes the archive, holding the permit until the end.
async fn write(
    sources: ExportSources,
    workspace: Workspace,
    reader: Reader,
    documents: Vec<ExportedDocument>,
    sender: block_channel::BlockSender,
    _permit: ExportPermit,
) {
    let exported_at = Timestamp::now();
    let archive = Archive::new(sender, exported_at);
    let writing = Box::pin(fill(
        archive,
        &sources,
        &workspace,
        reader.user,
        documents,
        exported_at,
    ));
    let written = tokio::select! {
        written = timeout(EXPORT_TIMEOUT, writing) => written.unwrap_or(Err(ExportError::Timeout)),
        () = until_access_ends(&sources.database, &workspace.id, reader) => {
            Err(ExportError::AccessEnded)
        }
    };
    match written {
        Ok(()) => info!(workspace.id = %workspace.id, "workspace exported"),
        // The sender is dropped without `finish`, so the response is aborted.
        Err(error) => warn!(
            workspace.id = %workspace.id,
            error = %error_chain(&error),
            "export aborted"
        ),
    }
}

/// Returns when the reader has lost access. Failed checks are repeated: while the main database is
/// unavailable, members cannot be removed either.
async fn until_access_ends(database: &PgPool, workspace: &WorkspaceId, reader: Reader) {
    loop {
        sleep(ACCESS_CHECK_INTERVAL).await;
        match has_access(database, workspace, reader).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => warn!(
                workspace.id = %workspace,
                error = %error_chain(&error),
                "failed to check access to a running export, retrying"
            ),
        }
    }
}

async fn has_access(
    database: &PgPool,
    workspace: &WorkspaceId,
    reader: Reader,
) -> sqlx::Result<bool> {
    Ok(sessions::is_active(database, reader.session).await?
        && store::for_member(database, reader.user, workspace)
            .await?
            .is_some())
}

async fn fill(
    mut archive: Archive,
    sources: &ExportSources,
    workspace: &Workspace,
    reader: UserId,
    documents: Vec<ExportedDocument>,
    exported_at: Timestamp,
) -> Result<(), ExportError> {
    let prefix = sources
        .objects
        .prefix(workspace.region.as_deref(), &workspace.id);
    let mut listed = Vec::with_capacity(documents.len());
    for (at, document) in documents.into_iter().enumerate() {
        let file = if document.has_file {
            match sources.objects.read(&prefix.document(document.id)).await {
                Ok(file) => Some(file),
                Err(ObjectStoreError::NotFound) => {
                    match classify_missing_file(sources, workspace, &document).await? {
                        MissingFile::Listed => None,
                        MissingFile::Skipped => continue,
                        MissingFile::Lost => return Err(ObjectStoreError::NotFound.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            None
        };
        let mut pdf = None;
        if let Some(file) = file {
            let path = names::entry("documents", at + 1, &document.title, "pdf");
            let mut entry = archive.entry(path.clone(), Some(document.byte_count))?;
            entry.copy(file).await?;
            if entry.close().sha256 != document.sha256 {
                return Err(ExportError::Changed);
            }
            pdf = Some(path);
        }
        let mut text = None;
        if document.state == DocumentPhase::Ready {
            let path = names::entry("text", at + 1, &document.title, "txt");
            let mut entry = archive.entry(path.clone(), None)?;
            text::document(&sources.tenant, document.id, &mut entry).await?;
            entry.close();
            text = Some(path);
        }
        listed.push(DocumentEntry {
            id: document.id,
            file_name: document.file_name,
            title: document.title,
            state: document.state,
            page_count: document.page_count,
            pdf,
            text,
        });
    }
    let threads = threads(&mut archive, &sources.tenant, reader).await?;
    let entries = archive.entries().to_vec();
    let manifest = serde_json::to_vec_pretty(&Manifest {
        version: MANIFEST_VERSION,
        workspace: workspace.id.as_str(),
        name: &workspace.name,
        exported_at,
        documents: listed,
        threads,
        entries: &entries,
    })
    .map_err(|error| ExportError::Archive(Box::new(error)))?;
    let mut entry = archive.entry("manifest.json".to_owned(), None)?;
    entry.write(&manifest).await?;
    entry.close();
    Ok(archive.finish().await?)
}

async fn threads(
    archive: &mut Archive,
    tenant: &PgPool,
    reader: UserId,
) -> Result<Vec<ThreadEntry>, ExportError> {
    let mut listed = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let page = text::threads(tenant, reader, after).await?;
        let Some(last) = page.last() else {
            return Ok(listed);
        };
        after = last.id;
        for thread in &page {
            let path = names::entry("threads", listed.len() + 1, &thread.title, "json");
            let mut entry = archive.entry(path.clone(), None)?;
            text::thread(tenant, thread, &mut entry).await?;
            entry.close();
            listed.push(ThreadEntry {
                id: thread.id,
                path,
            });
        }
    }
}

/// Why a document's file is missing.
enum MissingFile {
    /// The document has failed; the manifest says so.
    Listed,
    /// The document was deleted or is being uploaded again.
    Skipped,
    /// The file should exist.
    Lost,
}

async fn classify_missing_file(
    sources: &ExportSources,
    workspace: &Workspace,
    document: &ExportedDocument,
) -> Result<MissingFile, ExportError> {
    let state: Option<DocumentPhase> =
        sqlx::query_scalar("SELECT state FROM documents WHERE workspace_id = $1 AND id = $2")
            .bind(workspace.id.as_str())
            .bind(document.id.0)
            .fetch_optional(&sources.database)
            .await?;
    Ok(match state {
        None | Some(DocumentPhase::Uploading | DocumentPhase::Deleting) => MissingFile::Skipped,
        _ if document.state == DocumentPhase::Failed => MissingFile::Listed,
        Some(DocumentPhase::Failed) => MissingFile::Listed,
        Some(_) => MissingFile::Lost,
    })
}
