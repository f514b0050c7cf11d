//! A workspace as one archive: its PDFs, their text, its conversations, and a manifest with a digest of each.
//!
//! It is written while it is sent, a block at a time; nothing of it is kept anywhere. A failure half way breaks the response off: the
//! manifest comes last and the zip's own list after it, so half an archive is none.

mod archive;
mod names;
mod block_channel;
mod permits;
mod text;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{PgPool, Row as _};
use tracing::{info, warn};
use uuid::Uuid;

use crate::domain::Workspace;
use crate::documents::Failure;
use crate::ids::{DocumentId, UserId};
use crate::objects::{Objects, ObjectsError};
use crate::tenants::{TenantDatabase, Unavailable};
use archive::{Archive, ArchiveError, ArchiveEntry};
use permits::ExportPermit;

/// Archives that one process writes at once, each for another person. One costs some blocks of memory and a tenant's pool.
pub const MAX_CONCURRENT_EXPORTS: usize = 16;
/// Limit on writing one: a reader that hardly reads does not hold its permit for ever.
pub const EXPORT_TIMEOUT: Duration = Duration::from_hours(1);
/// Version of the manifest's form.
const MANIFEST_VERSION: u32 = 1;

/// Why there is no archive, or only half of one.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// So many are being written already, or one for this person.
    #[error("{MAX_CONCURRENT_EXPORTS} archives are being written already, or one for this person")]
    Busy,
    /// The workspace's database cannot be used now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A database did not answer.
    #[error("the rows could not be read")]
    Database(#[from] sqlx::Error),
    /// The store of files did not answer.
    #[error("a file could not be read")]
    Objects(#[from] ObjectsError),
    /// A file is not what it was when it came.
    #[error("a file is not what it was when it was uploaded")]
    Changed,
    /// Nobody reads it any more, or it could not be buffer.
    #[error("the archive could not be written")]
    Archive(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took longer than [`EXPORT_TIMEOUT`].
    #[error("the archive was not read in time")]
    Timeout,
}

impl From<ArchiveError> for ExportError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

/// Where everything is that goes into the archive.
#[derive(Debug, Clone)]
pub struct ExportSources {
    /// The main database.
    pub database: PgPool,
    /// The workspace's own.
    pub tenant: TenantDatabase,
    /// The files.
    pub objects: Objects,
}

/// Begins to write the workspace's archive for a member, and returns it as it comes.
pub async fn export(
    sources: ExportSources,
    workspace: Workspace,
    user: UserId,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ExportError> {
    let permit = ExportPermit::try_acquire(user).ok_or(ExportError::Busy)?;
    let documents = documents(&sources.database, &workspace).await?;
    let (sender, blocks) = block_channel::block_channel();
    tokio::spawn(write(sources, workspace, documents, sender, permit));
    Ok(blocks)
}

/// A document, as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExportedDocument {
    id: DocumentId,
    file_name: String,
    title: String,
    byte_count: u64,
    sha256: String,
    state: String,
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
    /// Every file of the archive but this one.
    entries: &'a [ArchiveEntry],
}

#[derive(Serialize)]
struct DocumentEntry {
    id: DocumentId,
    file_name: String,
    title: String,
    state: String,
    page_count: Option<i32>,
    /// Not there where there is no file: it never came, is no PDF, or is gone.
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

/// Those whose upload has ended, well or not, the oldest first.
async fn documents(database: &PgPool, workspace: &Workspace) -> Result<Vec<ExportedDocument>, ExportError> {
    let rows = sqlx::query(
        "SELECT id, file_name, title, byte_count, encode(content_sha256, 'hex') AS sha256, state::text AS state, failure, page_count
         FROM documents
         WHERE workspace_id = $1 AND state NOT IN ('uploading', 'removing')
         ORDER BY created_at, id",
    )
    .bind(workspace.id.as_str())
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| {
            let failure: Option<String> = row.try_get("failure")?;
            Ok(ExportedDocument {
                has_file: failure.is_none_or(|text| Failure::from_column(&text).has_file()),
                id: DocumentId(row.try_get("id")?),
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

/// Writes it all. The permit is held until then.
async fn write(
    sources: ExportSources,
    workspace: Workspace,
    documents: Vec<ExportedDocument>,
    sender: block_channel::BlockSender,
    _permit: ExportPermit,
) {
    let exported_at = Timestamp::now();
    let archive = Archive::new(sender, exported_at);
    let writing = Box::pin(fill(archive, &sources, &workspace, documents, exported_at));
    let written = tokio::time::timeout(EXPORT_TIMEOUT, writing)
        .await
        .unwrap_or(Err(ExportError::Timeout));
    match written {
        Ok(()) => info!(workspace.id = %workspace.id, "The workspace was exported"),
        // The sender is dropped unfinished: whoever reads learns of it.
        Err(error) => warn!(
            workspace.id = %workspace.id,
            error = &error as &dyn std::error::Error,
            "An export broke off"
        ),
    }
}

async fn fill(
    mut archive: Archive,
    sources: &ExportSources,
    workspace: &Workspace,
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
                Err(ObjectsError::Missing) => {
                    match classify_missing_file(sources, workspace, &document).await? {
                        MissingFile::Listed => None,
                        MissingFile::Skipped => continue,
                        MissingFile::Lost => return Err(ObjectsError::Missing.into()),
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
        if document.state == "ready" {
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
    let threads = threads(&mut archive, &sources.tenant).await?;
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

async fn threads(archive: &mut Archive, tenant: &PgPool) -> Result<Vec<ThreadEntry>, ExportError> {
    let mut listed = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let page = text::threads(tenant, after).await?;
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

/// What becomes of a document whose file turns out not to be there.
enum MissingFile {
    /// It has failed, and its row says so: the manifest does too.
    Listed,
    /// Somebody removed it since we began, or brings it anew.
    Skipped,
    /// It should be there.
    Lost,
}

async fn classify_missing_file(
    sources: &ExportSources,
    workspace: &Workspace,
    document: &Document,
) -> Result<MissingFile, ExportError> {
    let state: Option<String> =
        sqlx::query_scalar("SELECT state::text FROM documents WHERE workspace_id = $1 AND id = $2")
            .bind(workspace.id.as_str())
            .bind(document.id.0)
            .fetch_optional(&sources.database)
            .await?;
    Ok(match state.as_deref() {
        None | Some("uploading" | "removing") => MissingFile::Skipped,
        _ if document.state == "failed" => MissingFile::Listed,
        Some("failed") => MissingFile::Listed,
        Some(_) => MissingFile::Lost,
    })
}
