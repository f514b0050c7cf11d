//! Creates an upload: reserves a row within the quota and presigns a URL that accepts exactly this
//! file.

use std::time::Duration;

use sqlx::PgPool;

use super::row::{DocumentPhase, publish_change};
use super::{FileName, IngestError, MEDIA_TYPE};
use crate::config::WorkspaceQuota;
use crate::domain::Workspace;
use crate::ids::{DocumentId, UserId};
use crate::objects::{
    ObjectStore, ObjectStoreError, PresignedPut, Sha256Digest, UploadConstraints,
};

/// How long the presigned URL is valid. An upload that starts within this time may take longer.
pub const UPLOAD_URL_TTL: Duration = Duration::from_mins(10);
/// How long after the last presigned URL was issued the file must have arrived.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_hours(1);

/// What the browser reports about a file before uploading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    pub file_name: FileName,
    pub byte_count: u64,
    /// The browser's guess; may be empty.
    pub media_type: String,
    /// Of the file's bytes.
    pub sha256: Sha256Digest,
}

#[derive(Debug, Clone)]
pub struct PendingUpload {
    /// The row reserved for the file.
    pub document: DocumentId,
    pub put: PresignedPut,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateUploadError {
    #[error("the file is empty")]
    Empty,
    #[error("a file must not be larger than {max_bytes} bytes")]
    TooLarge { max_bytes: u64 },
    #[error("the file is not a PDF")]
    NotPdf,
    #[error("the workspace already holds {max_documents} documents, the maximum")]
    TooMany { max_documents: u32 },
    #[error("the workspace already holds this file")]
    Duplicate {
        /// The document that already holds the file.
        document: DocumentId,
        title: String,
    },
    /// The workspace is being deleted, or no longer exists.
    #[error("the workspace does not exist")]
    WorkspaceDeleted,
    #[error("failed to presign the upload")]
    Objects(#[from] ObjectStoreError),
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
}

/// Reserves the row and presigns the URL. Calling this again for the same file reuses the row:
/// after an expired URL, a page reload or an interrupted upload.
pub async fn create_upload(
    database: &PgPool,
    objects: &ObjectStore,
    quota: &WorkspaceQuota,
    workspace: &Workspace,
    user: UserId,
    upload: &NewUpload,
) -> Result<PendingUpload, CreateUploadError> {
    check(quota, upload)?;
    let document = reserve(database, quota, workspace, user, upload).await?;
    let key = objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(document);
    let constraints = UploadConstraints {
        byte_count: upload.byte_count,
        media_type: MEDIA_TYPE.to_owned(),
        sha256: upload.sha256,
    };
    let put = objects
        .presign_put(&key, &constraints, UPLOAD_URL_TTL)
        .await?;
    Ok(PendingUpload { document, put })
}

/// The checks that need no database.
fn check(quota: &WorkspaceQuota, upload: &NewUpload) -> Result<(), CreateUploadError> {
    if upload.byte_count == 0 {
        return Err(CreateUploadError::Empty);
    }
    if upload.byte_count > quota.max_upload_bytes.0 {
        return Err(CreateUploadError::TooLarge {
            max_bytes: quota.max_upload_bytes.0,
        });
    }
    // Systems that do not know the type report none or `octet-stream`. The content is checked once
    // it has arrived.
    let is_pdf = matches!(
        upload.media_type.to_ascii_lowercase().as_str(),
        "" | "application/pdf" | "application/x-pdf" | "application/octet-stream"
    );
    if is_pdf {
        Ok(())
    } else {
        Err(CreateUploadError::NotPdf)
    }
}

async fn reserve(
    database: &PgPool,
    quota: &WorkspaceQuota,
    workspace: &Workspace,
    user: UserId,
    upload: &NewUpload,
) -> Result<DocumentId, CreateUploadError> {
    let mut transaction = database.begin().await?;
    // Serializes uploads to this workspace, so that the duplicate check, the quota check and the
    // insert are atomic.
    sqlx::query("SELECT 1 FROM workspaces WHERE id = $1 AND state <> 'deleting' FOR NO KEY UPDATE")
        .bind(workspace.id.as_str())
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(CreateUploadError::WorkspaceDeleted)?;
    let existing: Option<ExistingDocument> = sqlx::query_as(
        "SELECT id, title, state, failure FROM documents
         WHERE workspace_id = $1 AND content_sha256 = $2 AND state <> 'deleting'",
    )
    .bind(workspace.id.as_str())
    .bind(&upload.sha256[..])
    .fetch_optional(&mut *transaction)
    .await?;
    let document = if let Some(existing) = existing {
        if !existing.awaits_file() {
            return Err(CreateUploadError::Duplicate {
                document: existing.id,
                title: existing.title,
            });
        }
        reopen(&mut transaction, existing.id, user).await?;
        existing.id
    } else {
        check_quota(&mut transaction, quota, workspace).await?;
        insert(&mut transaction, workspace, user, upload).await?
    };
    publish_change(&mut *transaction, &workspace.id, document).await?;
    transaction.commit().await?;
    Ok(document)
}

async fn check_quota(
    transaction: &mut sqlx::PgConnection,
    quota: &WorkspaceQuota,
    workspace: &Workspace,
) -> Result<(), CreateUploadError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM documents WHERE workspace_id = $1 AND state <> 'deleting'",
    )
    .bind(workspace.id.as_str())
    .fetch_one(transaction)
    .await?;
    if count >= i64::from(quota.max_documents.get()) {
        return Err(CreateUploadError::TooMany {
            max_documents: quota.max_documents.get(),
        });
    }
    Ok(())
}

