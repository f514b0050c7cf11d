//! Documents: the list with live updates, search, uploads, and the actions on a document.
//!
//! The list and the state of a document come from the main database, so they work while the
//! tenant's database is unavailable.

mod errors;
mod events;
pub mod pages;
mod upload;
mod views;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use crate::documents::{self, Document, PASSAGES_PER_PAGE, SearchQuery, Title};
use crate::domain::RateLimitClass;
use crate::ids::DocumentId;
use crate::objects::Disposition;
use crate::tenants::{Unavailable, is_statement_timeout};
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, Path, Query, WorkspaceAccess};
use crate::web::shared::pages::{Notice, PageContext, format};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use pages::document::{DocumentPage, PassageView};
use pages::{DatabaseStatus, DocumentsView, SearchView, UploadLimits};

/// Validity of the presigned URL for viewing a PDF.
const FILE_URL_TTL: Duration = Duration::from_mins(5);

pub(super) fn routes() -> Vec<Route> {
    let member = Access::Member;
    vec![
        Route::get("/w/{workspace}/documents", member, list),
        Route::post("/w/{workspace}/documents", member, upload::create)
            .rate_limit_class(RateLimitClass::Uploads),
        Route::get("/w/{workspace}/documents/events", member, events::events).event_stream(),
        Route::get("/w/{workspace}/documents/search", member, search)
            .rate_limit_class(RateLimitClass::Searches),
        Route::get("/w/{workspace}/documents/{document}", member, show),
        Route::post(
            "/w/{workspace}/documents/{document}/complete",
            member,
            upload::complete,
        )
        .rate_limit_class(RateLimitClass::Uploads),
        Route::post("/w/{workspace}/documents/{document}/cancel", member, cancel),
        Route::post("/w/{workspace}/documents/{document}/rename", member, rename),
        // Repeating the ingestion costs as much as an upload.
        Route::post("/w/{workspace}/documents/{document}/retry", member, retry)
            .rate_limit_class(RateLimitClass::Expensive),
        Route::post("/w/{workspace}/documents/{document}/delete", member, delete),
        Route::get("/w/{workspace}/documents/{document}/file", member, file),
        Route::get(
            "/w/{workspace}/documents/{document}/download",
            member,
            download,
        ),
    ]
}

#[derive(Deserialize)]
struct DocumentPath {
    document: DocumentId,
}

async fn list(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
) -> Result<Markup, Problem> {
    // A user who views the documents is likely to search or ask next.
    app.pools.prewarm(&access.workspace);
    let view = list_view(&app, &access).await?;
    Ok(pages::page(
        &context,
        access.form_context(context.now),
        &view,
        None,
    ))
}

async fn list_view(app: &App, access: &WorkspaceAccess) -> Result<DocumentsView, Problem> {
    let documents = documents::list(&app.database, &access.workspace.id).await?;
    Ok(DocumentsView {
        documents: documents.iter().map(views::document).collect(),
        limits: UploadLimits {
            max_file_bytes: app.config.quota.max_upload_bytes.0,
            max_documents: app.config.quota.max_documents.get(),
        },
        database: database_status(app, access),
    })
}

/// The state of the database according to the Tenant watch, without opening the database.
fn database_status(app: &App, access: &WorkspaceAccess) -> Option<DatabaseStatus> {
    match app.tenants.available(&access.workspace).err()? {
        Unavailable::Provisioning(_) => Some(DatabaseStatus::Provisioning),
        Unavailable::Stalled(_) | Unavailable::NotOwned => Some(DatabaseStatus::Stalled),
        Unavailable::SchemaOutdated { .. } => Some(DatabaseStatus::Updating),
        Unavailable::Deleted => Some(DatabaseStatus::Deleted),
        Unavailable::PoolsExhausted | Unavailable::Unreachable { .. } | Unavailable::Full => None,
    }
}

#[derive(Deserialize)]
struct SearchParams {
    #[serde(default)]
    q: String,
}

