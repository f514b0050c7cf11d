//! The JSON API for uploads: requests a presigned URL, and completes the upload.

use std::collections::BTreeMap;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{DocumentPath, errors};
use crate::documents::{self, FileName, NewUpload, UploadOutcome};
use crate::ids::DocumentId;
use crate::web::shared::extract::{Json, Path, WorkspaceAccess};
use crate::web::shared::{App, Problem};

#[derive(Deserialize)]
pub(super) struct UploadRequest {
    name: String,
    byte_count: u64,
    #[serde(default)]
    media_type: String,
    /// Base64.
    sha256: String,
}

#[derive(Serialize)]
pub(super) struct UploadCreated {
    document: DocumentId,
    url: String,
    headers: BTreeMap<String, String>,
}

pub(super) async fn create(
    State(app): State<App>,
    access: WorkspaceAccess,
    Json(request): Json<UploadRequest>,
) -> Result<axum::Json<UploadCreated>, Problem> {
    let sha256 = BASE64
        .decode(&request.sha256)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(Problem::malformed_request)?;
    let upload = NewUpload {
        file_name: FileName::from_upload(&request.name),
        byte_count: request.byte_count,
        media_type: request.media_type,
        sha256,
    };
    let created = documents::create_upload(
        &app.database,
        &app.objects,
        &app.config.quota,
        &access.workspace,
        access.user.id,
        &upload,
    )
    .await
    .map_err(errors::create_upload)?;
    Ok(axum::Json(UploadCreated {
        document: created.document,
        url: created.put.url,
        headers: created.put.headers.into_iter().collect(),
    }))
}

#[derive(Serialize)]
pub(super) struct UploadCompleted {
    document: DocumentId,
}

pub(super) async fn complete(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<axum::Json<UploadCompleted>, Problem> {
    let outcome = documents::complete_upload(
        &app.database,
        &app.objects,
        &access.workspace,
        path.document,
    )
    .await
    .map_err(errors::complete_upload)?;
    match outcome {
        UploadOutcome::Accepted => Ok(axum::Json(UploadCompleted {
            document: path.document,
        })),
        UploadOutcome::Rejected(error) => Err(errors::rejected_file(&error)),
    }
}
