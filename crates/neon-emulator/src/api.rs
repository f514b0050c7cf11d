//! The Neon API v2: routes and the state that their handlers share.
//!
//! Every call passes through [`middleware`], which counts it, checks the API key, applies latency
//! and faults, and then calls the handler. A handler reads or changes the stored state in one
//! transaction and responds with the resources as of that moment.

mod account;
pub(crate) mod admin;
mod branches;
mod consumption;
mod databases;
mod endpoints;
mod error;
mod extract;
mod listener;
mod middleware;
mod operation_plan;
mod operations;
mod plan_limits;
mod plans;
pub(crate) mod projects;
mod request_log;
mod roles;
mod snapshots;
mod validate;
pub(crate) mod view;

use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post};
use http::StatusCode;
use neon_client::ids::ProjectId;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::error::ApiError;
use self::listener::{DisconnectHandle, DisconnectableListener};
pub(crate) use self::middleware::CallCounter;
pub(crate) use self::middleware::is_allowed;
pub(crate) use self::plans::OrganizationPlans;
pub(crate) use self::request_log::{LoggedRequest, RequestLog};
use crate::api_key::ApiKey;
use crate::clock::{Clock, Micros, SECOND};
use crate::compute::Compute;
use crate::config::{Latency, Limits};
use crate::data_plane::DataPlane;
use crate::faults::Faults;
use crate::hosts::Hosts;
use crate::openapi::Conformance;
use crate::plan::Plan;
use crate::provision::Provisioner;
pub(crate) use crate::rate::RateLimiter;
use crate::sessions::Sessions;
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
    pub(crate) organization_plans: OrganizationPlans,
    /// Whether the use of a compute moves its project's `updated_at`.
    pub(crate) activity_updates_projects: bool,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) clock: Clock,
    pub(crate) calls: CallCounter,
    pub(crate) request_log: RequestLog,
    pub(crate) rate: RateLimiter,
    /// The address that the API listens on.
    pub(crate) address: SocketAddr,
    /// The address that the data plane listens on.
    pub(crate) data_address: SocketAddr,
    pub(crate) conformance: Conformance,
    /// Work that continues after its call has been answered.
    pub(crate) tasks: TaskTracker,
    pub(crate) rng: Mutex<StdRng>,
}

impl Api {
    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock()
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
    fn check_branch_limit(&self, rows: &[BranchRow]) -> Result<(), ApiError> {
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

    /// Fails if the project has all the protected branches that the plan allows.
    fn check_protected_branches(plan: Plan, rows: &[BranchRow]) -> Result<(), ApiError> {
        let existing = rows
            .iter()
            .filter(|row| row.deleted_at_us.is_none() && row.protected)
            .count();
        Ok(plan.check_protected_branches(existing)?)
    }

    /// Records the usage of a project's computes up to now.
    pub(crate) async fn record_usage(&self, project: &ProjectId) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let now = self.clock.now();
        for mut row in Store::lock_endpoints(&mut tx, project).await? {
            let compute = Compute::of(&row, &self.sessions, now);
            Store::record_usage(&mut tx, &mut row, compute.suspends_at, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Drops databases and roles that are no longer reachable. Those that cannot be dropped now are
    /// dropped by the next purge.
    async fn drop_garbage(&self) {
        if let Err(error) = self.provisioner.drop_garbage().await {
            tracing::warn!(%error, "failed to drop unreachable databases and roles; the next purge retries");
        }
    }
}

/// Deletes branches and snapshots whose `expires_at` has passed.
pub(crate) async fn expire(api: &Api, now: Micros) -> Result<(), ApiError> {
    branches::expire(api, now).await?;
    Ok(snapshots::expire(api, now).await?)
}

/// Serves these routes until the token is cancelled, then finishes the calls in progress.
pub(crate) async fn serve(
    routes: Router,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    let service = routes.into_make_service_with_connect_info::<DisconnectHandle>();
    axum::serve(DisconnectableListener(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// The routes of the Neon API and of the admin API.
pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    let calls = Router::new()
        .merge(project_routes())
        .merge(branch_routes())
        .merge(account_routes())
        .fallback(not_implemented)
        .method_not_allowed_fallback(not_implemented)
        .layer(from_fn_with_state(api.clone(), middleware::api));
    let admin = Router::new()
        .route("/calls", get(admin::calls).delete(admin::reset_calls))
        .route("/passwords", get(admin::passwords))
        .route("/projects", get(admin::projects).post(admin::seed_projects))
        .route("/plans", get(admin::plans).post(admin::set_plan))
        .route("/purge", post(admin::purge))
        .route("/violations", get(admin::violations))
        .route("/clock", get(admin::clock).post(admin::advance_clock))
        .route(
            "/faults",
            get(admin::list_faults)
                .post(admin::add_fault)
                .delete(admin::clear_faults),
        )
        .route("/faults/{id}", delete(admin::remove_fault))
        .fallback(not_implemented)
        .layer(from_fn_with_state(api.clone(), middleware::admin));
    Router::new()
        .nest(crate::operations::PREFIX, calls)
        .nest("/_emulator", admin)
        .fallback(not_found)
}

fn project_routes() -> Router<Arc<Api>> {
    Router::new()
        .route(
            "/projects",
            get(projects::list).post(projects::create::create),
        )
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

fn branch_routes() -> Router<Arc<Api>> {
    let branch = Router::new()
        .route(
            "/",
            get(branches::get)
                .patch(branches::update)
                .delete(branches::delete),
        )
        .route("/restore", post(branches::restore))
        .route("/recover", post(branches::recover))
        .route("/snapshot", post(snapshots::create))
        .route("/finalize_restore", post(snapshots::finalize))
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
        .route("/projects/{project_id}/snapshots", get(snapshots::list))
        .route(
            "/projects/{project_id}/snapshots/{snapshot_id}",
            patch(snapshots::update).delete(snapshots::delete),
        )
        .route(
            "/projects/{project_id}/snapshots/{snapshot_id}/restore",
            post(snapshots::restore),
        )
        .route(
            "/projects/{project_id}/branches/count",
            get(branches::count),
        )
        .nest("/projects/{project_id}/branches/{branch_id}", branch)
}

fn account_routes() -> Router<Arc<Api>> {
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
async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "Not found. The API is at /api/v2, and the dashboard is at /.\n",
    )
}

async fn not_implemented(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "NOT_IMPLEMENTED",
        format!(
            "the emulator does not implement {method} {path}; its README lists the implemented operations"
        ),
    )
}
