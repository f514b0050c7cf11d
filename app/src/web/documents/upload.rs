//! What the upload's script asks: where a file may be sent, and whether what was sent is in order.

use std::collections::BTreeMap;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{DocumentPath, errors};
use crate::documents::{self, UploadOutcome, FileName, NewUpload};
use crate::ids::DocumentId;
use crate::web::shared::extract::{Json, Path, WorkspaceAccess};
use crate::web::shared::{App, Problem};

#[derive(Deserialize)]
pub(super) struct Wish {
    name: String,
    byte_count: u64,
    #[serde(default)]
    media_type: String,
    /// Base64.
    sha256: String,
}

#[derive(Serialize)]
pub(super) struct Leave {
    document: DocumentId,
    url: String,
    headers: BTreeMap<String, String>,
}

pub(super) async fn begin(
    State(app): State<App>,
    access: WorkspaceAccess,
    Json(wish): Json<Wish>,
) -> Result<axum::Json<Leave>, Problem> {
    let sha256 = BASE64
        .decode(&wish.sha256)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(Problem::unreadable)?;
    let upload = NewUpload {
        file_name: FileName::from_upload(&wish.name),
        byte_count: wish.byte_count,
        media_type: wish.media_type,
        sha256,
    };
    let begun = documents::create_upload(
        &app.database,
        &app.objects,
        &app.config.plan,
        &access.workspace,
        access.user.id,
        &upload,
    )
    .await
    .map_err(errors::begin)?;
    Ok(axum::Json(Leave {
        document: begun.document,
        url: begun.put.url,
        headers: begun.put.headers.into_iter().collect(),
    }))
}

#[derive(Serialize)]
pub(super) struct Accepted {
    document: DocumentId,
}

pub(super) async fn complete(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<axum::Json<Accepted>, Problem> {
    let completed = documents::complete_upload(
        &app.database,
        &app.objects,
        &access.workspace,
        path.document,
    )
    .await
    .map_err(errors::complete)?;
    match completed {
        UploadOutcome::Accepted => Ok(axum::Json(Accepted {
            document: path.document,
        })),
        UploadOutcome::Rejected(failure) => Err(errors::refused(&failure)),
    }
}
