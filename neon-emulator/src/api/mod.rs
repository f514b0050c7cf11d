//! The API: routes, and what their handlers share.
//!
//! Every call goes through the gate (counted, key checked, latency, faults) and then to one handler. A handler reads or
//! changes the state in one transaction and answers with the resources as they are at that moment.

mod branches;
pub(crate) mod create;
mod endpoints;
mod error;
mod extract;
mod gate;
mod listener;
mod operations;
pub(crate) mod own;
mod projects;
mod roles;
mod validate;
mod view;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use http::StatusCode;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::error::ApiError;
pub(crate) use self::gate::Calls;
use self::listener::{Cut, CuttableListener};
use crate::clock::{Clock, Micros, SECOND};
use crate::config::{Latency, Limits};
use crate::data_plane::Sessions;
use crate::faults::Faults;
use crate::hosts::Hosts;
use crate::provision::Provisioner;
use crate::store::Store;

/// What handlers share.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) provisioner: Provisioner,
    pub(crate) faults: Faults,
    pub(crate) sessions: Sessions,
    pub(crate) hosts: Hosts,
    pub(crate) latency: Latency,
    pub(crate) limits: Limits,
    pub(crate) keys: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) calls: Calls,
    /// Work that goes on after its call was answered.
    pub(crate) tasks: TaskTracker,
    pub(crate) dice: Mutex<StdRng>,
}

impl Api {
    fn dice(&self) -> MutexGuard<'_, StdRng> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Projects that were deleted before this moment cannot be recovered any more.
    pub(crate) fn recoverable_since(&self) -> Micros {
        let window = i64::try_from(self.limits.recoverable_seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(SECOND);
        self.clock.now().saturating_sub(window)
    }
}

/// Serves the API until the token is cancelled; calls that are being answered are finished.
pub(crate) async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    let service = router(&api).into_make_service_with_connect_info::<Cut>();
    axum::serve(CuttableListener(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn router(api: &Arc<Api>) -> Router {
    let calls = Router::new()
        .route("/projects", get(projects::list).post(create::create))
        .route(
            "/projects/{project_id}",
            get(projects::get)
                .patch(projects::update)
                .delete(projects::delete),
        )
        .route("/projects/{project_id}/recover", post(projects::recover))
        .route("/projects/{project_id}/operations", get(operations::list))
        .route(
            "/projects/{project_id}/operations/{operation_id}",
            get(operations::get),
        )
        .route(
            "/projects/{project_id}/connection_uri",
            get(roles::connection_uri),
        )
        .route("/projects/{project_id}/endpoints", get(endpoints::list))
        .route(
            "/projects/{project_id}/endpoints/{endpoint_id}",
            get(endpoints::get).patch(endpoints::update),
        )
        .route("/projects/{project_id}/branches", get(branches::list))
        .route(
            "/projects/{project_id}/branches/{branch_id}",
            get(branches::get),
        )
        .route(
            "/projects/{project_id}/branches/{branch_id}/databases",
            get(branches::databases),
        )
        .route(
            "/projects/{project_id}/branches/{branch_id}/roles",
            get(roles::list),
        )
        .route(
            "/projects/{project_id}/branches/{branch_id}/roles/{role_name}",
            get(roles::get),
        )
        .route(
            "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password",
            post(roles::reset_password),
        )
        .route(
            "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password",
            get(roles::reveal_password),
        )
        .fallback(unknown)
        .layer(from_fn_with_state(api.clone(), gate::api));
    let own = Router::new()
        .route("/calls", get(own::calls).delete(own::reset_calls))
        .route("/passwords", get(own::passwords))
        .route("/projects", get(own::projects).post(own::seed_projects))
        .route("/purge", post(own::purge))
        .route(
            "/faults",
            get(own::list_faults)
                .post(own::add_fault)
                .delete(own::clear_faults),
        )
        .route("/faults/{id}", delete(own::remove_fault))
        .fallback(unknown)
        .layer(from_fn_with_state(api.clone(), gate::own));
    Router::new()
        .nest(operations::PREFIX, calls)
        .nest("/_emulator", own)
        .with_state(api.clone())
}

async fn unknown() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "NOT_IMPLEMENTED",
        "the emulator does not have this call",
    )
}
