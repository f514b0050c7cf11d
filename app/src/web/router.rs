//! The route table, and the router that is built from it.
//!
//! A request passes `request_context` (request id, span, metrics, error rendering), then
//! `authorize` with the policy of its route, then the handler. A path without a row in the table
//! does not exist.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::shared::App;
use super::shared::middleware::{self, authorize};
use super::shared::route::Route;
use super::{chat, documents, home, identity, workspaces};

/// Every route of the app, by area.
pub fn routes() -> Vec<Route> {
    let areas = [
        home::routes(),
        identity::routes(),
        documents::routes(),
        chat::routes(),
        workspaces::routes(),
    ];
    areas.into_iter().flatten().collect()
}

/// The router of the whole app.
pub fn router(app: &App) -> Router {
    router_of(app, routes())
}

/// Like [`router`], with the given routes. Tests use it to add handlers of their own.
pub fn router_of(app: &App, routes: Vec<Route>) -> Router {
    let mut all = Router::new();
    for route in routes {
        let authorize = from_fn_with_state((app.clone(), route.policy), authorize::authorize);
        let path = route.path;
        all = all.route(path, route.into_handler().route_layer(authorize));
    }
    all.fallback(authorize::unknown_path)
        .method_not_allowed_fallback(authorize::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), middleware::request_context))
        .with_state(app.clone())
}
