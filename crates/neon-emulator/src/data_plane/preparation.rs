//! Everything before the connection to PostgreSQL: resolves the endpoint, checks the allow list and
//! the quota, applies faults, and waits until the compute is active.

use std::net::IpAddr;
use std::time::Duration;

use neon_client::ids::{BranchId, DatabaseName, EndpointId, RoleName};
use neon_client::model::Quota;
use tokio::net::TcpStream;
use tokio::sync::OwnedRwLockReadGuard;
use tokio_rustls::server::TlsStream;

use super::admission::{self, Exhausted};
use super::error_response::ErrorResponse;
use super::rejection::Rejection;
use super::scram::RoleSecret;
use super::target::Target;
use super::wire::StartupMessage;
use super::{DataPlane, pooler, target};
use crate::clock::{Micros, period_start};
use crate::compute::Compute;
use crate::faults::{Effect, Injection};
use crate::provision::{BackendCredentials, ProvisionError};
use crate::store::{EndpointKind, EndpointRoute, Store, StoreError};

/// A client that may be connected to PostgreSQL.
pub(super) struct PreparedConnection {
    /// Blocks copies of the branch and suspensions of its computes until the client is
    /// authenticated.
    pub(super) branch_lock: Option<OwnedRwLockReadGuard<()>>,
    pub(super) route: EndpointRoute,
    pub(super) startup: StartupMessage,
    pub(super) injection: Injection,
    pub(super) replacements: Vec<(String, String)>,
    pub(super) user: String,
    /// Whether the client connects to the pooler.
    pub(super) pooled: bool,
    pub(super) secret: RoleSecret,
    pub(super) password_as_of: Micros,
    /// The size limit that the project has reached, in bytes.
    pub(super) size_limit: Option<u64>,
}

impl DataPlane {
    /// Prepares a client's connection to PostgreSQL, unless the proxy's cache rejects it.
    pub(super) async fn prepare(
        &self,
        client: &TlsStream<TcpStream>,
        startup: StartupMessage,
        peer: IpAddr,
    ) -> Result<PreparedConnection, ErrorResponse> {
        let target = target::resolve(client.get_ref().1.server_name(), startup.get("options"))?;
        let user = startup.get("user").unwrap_or_default().to_owned();
        if let Some(rejection) = self.cache.find(&target.endpoint, &user, self.clock.now()) {
            return Err(rejection.into_response(&user));
        }
        let endpoint = target.endpoint.clone();
        let prepared = self.admit_and_wake(target, &user, startup, peer).await;
        prepared.map_err(|rejection| {
            self.cache
                .remember(&endpoint, &user, &rejection, self.clock.now());
            rejection.into_response(&user)
        })
    }

