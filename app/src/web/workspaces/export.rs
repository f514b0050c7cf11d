//! Streams the workspace as a ZIP archive.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::RateLimitClass;
use crate::ids::WorkspaceId;
use crate::web::shared::extract::WorkspaceAccess;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::unavailable;
use crate::web::shared::{App, Problem};
use crate::workspaces::export::{self, ExportError, ExportSources, Reader};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/w/{workspace}/export", Access::Member, archive)
            .rate_limit_class(RateLimitClass::Expensive)
            .download(),
    ]
}

async fn archive(State(app): State<App>, access: WorkspaceAccess) -> Result<Response, Problem> {
    let workspace = access.workspace;
    let file_name = format!("workspace-{}.zip", workspace.id);
    let sources = ExportSources {
        database: app.database.clone(),
        tenant: app
            .pools
            .get(&workspace)
            .await
            .map_err(|reason| unavailable::problem(&reason, &workspace.id))?,
        objects: app.objects.clone(),
    };
    let id = workspace.id.clone();
    let reader = Reader {
        user: access.user.id,
        session: access.session.id,
    };
    let chunks = export::export(sources, workspace, reader)
        .await
        .map_err(|error| problem(error, &id))?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file_name}\""),
        ),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Errors before the first byte. Later errors abort the download.
fn problem(error: ExportError, workspace: &WorkspaceId) -> Problem {
    match error {
        ExportError::Busy => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "export_in_progress",
            "An export is already in progress",
            "You can run one export at a time. Wait until it is complete, or try again in a few minutes.",
        ),
        ExportError::Unavailable(reason) => unavailable::problem(&reason, workspace),
        ExportError::Database(error) => error.into(),
        error @ (ExportError::Objects(_)
        | ExportError::Changed
        | ExportError::Archive(_)
        | ExportError::Timeout
        | ExportError::AccessEnded) => Problem::internal_error(&error),
    }
}
