//! The beginning of an upload: a row within the quota, and a URL that takes exactly this file.

use std::time::Duration;

use sqlx::{PgPool, Row as _};

use super::{Failure, FileName, MEDIA_TYPE};
use super::row::note_event;
use crate::config::Plan;
use crate::ids::{DocumentId, UserId};
use crate::objects::{Objects, ObjectsError, PresignedPut, PutTerms, Sha256Digest};
use crate::domain::Workspace;

/// How long the URL is good. An upload that began in time may take longer.
pub const UPLOAD_URL_TTL: Duration = Duration::from_mins(10);
/// How long after the last URL the file has to have arrived.
pub const UPLOAD_LIMIT: Duration = Duration::from_hours(1);

/// What a browser says about a file that it wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Its name.
    pub file_name: FileName,
    /// Its length.
    pub byte_count: u64,
    /// Its type, as the browser guesses it; may be empty.
    pub media_type: String,
    /// Of its bytes.
    pub sha256: Sha256Digest,
}

/// The file may be sent.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The row that waits for it.
    pub document: DocumentId,
    /// Where and how to send it.
    pub put: PresignedPut,
}

/// Why the file may not be sent.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is larger than the plan allows.
    #[error("a file may have {byte_count_max} bytes at most")]
    TooLarge {
        /// The plan's limit.
        byte_count_max: u64,
    },
    /// It is no PDF.
    #[error("only PDF files can be read")]
    NotPdf,
    /// The workspace holds as many as the plan allows.
    #[error("a workspace may hold {documents_max} documents at most")]
    TooMany {
        /// The plan's limit.
        documents_max: u32,
    },
    /// The same file is there already.
    #[error("the same file is there already")]
    Duplicate {
        /// The document that has it.
        document: DocumentId,
        /// How it is called.
        title: String,
    },
    /// The workspace is gone or being removed.
    #[error("the workspace is being removed")]
    WorkspaceGone,
    /// The URL could not be signed.
    #[error("the upload could not be signed")]
    Objects(#[from] ObjectsError),
    /// The main database did not do it.
    #[error("the upload could not be written down")]
    Database(#[from] sqlx::Error),
}

/// Writes the row and signs the URL. Asking again for the same file finds the row again: after an expired URL, a reload, or a
/// broken-off upload.
pub async fn begin(
    database: &PgPool,
    objects: &Objects,
    plan: &Plan,
    workspace: &Workspace,
    user: UserId,
    upload: &NewUpload,
) -> Result<Begun, BeginError> {
    check(plan, upload)?;
    let document = reserve(database, plan, workspace, user, upload).await?;
    let place = objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(document);
    let terms = PutTerms {
        byte_count: upload.byte_count,
        media_type: MEDIA_TYPE.to_owned(),
        sha256: upload.sha256,
    };
    let put = objects.presign_put(&place, &terms, UPLOAD_URL_TTL).await?;
    Ok(Begun { document, put })
}

/// What can be told before anything is written.
fn check(plan: &Plan, upload: &NewUpload) -> Result<(), BeginError> {
    if upload.byte_count == 0 {
        return Err(BeginError::Empty);
    }
    if upload.byte_count > plan.upload_bytes_max {
        return Err(BeginError::TooLarge {
            byte_count_max: plan.upload_bytes_max,
        });
    }
    // Systems without a name for the type say nothing, or that it is bytes; the bytes are looked at when they are here.
    let is_pdf = matches!(
        upload.media_type.to_ascii_lowercase().as_str(),
        "" | "application/pdf" | "application/x-pdf" | "application/octet-stream"
    );
    if is_pdf {
        Ok(())
    } else {
        Err(BeginError::NotPdf)
    }
}

async fn reserve(
    database: &PgPool,
    plan: &Plan,
    workspace: &Workspace,
    user: UserId,
    upload: &NewUpload,
) -> Result<DocumentId, BeginError> {
    let mut transaction = database.begin().await?;
    // Whoever else begins in this workspace waits here, so that looking, counting and writing are one.
    sqlx::query("SELECT 1 FROM workspaces WHERE id = $1 AND state <> 'removing' FOR NO KEY UPDATE")
        .bind(workspace.id.as_str())
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(BeginError::WorkspaceGone)?;
    let same = sqlx::query(
        "SELECT id, title, state::text AS state, failure FROM documents
         WHERE workspace_id = $1 AND content_sha256 = $2 AND state <> 'removing'",
    )
    .bind(workspace.id.as_str())
    .bind(&upload.sha256[..])
    .fetch_optional(&mut *transaction)
    .await?;
    let document = if let Some(same) = same {
        let document = DocumentId(same.try_get("id")?);
        if !is_without_file(same.try_get("state")?, same.try_get("failure")?) {
            return Err(BeginError::Duplicate {
                document,
                title: same.try_get("title")?,
            });
        }
        take_up(&mut transaction, document, user).await?;
        document
    } else {
        count(&mut transaction, plan, workspace).await?;
        insert(&mut transaction, workspace, user, upload).await?
    };
    note_event(&mut *transaction, &workspace.id, document).await?;
    transaction.commit().await?;
    Ok(document)
}

/// Whether there is room for one more.
async fn count(
    transaction: &mut sqlx::PgConnection,
    plan: &Plan,
    workspace: &Workspace,
) -> Result<(), BeginError> {
    let held: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM documents WHERE workspace_id = $1 AND state <> 'removing'",
    )
    .bind(workspace.id.as_str())
    .fetch_one(transaction)
    .await?;
    if held >= i64::from(plan.documents_max) {
        return Err(BeginError::TooMany {
            documents_max: plan.documents_max,
        });
    }
    Ok(())
}

/// Whether the row waits for its file, or has failed and kept none: then bringing it again is all that can be done.
fn is_without_file(state: &str, failure: Option<&str>) -> bool {
    match state {
        "uploading" => true,
        "failed" => failure.is_some_and(|text| !Failure::from_column(text).has_file()),
        _ => false,
    }
}

async fn take_up(
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
    .bind(UPLOAD_LIMIT.as_secs_f64())
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
    .bind(UPLOAD_LIMIT.as_secs_f64())
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
    fn what_cannot_be_taken_is_told_before_anything_is_written() {
        let plan = Plan {
            upload_bytes_max: 100,
            documents_max: 1,
            workspaces_per_user_max: 1,
            members_max: 1,
        };
        assert!(matches!(
            check(&plan, &upload(0, "")),
            Err(BeginError::Empty)
        ));
        assert!(matches!(
            check(&plan, &upload(101, "application/pdf")),
            Err(BeginError::TooLarge {
                byte_count_max: 100
            })
        ));
        assert!(matches!(
            check(&plan, &upload(1, "text/html")),
            Err(BeginError::NotPdf)
        ));
        for media_type in [
            "",
            "application/pdf",
            "Application/PDF",
            "application/octet-stream",
        ] {
            assert!(
                check(&plan, &upload(100, media_type)).is_ok(),
                "{media_type}"
            );
        }
    }
}
