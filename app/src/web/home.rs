//! The front page and the static files.

pub mod pages;
mod site_files;
mod static_files;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use crate::domain::RateLimitClass;
use crate::identity::Session;
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", Access::Public, show),
        Route::get("/assets/{file}", Access::Public, static_files::serve)
            .rate_limit_class(RateLimitClass::Assets),
        Route::get(
            "/assets/{folder}/{file}",
            Access::Public,
            static_files::serve_from_folder,
        )
        .rate_limit_class(RateLimitClass::Assets),
        Route::get("/favicon.ico", Access::Public, site_files::favicon)
            .rate_limit_class(RateLimitClass::Assets),
        Route::get("/robots.txt", Access::Public, site_files::robots)
            .rate_limit_class(RateLimitClass::Assets),
        Route::get(
            "/manifest.webmanifest",
            Access::Public,
            site_files::manifest,
        )
        .rate_limit_class(RateLimitClass::Assets),
    ]
}

/// The landing page, or for signed-in users a redirect to the workspace that they used last.
async fn show(
    State(app): State<App>,
    session: Option<Session>,
    context: PageContext,
) -> Result<Response, Problem> {
    let Some(session) = session else {
        let offers_regions = app.config.tenants.regions.0.len() > 1;
        return Ok(pages::page(&context, offers_regions).into_response());
    };
    let workspaces = store::of_user(&app.database, session.user.id).await?;
    let target = workspaces.first().map_or_else(
        || "/workspaces/new".to_owned(),
        |(workspace, _)| format!("/w/{}", workspace.id),
    );
    Ok(Redirect::to(&target).into_response())
}
