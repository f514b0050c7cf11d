//! The dashboard at `/`, which shows developers the emulator's state and activity.
//!
//! The page is complete without its script, which only refreshes the changed parts every second. It
//! shows no secrets: API keys, passwords and connection strings are never passed to this module. It
//! cannot change anything.

mod auth;
mod overview;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use maud::Markup;

use self::overview::Overview;
use crate::api::Api;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(page))
        .route("/_page/parts", get(parts))
        .route("/_page/style.css", get(style))
        .route("/_page/script.js", get(script))
        .layer(from_fn_with_state(api.clone(), auth::guard))
}

async fn page(State(api): State<Arc<Api>>) -> Markup {
    view::page(&Overview::of(&api).await)
}

/// The parts of the page that the script refreshes.
async fn parts(State(api): State<Arc<Api>>) -> Markup {
    view::parts(&Overview::of(&api).await)
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}
