//! The Neon API v2: routes and the state that their handlers share.
//!
//! Every call passes through [`middleware`], which counts it, checks the API key, applies latency
//! and faults, and then calls the handler. A handler reads or changes the stored state in one
//! transaction and responds with the resources as of that moment.

mod account;
mod branches;
mod change;
mod consumption;
pub(crate) mod create;
mod databases;
mod endpoints;
mod error;
mod extract;
mod gate;
mod listener;
mod operations;
pub(crate) mod own;
mod projects;
mod requests;
mod roles;
mod validate;
pub(crate) mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use http::StatusCode;
use neon_client::ids::ProjectId;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::branches::expire;
pub(crate) use self::endpoints::READ_WRITE;
pub(crate) use self::error::ApiError;
pub(crate) use self::gate::Calls;
pub(crate) use self::gate::is_allowed;
use self::listener::{Cut, CuttableListener};
pub use self::operations::OPERATIONS;
pub(crate) use self::operations::is_route;
pub(crate) use self::requests::{Request, Requests};
use crate::clock::{Clock, Micros, SECOND};
use crate::compute::Compute;
use crate::config::{Latency, Limits};
use crate::data_plane::{DataPlane, Sessions};
use crate::document::Conformance;
use crate::faults::Faults;
use crate::hosts::Hosts;
use crate::provision::Provisioner;
pub(crate) use crate::rate::RateLimiter;
use crate::store::{BranchRow, Store, StoreError};

/// The state that all handlers share.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) provisioner: Provisioner,
    pub(crate) faults: Faults,
    pub(crate) sessions: Sessions,
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) hosts: Hosts,
    pub(crate) latency: Latency,
    pub(crate) limits: Limits,
    pub(crate) keys: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) calls: Calls,
    pub(crate) requests: Requests,
    pub(crate) rate: RateLimiter,
    /// The address that the API listens on.
    pub(crate) address: SocketAddr,
    /// The address that the data plane listens on.
    pub(crate) data_address: SocketAddr,
    pub(crate) conformance: Conformance,
    /// Work that continues after its call has been answered.
    pub(crate) tasks: TaskTracker,
    pub(crate) dice: Mutex<StdRng>,
}

impl Api {
    fn dice(&self) -> MutexGuard<'_, StdRng> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a deleted project or branch can be recovered.
    pub(crate) fn recoverable_window(&self) -> Micros {
        i64::try_from(self.limits.recoverable_seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(SECOND)
    }

    /// Projects and branches deleted before this moment can no longer be recovered.
    pub(crate) fn recoverable_since(&self) -> Micros {
        self.clock.now().saturating_sub(self.recoverable_window())
    }

    /// Fails if the project has reached its limit of branches.
    fn branch_limit(&self, rows: &[BranchRow]) -> Result<(), ApiError> {
        let alive = rows
            .iter()
            .filter(|row| row.deleted_at_us.is_none())
            .count();
        match self.limits.branches_per_project {
            Some(limit) if alive >= limit as usize => Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "BRANCHES_LIMIT_EXCEEDED",
                format!("the project has {limit} branches, which is its limit"),
            )),
            _ => Ok(()),
        }
    }

    /// Records the usage of a project's computes up to now.
    pub(crate) async fn settle(&self, project: &ProjectId) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let now = self.clock.now();
        for mut row in Store::lock_endpoints(&mut tx, project).await? {
            let compute = Compute::of(&row, &self.sessions, now);
            Store::settle(&mut tx, &mut row, compute.sleeps_at, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Drops databases and roles that are no longer reachable. Those that cannot be dropped now are
    /// dropped by the next purge.
    async fn bury(&self) {
        if let Err(error) = self.provisioner.bury().await {
            tracing::warn!(%error, "failed to drop unreachable databases and roles; the next purge retries");
        }
    }
}

/// Serves the API until the token is cancelled, then finishes the calls in progress.
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
        .merge(of_projects())
        .merge(of_branches())
        .merge(of_account())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn_with_state(api.clone(), gate::api));
    let own = Router::new()
        .route("/calls", get(own::calls).delete(own::reset_calls))
        .route("/passwords", get(own::passwords))
        .route("/projects", get(own::projects).post(own::seed_projects))
        .route("/purge", post(own::purge))
        .route("/violations", get(own::violations))
        .route("/clock", get(own::clock).post(own::turn_clock))
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
        .merge(crate::page::routes(api))
        .fallback(nowhere)
        .with_state(api.clone())
}

fn of_projects() -> Router<Arc<Api>> {
    Router::new()
        .route("/projects", get(projects::list).post(create::create))
        .route("/projects/shared", get(projects::shared))
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
        .route(
            "/projects/{project_id}/endpoints",
            get(endpoints::list).post(endpoints::create),
        )
        .route(
            "/projects/{project_id}/endpoints/{endpoint_id}",
            get(endpoints::get)
                .patch(endpoints::update)
                .delete(endpoints::delete),
        )
        .route(
            "/projects/{project_id}/endpoints/{endpoint_id}/start",
            post(endpoints::start),
        )
        .route(
            "/projects/{project_id}/endpoints/{endpoint_id}/suspend",
            post(endpoints::suspend),
        )
        .route(
            "/projects/{project_id}/endpoints/{endpoint_id}/restart",
            post(endpoints::restart),
        )
}

fn of_branches() -> Router<Arc<Api>> {
    let branch = Router::new()
        .route(
            "/",
            get(branches::get)
                .patch(branches::update)
                .delete(branches::delete),
        )
        .route("/restore", post(branches::restore))
        .route("/recover", post(branches::recover))
        .route("/set_as_default", post(branches::set_as_default))
        .route("/endpoints", get(branches::endpoints))
        .route("/databases", get(databases::list).post(databases::create))
        .route(
            "/databases/{database_name}",
            get(databases::get)
                .patch(databases::update)
                .delete(databases::delete),
        )
        .route("/roles", get(roles::list).post(roles::create))
        .route("/roles/{role_name}", get(roles::get).delete(roles::delete))
        .route(
            "/roles/{role_name}/reset_password",
            post(roles::reset_password),
        )
        .route(
            "/roles/{role_name}/reveal_password",
            get(roles::reveal_password),
        );
    Router::new()
        .route(
            "/projects/{project_id}/branches",
            get(branches::list).post(branches::create),
        )
        .route(
            "/projects/{project_id}/branches/count",
            get(branches::count),
        )
        .nest("/projects/{project_id}/branches/{branch_id}", branch)
}

fn of_account() -> Router<Arc<Api>> {
    Router::new()
        .route(
            "/consumption_history/v2/projects",
            get(consumption::projects),
        )
        .route(
            "/consumption_history/v2/branches",
            get(consumption::branches),
        )
        .route("/regions", get(account::regions))
        .route("/users/me", get(account::me))
        .route("/users/me/organizations", get(account::organizations))
        .route("/organizations/{org_id}", get(account::get_organization))
        .route("/auth", get(account::auth))
}

/// Handles paths outside the API.
async fn nowhere() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "Not found. The API is at /api/v2, and the dashboard is at /.\n",
    )
}

async fn unknown(request: HttpRequest) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "NOT_IMPLEMENTED",
        format!(
            "the emulator does not implement {method} {path}; its README lists the implemented operations"
        ),
    )
}
