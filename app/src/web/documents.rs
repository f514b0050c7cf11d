//! A workspace's documents: the list and its live rows, search, uploads, and what can be done with one document.
//!
//! The list and a document's page come from the main database alone, so that they are there also while the tenant's database is not.

mod errors;
mod events;
pub mod pages;
mod upload;
mod views;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::Markup;
use serde::Deserialize;

use crate::documents::{self, Document, PASSAGES_PER_PAGE, SearchQuery, Title};
use crate::domain::RateLimitClass;
use crate::ids::DocumentId;
use crate::objects::Disposition;
use crate::tenants::Unavailable;
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, Path, Query, WorkspaceAccess};
use crate::web::shared::pages::{PageContext, Notice, format};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use pages::document::{DocumentPage, PassageView};
use pages::{DatabaseNote, DocumentsView, Place, SearchView, UploadLimits};

/// How long the URL is good that a PDF is read with.
const FILE_URL_TTL: Duration = Duration::from_mins(5);

pub(super) fn routes() -> Vec<Route> {
    let member = Access::Member;
    vec![
        Route::get("/w/{workspace}/documents", member, list),
        Route::post("/w/{workspace}/documents", member, upload::begin)
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
        // Reading again costs as much as reading.
        Route::post("/w/{workspace}/documents/{document}/retry", member, retry)
            .rate_limit_class(RateLimitClass::Expensive),
        Route::post("/w/{workspace}/documents/{document}/remove", member, remove),
        Route::get("/w/{workspace}/documents/{document}/file", member, file),
        Route::get(
            "/w/{workspace}/documents/{document}/download",
            member,
            download,
        ),
    ]
}

/// The document in the path; the workspace stands before it and was checked.
#[derive(Deserialize)]
struct DocumentPath {
    document: DocumentId,
}

fn place(access: &WorkspaceAccess, now: Timestamp) -> Place<'_> {
    Place {
        workspace: &access.workspace.id,
        csrf: access.session.csrf.as_str(),
        now,
    }
}

async fn list(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
) -> Result<Markup, Problem> {
    // Whoever looks at documents will soon search or ask.
    app.pools.prewarm(&access.workspace);
    let view = list_view(&app, &access).await?;
    Ok(pages::page(
        &context,
        place(&access, context.now),
        &view,
        None,
    ))
}

async fn list_view(app: &App, access: &WorkspaceAccess) -> Result<DocumentsView, Problem> {
    let documents = documents::list(&app.database, &access.workspace.id).await?;
    Ok(DocumentsView {
        documents: documents.iter().map(views::document).collect(),
        limits: UploadLimits {
            file_bytes_max: app.config.plan.upload_bytes_max,
            documents_max: app.config.plan.documents_max,
        },
        database: database_note(app, access),
    })
}

/// What the watch knows of the database; it is not opened for that.
fn database_note(app: &App, access: &WorkspaceAccess) -> Option<DatabaseNote> {
    match app.tenants.available(&access.workspace).err()? {
        Unavailable::Provisioning(_) => Some(DatabaseNote::ComingUp),
        Unavailable::Stalled(_) | Unavailable::NotOwned => Some(DatabaseNote::HeldUp),
        Unavailable::SchemaOutdated { .. } => Some(DatabaseNote::Updating),
        Unavailable::Deleted => Some(DatabaseNote::Gone),
        Unavailable::PoolsExhausted | Unavailable::Unreachable { .. } => None,
    }
}

#[derive(Deserialize)]
struct Sought {
    #[serde(default)]
    q: String,
}

async fn search(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Query(Sought { q }): Query<Sought>,
) -> Result<Markup, Problem> {
    let found = look_for(&app, &access, &q).await?;
    let here = place(&access, context.now);
    if AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment {
        return Ok(pages::search_results(here, &found));
    }
    let view = list_view(&app, &access).await?;
    Ok(pages::page(&context, here, &view, Some(&found)))
}