    async fn admit_and_wake(
        &self,
        target: Target,
        user: &str,
        mut startup: StartupMessage,
        peer: IpAddr,
    ) -> Result<PreparedConnection, Rejection> {
        // As in PostgreSQL, the database name defaults to the user name.
        let database_name = startup
            .get("database")
            .filter(|name| !name.is_empty())
            .unwrap_or(user)
            .to_owned();
        let route = self.route(&target.endpoint).await?;
        self.admit(&route, peer).await?;
        if target.pooled {
            pooler::admit(&mut startup, target.options.as_deref())?;
        }
        let injection = self.faults.for_connection(&route.endpoint.project_id);
        tokio::time::sleep(Duration::from_millis(injection.delay_ms)).await;
        match injection.outcome {
            Some(Effect::RefuseConnections) => {
                return Err(ErrorResponse::unavailable(
                    "injected: the compute does not take connections",
                )
                .into());
            }
            Some(Effect::DoesNotWake { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                return Err(ErrorResponse::proxy("Couldn't connect to compute node").into());
            }
            Some(Effect::UnknownEndpoint) => return Err(Rejection::UnknownEndpoint),
            Some(Effect::ControlPlaneFails) => {
                return Err(Rejection::ControlPlane(ErrorResponse::proxy(
                    "Control plane request failed",
                )));
            }
            _ => {}
        }
        let (route, branch_lock) = self.enter_branch(route).await?;
        let no_database = || {
            Rejection::Other(ErrorResponse {
                code: "3D000",
                message: format!("database \"{database_name}\" does not exist"),
                hint: None,
            })
        };
        let branch: BranchId = route
            .endpoint
            .branch_id
            .parse()
            .map_err(StoreError::corrupt)?;
        let role: RoleName = user.parse().map_err(|_| Rejection::UnknownRole)?;
        let database: DatabaseName = database_name.parse().map_err(|_| no_database())?;
        let credentials = self
            .provisioner
            .ensure(&branch, &role, &database, &self.clock)
            .await
            .map_err(|error| match error {
                ProvisionError::NoRole => Rejection::UnknownRole,
                ProvisionError::NoDatabase => no_database(),
                ProvisionError::Store(error) => error.into(),
            })?;
        startup.set("user", Some(credentials.role.clone()));
        startup.set("database", Some(credentials.database.clone()));
        let size_limit = self.reached_size_limit(&route).await?;
        let read_only = size_limit.is_some() || route.endpoint.kind == EndpointKind::ReadOnly;
        startup.set("options", options(target.options, read_only));
        Ok(PreparedConnection {
            branch_lock: Some(branch_lock),
            route,
            startup,
            injection,
            secret: RoleSecret::of(&credentials.password).ok_or(Rejection::UnknownRole)?,
            password_as_of: credentials.as_of,
            size_limit,
            replacements: replacements(credentials, user.to_owned(), database_name),
            user: user.to_owned(),
            pooled: target.pooled,
        })
    }

    /// Looks up the route of an endpoint.
    pub(super) async fn route(&self, endpoint: &EndpointId) -> Result<EndpointRoute, Rejection> {
        let Some(route) = self.store.route(endpoint).await? else {
            return Err(Rejection::UnknownEndpoint);
        };
        if route.endpoint.disabled {
            return Err(Rejection::ControlPlane(ErrorResponse::proxy(
                "The endpoint has been disabled. Enable it using the API and retry.",
            )));
        }
        Ok(route)
    }

    /// Checks the client's address and the project's quota.
    async fn admit(&self, route: &EndpointRoute, peer: IpAddr) -> Result<(), Rejection> {
        if !admission::is_address_allowed(route, peer) {
            return Err(ErrorResponse::proxy(format!(
                "This IP address {peer} is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon \
                 console. Make sure to check for IPv4 or IPv6 addresses."
            ))
            .into());
        }
        let Some(quota) = route.project_settings.quota.filter(admission::has_limits) else {
            return Ok(());
        };
        match self.exhausted(&route.endpoint.project_id, &quota).await? {
            None => Ok(()),
            Some(exhausted) => Err(Rejection::ControlPlane(ErrorResponse::proxy(
                exhausted.message(),
            ))),
        }
    }

    /// The quota limit that a project has exceeded.
    pub(crate) async fn exhausted(
        &self,
        project: &str,
        quota: &Quota,
    ) -> Result<Option<Exhausted>, StoreError> {
        let now = self.clock.now();
        let id = project.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        for mut row in Store::lock_endpoints(&mut tx, &id).await? {
            let compute = Compute::of(&row, &self.sessions, now);
            Store::record_usage(&mut tx, &mut row, compute.suspends_at, now).await?;
        }
        tx.commit().await?;
        let used = self.store.usage(project, None, period_start(now)).await?;
        Ok(admission::exhausted(quota, used))
    }

    /// The size limit of a project, in bytes, if one of its branches has reached it.
    pub(crate) async fn reached_size_limit(
        &self,
        route: &EndpointRoute,
    ) -> Result<Option<u64>, StoreError> {
        let quota = route.project_settings.quota.as_ref();
        let limit = quota
            .and_then(|quota| quota.logical_size_bytes)
            .filter(|limit| *limit > 0);
        let Some(limit) = limit else { return Ok(None) };
        let project = route
            .endpoint
            .project_id
            .parse()
            .map_err(StoreError::corrupt)?;
        for branch in self.store.branches(&project).await? {
            let databases = self.store.databases(&branch.branch_id()?).await?;
            match self.provisioner.sizes(&databases).await {
                Ok(size) if size.unsigned_abs() >= limit => return Ok(Some(limit)),
                Err(ProvisionError::Store(error)) => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Replacements for messages to the client. Neon quotes the user name differently than PostgreSQL.
fn replacements(
    credentials: BackendCredentials,
    user: String,
    database: String,
) -> Vec<(String, String)> {
    vec![
        (credentials.database, database),
        (
            format!("failed for user \"{}\"", credentials.role),
            format!("failed for user '{user}'"),
        ),
        (credentials.role, user),
    ]
}

/// The options of the session, which a read-only compute and a reached size limit make read-only.
fn options(given: Option<String>, read_only: bool) -> Option<String> {
    if !read_only {
        return given;
    }
    let given = given.unwrap_or_default();
    Some(
        format!("{given} -c default_transaction_read_only=on")
            .trim_start()
            .to_owned(),
    )
}