async fn search(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Query(SearchParams { q }): Query<SearchParams>,
) -> Result<Markup, Problem> {
    let found = run_search(&app, &access, &q).await?;
    let form_context = access.form_context(context.now);
    if AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment {
        return Ok(pages::search_results(form_context, &found));
    }
    let view = list_view(&app, &access).await?;
    Ok(pages::page(&context, form_context, &view, Some(&found)))
}

async fn run_search(
    app: &App,
    access: &WorkspaceAccess,
    text: &str,
) -> Result<SearchView, Problem> {
    let no_hits = |error| SearchView {
        query: text.trim().to_owned(),
        hits: Vec::new(),
        more: false,
        error,
    };
    let query: SearchQuery = match text.parse() {
        Ok(query) => query,
        Err(documents::InvalidSearchQuery::Empty) => return Ok(no_hits(None)),
        Err(error @ documents::InvalidSearchQuery::TooLong) => {
            return Ok(no_hits(Some(format!(
                "{} Use fewer words.",
                format::format_error(&error)
            ))));
        }
    };
    let tenant = match app.pools.get(&access.workspace).await {
        Ok(tenant) => tenant,
        Err(reason) => return Ok(no_hits(Some(errors::database_message(&reason).to_owned()))),
    };
    match documents::search(&tenant, &query).await {
        Ok((hits, more)) => {
            let found: Vec<DocumentId> = hits.iter().map(|hit| hit.document).collect();
            let reports = documents::pages(&app.database, &access.workspace.id, &found).await?;
            Ok(SearchView {
                query: query.as_str().to_owned(),
                hits: hits
                    .into_iter()
                    .map(|hit| {
                        let pages = reports.get(&hit.document);
                        views::hit(hit, pages.map(|pages| &pages.report))
                    })
                    .collect(),
                more,
                error: None,
            })
        }
        Err(error) if is_statement_timeout(&error) => Ok(no_hits(Some(
            "The search took too long. Try again, or search for less common words.".to_owned(),
        ))),
        Err(error) => match app.pools.report_error(&access.workspace, &error).await {
            Some(reason) => Ok(no_hits(Some(errors::database_message(&reason).to_owned()))),
            None => Err(Problem::internal_error(&error)),
        },
    }
}

async fn find(app: &App, access: &WorkspaceAccess, id: DocumentId) -> Result<Document, Problem> {
    documents::find(&app.database, &access.workspace.id, id)
        .await?
        .ok_or_else(Problem::not_found)
}

#[derive(Deserialize)]
struct PassageParams {
    /// Index of the first passage.
    #[serde(default)]
    from: u32,
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Path(path): Path<DocumentPath>,
    Query(PassageParams { from }): Query<PassageParams>,
) -> Result<Markup, Problem> {
    let document = find(&app, &access, path.document).await?;
    let view = page_view(
        &app,
        &access,
        &document,
        from,
        AcceptedFormat::from_headers(&headers),
    )
    .await?;
    Ok(pages::document::page(
        &context,
        access.form_context(context.now),
        &view,
    ))
}

/// Fragments only update the document's state, so they omit the passages.
async fn page_view(
    app: &App,
    access: &WorkspaceAccess,
    document: &Document,
    from: u32,
    format: AcceptedFormat,
) -> Result<DocumentPage, Problem> {
    let mut view = DocumentPage {
        document: views::document(document),
        passages: Vec::new(),
        more: None,
        database: database_status(app, access),
        error: None,
    };
    let has_no_passages = document.page_count.is_none() || view.database.is_some();
    if format == AcceptedFormat::Fragment || has_no_passages {
        return Ok(view);
    }
    let tenant = match app.pools.get(&access.workspace).await {
        Ok(tenant) => tenant,
        Err(reason) => {
            view.error = Some(errors::database_message(&reason).to_owned());
            return Ok(view);
        }
    };
    let (passages, more) = match documents::passages(&tenant, document.id, from).await {
        Ok(found) => found,
        Err(error) => match app.pools.report_error(&access.workspace, &error).await {
            Some(_) => {
                view.error = Some(
                    "The text is temporarily unavailable. Reload the page in a moment.".to_owned(),
                );
                return Ok(view);
            }
            None => return Err(Problem::internal_error(&error)),
        },
    };
    let report = documents::page_report(&app.database, &document.workspace, document.id).await?;
    view.passages = passages
        .into_iter()
        .map(|passage| PassageView {
            page_from: passage.page_from,
            page_to: passage.page_to,
            printed_from: views::label(report.as_ref(), passage.page_from),
            printed_to: views::label(report.as_ref(), passage.page_to),
            text: passage.text,
        })
        .collect();
    view.more = more.then(|| {
        format!(
            "/w/{}/documents/{}?from={}",
            access.workspace.id,
            document.id,
            from.saturating_add(PASSAGES_PER_PAGE)
        )
    });
    Ok(view)
}

