//! The page at `/`: what is there and what happens, for people who develop against the emulator.
//!
//! The page is whole without its script, which only fetches the parts again every second. It shows no secret: the emulator's keys,
//! passwords and connection strings never get here. It changes nothing.

mod door;
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

/// The routes of the page.
pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(page))
        .route("/_page/parts", get(parts))
        .route("/_page/style.css", get(style))
        .route("/_page/script.js", get(script))
        .layer(from_fn_with_state(api.clone(), door::guard))
}

async fn page(State(api): State<Arc<Api>>) -> Markup {
    view::page(&Overview::of(&api).await)
}

/// What changes of the page.
async fn parts(State(api): State<Arc<Api>>) -> Markup {
    view::parts(&Overview::of(&api).await)
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}