/// The row with the same content.
#[derive(sqlx::FromRow)]
struct ExistingDocument {
    id: DocumentId,
    title: String,
    state: DocumentPhase,
    failure: Option<IngestError>,
}

impl ExistingDocument {
    /// Whether the row still waits for its file, or failed without keeping one. In both cases the
    /// user can only upload the file again.
    fn awaits_file(&self) -> bool {
        match self.state {
            DocumentPhase::Uploading => true,
            DocumentPhase::Failed => self.failure.as_ref().is_some_and(|error| !error.has_file()),
            _ => false,
        }
    }
}

async fn reopen(
    transaction: &mut sqlx::PgConnection,
    document: DocumentId,
    user: UserId,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE documents SET state = 'uploading', failure = NULL, uploaded_by = $2, updated_at = now(),
                upload_deadline = now() + make_interval(secs => $3)
         WHERE id = $1",
    )
    .bind(document.0)
    .bind(user.0)
    .bind(UPLOAD_TIMEOUT.as_secs_f64())
    .execute(transaction)
    .await
    .map(drop)
}

async fn insert(
    transaction: &mut sqlx::PgConnection,
    workspace: &Workspace,
    user: UserId,
    upload: &NewUpload,
) -> sqlx::Result<DocumentId> {
    let document = DocumentId::random();
    sqlx::query(
        "INSERT INTO documents (id, workspace_id, file_name, title, media_type, byte_count, content_sha256, state,
                                upload_deadline, uploaded_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'uploading', now() + make_interval(secs => $8), $9)",
    )
    .bind(document.0)
    .bind(workspace.id.as_str())
    .bind(upload.file_name.as_str())
    .bind(upload.file_name.title().as_str())
    .bind(MEDIA_TYPE)
    .bind(i64::try_from(upload.byte_count).unwrap_or(i64::MAX))
    .bind(&upload.sha256[..])
    .bind(UPLOAD_TIMEOUT.as_secs_f64())
    .bind(user.0)
    .execute(transaction)
    .await?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(byte_count: u64, media_type: &str) -> NewUpload {
        NewUpload {
            file_name: FileName::from_upload("a.pdf"),
            byte_count,
            media_type: media_type.to_owned(),
            sha256: [0; 32],
        }
    }

    #[test]
    fn invalid_uploads_are_rejected_without_a_query() {
        let quota = WorkspaceQuota {
            max_upload_bytes: crate::config::ByteSize(100),
            max_documents: std::num::NonZeroU32::MIN,
            max_workspaces_per_user: std::num::NonZeroU32::MIN,
            max_members: std::num::NonZeroU32::MIN,
            max_workspaces: std::num::NonZeroU32::MIN,
        };
        assert!(matches!(
            check(&quota, &upload(0, "")),
            Err(CreateUploadError::Empty)
        ));
        assert!(matches!(
            check(&quota, &upload(101, "application/pdf")),
            Err(CreateUploadError::TooLarge { max_bytes: 100 })
        ));
        assert!(matches!(
            check(&quota, &upload(1, "text/html")),
            Err(CreateUploadError::NotPdf)
        ));
        for media_type in [
            "",
            "application/pdf",
            "Application/PDF",
            "application/octet-stream",
        ] {
            assert!(
                check(&quota, &upload(100, media_type)).is_ok(),
                "{media_type}"
            );
        }
    }
}