async fn look_for(app: &App, access: &WorkspaceAccess, text: &str) -> Result<SearchView, Problem> {
    let nothing = |trouble| SearchView {
        query: text.trim().to_owned(),
        hits: Vec::new(),
        more: false,
        trouble,
    };
    let query: SearchQuery = match text.parse() {
        Ok(query) => query,
        Err(documents::InvalidSearchQuery::Empty) => return Ok(nothing(None)),
        Err(error @ documents::InvalidSearchQuery::TooLong) => {
            return Ok(nothing(Some(format!(
                "{} Look for fewer words.",
                format::sentence(&error)
            ))));
        }
    };
    let tenant = match app.pools.get(&access.workspace).await {
        Ok(tenant) => tenant,
        Err(reason) => return Ok(nothing(Some(errors::database_words(&reason).to_owned()))),
    };
    match documents::search(&tenant, &query).await {
        Ok((hits, more)) => Ok(SearchView {
            query: query.as_str().to_owned(),
            hits: hits.into_iter().map(views::hit).collect(),
            more,
            trouble: None,
        }),
        Err(error) => {
            if app.pools.report_error(&access.workspace, &error).await
                || errors::is_statement_timeout(&error)
            {
                Ok(nothing(Some(
                    "The search did not come to its end. Try again, or look for a rarer word."
                        .to_owned(),
                )))
            } else {
                Err(Problem::internal_error(&error))
            }
        }
    }
}

async fn find(app: &App, access: &WorkspaceAccess, id: DocumentId) -> Result<Document, Problem> {
    documents::find(&app.database, &access.workspace.id, id)
        .await?
        .ok_or_else(Problem::not_found)
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: u32,
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Path(path): Path<DocumentPath>,
    Query(From { from }): Query<From>,
) -> Result<Markup, Problem> {
    let document = find(&app, &access, path.document).await?;
    let view = page_view(&app, &access, &document, from, AcceptedFormat::from_headers(&headers)).await?;
    Ok(pages::document::page(
        &context,
        place(&access, context.now),
        &view,
    ))
}

/// A fragment only brings the document's state up to date and needs no passages.
async fn page_view(
    app: &App,
    access: &WorkspaceAccess,
    document: &Document,
    from: u32,
    wants: AcceptedFormat,
) -> Result<DocumentPage, Problem> {
    let mut view = DocumentPage {
        document: views::document(document),
        passages: Vec::new(),
        more: None,
        database: database_note(app, access),
        trouble: None,
    };
    let nothing_to_read = document.page_count.is_none() || view.database.is_some();
    if wants == AcceptedFormat::Fragment || nothing_to_read {
        return Ok(view);
    }
    let tenant = match app.pools.get(&access.workspace).await {
        Ok(tenant) => tenant,
        Err(reason) => {
            view.trouble = Some(errors::database_words(&reason).to_owned());
            return Ok(view);
        }
    };
    let (passages, more) = match documents::passages(&tenant, document.id, from).await {
        Ok(found) => found,
        Err(error) if app.pools.report_error(&access.workspace, &error).await => {
            view.trouble = Some(
                "The text cannot be shown right now. Load the page again in a moment.".to_owned(),
            );
            return Ok(view);
        }
        Err(error) => return Err(Problem::internal_error(&error)),
    };
    view.passages = passages
        .into_iter()
        .map(|passage| PassageView {
            page_from: passage.page_from,
            page_to: passage.page_to,
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
    Ok(to_list(&access, None).into_response())
}

#[derive(Deserialize)]
struct NewTitle {
    title: String,
}

async fn rename(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
    Form(NewTitle { title }): Form<NewTitle>,
) -> Result<Redirect, Problem> {
    let title: Title = title
        .parse()
        .map_err(|error: documents::InvalidTitle| Problem::wrong_input(format::sentence(&error)))?;
    documents::rename(&app.database, &access.workspace.id, path.document, &title)
        .await
        .map_err(errors::change)?;
    Ok(to_list(&access, Some(Notice::Renamed)))
}

async fn retry(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Redirect, Problem> {
    documents::retry(&app.database, &access.workspace.id, path.document)
        .await
        .map_err(errors::change)?;
    Ok(to_list(&access, Some(Notice::ReadingAgain)))
}

async fn remove(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<DocumentPath>,
) -> Result<Redirect, Problem> {
    documents::delete(&app.database, &access.workspace.id, path.document)
        .await
        .map_err(errors::change)?;
    Ok(to_list(&access, Some(Notice::DocumentRemoved)))
}

fn to_list(access: &WorkspaceAccess, notice: Option<Notice>) -> Redirect {
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
    to_file(&app, &access, &document, &disposition).await
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
    to_file(&app, &access, &document, &disposition).await
}

/// 302, not 303 or 307: what stands behind `#` in the address survives it, so that a page can be linked to.
async fn to_file(
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