async fn cancel(
    State(app): State<App>,
    access: WorkspaceAccess,
    headers: HeaderMap,
    Path(path): Path<DocumentPath>,
) -> Result<Response, Problem> {
    documents::cancel(&app.database, &access.workspace.id, path.document)
        .await
        .map_err(errors::change)?;
    if AcceptedFormat::from_headers(&headers) == AcceptedFormat::Json {
        return Ok((StatusCode::OK, axum::Json(serde_json::json!({}))).into_response());
    }
    Ok(redirect_to_list(&access, None).into_response())
}

#[derive(Deserialize)]
struct RenameForm {
    title: String,
}

async fn rename(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
    Form(RenameForm { title }): Form<RenameForm>,
) -> Result<Redirect, Problem> {
    let title: Title = title.parse().map_err(|error: documents::InvalidTitle| {
        Problem::invalid_input(format::format_error(&error))
    })?;
    documents::rename(&app.database, &access.workspace.id, path.document, &title)
        .await
        .map_err(errors::change)?;
    Ok(redirect_to_list(&access, Some(Notice::Renamed)))
}

async fn retry(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Redirect, Problem> {
    documents::retry(&app.database, &access.workspace.id, path.document)
        .await
        .map_err(errors::change)?;
    Ok(redirect_to_list(&access, Some(Notice::Reprocessing)))
}

async fn delete(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Redirect, Problem> {
    documents::delete(&app.database, &access.workspace.id, path.document)
        .await
        .map_err(errors::change)?;
    Ok(redirect_to_list(&access, Some(Notice::DocumentDeleted)))
}

fn redirect_to_list(access: &WorkspaceAccess, notice: Option<Notice>) -> Redirect {
    let list = format!("/w/{}/documents", access.workspace.id);
    Redirect::to(&match notice {
        Some(notice) => format!("{list}?{}={}", Notice::PARAMETER, notice.key()),
        None => list,
    })
}

async fn file(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Response, Problem> {
    let document = find(&app, &access, path.document).await?;
    let disposition = Disposition::Inline {
        file_name: document.file_name.clone(),
    };
    redirect_to_file(&app, &access, &document, &disposition).await
}

async fn download(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Response, Problem> {
    let document = find(&app, &access, path.document).await?;
    let disposition = Disposition::Attachment {
        file_name: document.file_name.clone(),
    };
    redirect_to_file(&app, &access, &document, &disposition).await
}

/// Redirects with 302, not 303 or 307, because browsers then keep the `#page=` fragment of the URL.
async fn redirect_to_file(
    app: &App,
    access: &WorkspaceAccess,
    document: &Document,
    disposition: &Disposition,
) -> Result<Response, Problem> {
    if !document.state.has_file() {
        return Err(errors::no_file());
    }
    let place = app
        .objects
        .prefix(access.workspace.region.as_deref(), &access.workspace.id)
        .document(document.id);
    let url = app
        .objects
        .presign_get(&place, disposition, FILE_URL_TTL)
        .await
        .map_err(errors::objects)?;
    Ok((StatusCode::FOUND, [(axum::http::header::LOCATION, url)]).into_response())
}
