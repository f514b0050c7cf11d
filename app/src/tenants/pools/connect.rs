//! Opens a tenant database with the credentials of its Secret.

use std::sync::Arc;
use std::time::Duration;

use service_kit::error_chain;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::database_failure::{self, DatabaseFailure};
use super::open_pool::OpenPool;
use super::target::ConnectionTarget;
use super::{Pools, unreachable};
use crate::domain::Workspace;
use crate::tenants::{TenantView, Unavailable};

/// Maximum age of a connection. Reconnecting rebalances connections across proxies.
const MAX_CONNECTION_LIFETIME: Duration = Duration::from_mins(30);

impl Pools {
    /// Opens the workspace's database in a new pool.
    pub(super) async fn open(
        &self,
        workspace: &Workspace,
        tenant: &TenantView,
        deadline: Instant,
    ) -> Result<Arc<OpenPool>, Unavailable> {
        let permit = self.acquire_slot(&workspace.id).await?;
        let (target, version) = self.read(tenant).await?;
        let started = Instant::now();
        let result = match self.connect(&target, deadline).await {
            Ok(pool) => Ok((pool, target, version)),
            Err(error) => match database_failure::classify(&error) {
                Some(DatabaseFailure::InvalidCredentials) => {
                    self.retry_with_newer_secret(tenant, &target, deadline, error)
                        .await
                }
                _ => Err(error),
            },
        };
        match result {
            Ok((pool, target, version)) => {
                info!(
                    workspace.id = %workspace.id,
                    elapsed_ms = started.elapsed().as_millis(),
                    "tenant database opened"
                );
                Ok(Arc::new(OpenPool::new(
                    pool,
                    permit,
                    tenant.uid.clone(),
                    target.fingerprint,
                    version,
                )))
            }
            Err(error) => {
                warn!(
                    workspace.id = %workspace.id,
                    error = %error_chain(&error),
                    "failed to open the tenant database"
                );
                Err(unreachable())
            }
        }
    }

    /// After a failed login, retries if the Secret has changed. Otherwise asks the controller to
    /// check the database.
    async fn retry_with_newer_secret(
        &self,
        tenant: &TenantView,
        failed: &ConnectionTarget,
        deadline: Instant,
        error: sqlx::Error,
    ) -> Result<(PgPool, ConnectionTarget, Box<str>), sqlx::Error> {
        let newer = self
            .read(tenant)
            .await
            .ok()
            .filter(|(target, _)| target.fingerprint != failed.fingerprint);
        let error = match newer {
            Some((target, version)) => match self.connect(&target, deadline).await {
                Ok(pool) => return Ok((pool, target, version)),
                Err(error) => error,
            },
            None => error,
        };
        if database_failure::classify(&error) == Some(DatabaseFailure::InvalidCredentials) {
            self.0.tenants.request_reconcile(tenant).await;
        }
        Err(error)
    }

    /// Reads the Tenant's Secret and its version.
    pub(super) async fn read(
        &self,
        tenant: &TenantView,
    ) -> Result<(ConnectionTarget, Box<str>), Unavailable> {
        let name = tenant
            .connection_secret
            .as_deref()
            .ok_or_else(unreachable)?;
        let secret = match self.0.tenants.read_secret(name).await {
            Ok(Some(secret)) => secret,
            // The controller will recreate it.
            Ok(None) => return Err(unreachable()),
            Err(error) => {
                warn!(
                    tenant.name = %tenant.name,
                    error = %error_chain(&error),
                    "failed to read the connection Secret"
                );
                return Err(unreachable());
            }
        };
        match ConnectionTarget::read(&secret) {
            Ok(target) => Ok((target, secret.version)),
            Err(error) => {
                warn!(tenant.name = %tenant.name, %error, "invalid connection Secret");
                Err(unreachable())
            }
        }
    }

    /// Creates a pool and opens its first connection.
    async fn connect(
        &self,
        target: &ConnectionTarget,
        deadline: Instant,
    ) -> Result<PgPool, sqlx::Error> {
        let limits = &self.0.limits;
        let pool = PgPoolOptions::new()
            .min_connections(0)
            .max_connections(limits.max_connections_per_pool)
            .idle_timeout(limits.idle_timeout)
            .max_lifetime(MAX_CONNECTION_LIFETIME)
            .acquire_timeout(limits.acquire_timeout.max(limits.connect_timeout))
            .connect_lazy_with(target.options());
        match timeout_at(deadline, pool.acquire()).await {
            Ok(Ok(_)) => Ok(pool),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }
}
