//! The only module that opens tenant databases.
//!
//! Each workspace in use has one pool with a few connections. At most [`PoolLimits::max_pools`]
//! pools are open: the pool that has been idle longest is closed to make room, and if all are in
//! use, the caller waits. Idle pools are closed and idle databases are never pinged, so that their
//! computes can suspend.
//!
//! A pool belongs to the content of its Secret. When the watch reports a new version of the Secret,
//! the next request reads it and opens a new pool if the content changed; running queries finish on
//! the old pool. After a failed login the Secret is read again immediately, and if it has not
//! changed, the controller is asked to check the database.

mod connection_failure;
mod open_pool;
mod slots;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use service_kit::error_chain;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::{TenantView, Tenants, Unavailable};
use crate::config::TenantPools;
use crate::domain::Workspace;
use crate::ids::WorkspaceId;
use connection_failure::ConnectionFailure;
use open_pool::OpenPool;
pub use open_pool::TenantDatabase;
use slots::{PoolSlots, SlotPermit};
use target::ConnectionTarget;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Maximum number of open pools per process.
    pub max_pools: usize,
    pub max_connections_per_pool: u32,
    /// How long a pool may stay unused before it is closed.
    pub idle_timeout: Duration,
    /// Timeout for opening a connection. A suspended compute usually starts within a second,
    /// sometimes in several.
    pub connect_timeout: Duration,
    /// Timeout for acquiring a connection from an open pool.
    pub acquire_timeout: Duration,
    /// Timeout for a free slot while all pools are in use.
    pub slot_timeout: Duration,
    /// Whether databases are opened before the first query, to start their computes early.
    pub prewarm: bool,
}

impl From<&TenantPools> for PoolLimits {
    fn from(settings: &TenantPools) -> Self {
        Self {
            max_pools: settings.max_tenant_pools.get(),
            max_connections_per_pool: settings.max_connections_per_tenant.get(),
            idle_timeout: settings.tenant_pool_idle_timeout,
            connect_timeout: settings.tenant_connect_timeout,
            slot_timeout: settings.tenant_pool_wait_timeout,
            prewarm: settings.tenant_prewarm,
            ..Self::default()
        }
    }
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_pools: 100,
            max_connections_per_pool: 4,
            idle_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(15),
            acquire_timeout: Duration::from_secs(10),
            slot_timeout: Duration::from_secs(5),
            prewarm: true,
        }
    }
}

/// Suggested retry delay after a database could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Maximum age of a connection. Reconnecting rebalances connections across proxies.
const MAX_CONNECTION_LIFETIME: Duration = Duration::from_mins(30);
/// How many times per idle timeout the idle pools are checked.
const IDLE_CHECKS_PER_TIMEOUT: u32 = 4;

/// Cheap to clone.
#[derive(Clone)]
pub struct Pools(Arc<Inner>);

struct Inner {
    tenants: Tenants,
    limits: PoolLimits,
    entries: Mutex<HashMap<WorkspaceId, Arc<PoolEntry>>>,
    slots: Arc<PoolSlots>,
}

/// A workspace's pool. The task that opens the pool holds the lock; other tasks wait for the
/// result.
#[derive(Default)]
struct PoolEntry {
    pool: tokio::sync::Mutex<Option<Arc<OpenPool>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    /// Open pools, including replaced pools that are finishing their last queries.
    pub open: usize,
    /// Open connections, in use or idle.
    pub connections: usize,
}

impl Pools {
    /// Returns an empty set of pools. All pools are closed when `stop` is cancelled.
    pub fn start(
        tenants: Tenants,
        limits: PoolLimits,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let pools = Self(Arc::new(Inner {
            tenants,
            slots: PoolSlots::new(limits.max_pools),
            entries: Mutex::default(),
            limits,
        }));
        let (closing, stop) = (pools.clone(), stop.clone());
        tasks.spawn(async move {
            let every = closing.0.limits.idle_timeout / IDLE_CHECKS_PER_TIMEOUT;
            while timeout(every.max(Duration::from_millis(1)), stop.cancelled())
                .await
                .is_err()
            {
                closing.close_idle();
            }
            closing.0.entries.lock().clear();
        });
        pools
    }

    /// Returns the workspace's database, opening a pool if needed. The first call may wait for a
    /// suspended compute to start.
    pub async fn get(&self, workspace: &Workspace) -> Result<TenantDatabase, Unavailable> {
        let tenant = self.0.tenants.available(workspace)?;
        let entry = Arc::clone(
            self.0
                .entries
                .lock()
                .entry(workspace.id.clone())
                .or_default(),
        );
        let limits = &self.0.limits;
        let deadline = Instant::now() + limits.connect_timeout + limits.slot_timeout;
        // Concurrent callers wait here while one of them opens the pool.
        let mut pool = timeout_at(deadline, entry.pool.lock())
            .await
            .map_err(|_| unreachable())?;
        if let Some(open_pool) = &*pool
            && self.is_usable(open_pool, &tenant).await
        {
            open_pool.touch();
            return Ok(TenantDatabase::checkout(open_pool, &self.0.slots));
        }
        // Callers that hold the old pool finish on it; it closes when the last handle is dropped.
        *pool = None;
        let open_pool = self.open(workspace, &tenant, deadline).await?;
        let database = TenantDatabase::checkout(&open_pool, &self.0.slots);
        *pool = Some(open_pool);
        Ok(database)
    }

    /// Opens the workspace's database in the background so that its compute is running for the
    /// first question. Does nothing if prewarming is disabled.
    pub fn prewarm(&self, workspace: &Workspace) {
        if !self.0.limits.prewarm {
            return;
        }
        let (pools, workspace) = (self.clone(), workspace.clone());
        tokio::spawn(async move {
            if let Err(reason) = pools.get(&workspace).await {
                debug!(workspace.id = %workspace.id, error = %reason, "failed to prewarm the database");
            }
        });
    }

    /// Closes the workspace's pool, for example before the workspace is deleted. Running queries
    /// finish.
    pub fn close(&self, workspace: &WorkspaceId) {
        self.0.entries.lock().remove(workspace);
    }

    /// Handles an error of a query on the workspace's database. If the credentials are invalid,
    /// reopens the database with the Secret's current content, and asks the controller to check the
    /// database if that fails too. Returns whether a retry may succeed.
    pub async fn report_error(&self, workspace: &Workspace, error: &sqlx::Error) -> bool {
        match connection_failure::classify(error) {
            Some(ConnectionFailure::InvalidCredentials) => {
                self.close(&workspace.id);
                self.get(workspace).await.is_ok()
            }
            // The pool replaces broken connections.
            Some(ConnectionFailure::Transient) => true,
            None => false,
        }
    }

    pub fn counts(&self) -> PoolCounts {
        let entries: Vec<_> = self.0.entries.lock().values().cloned().collect();
        let connections = entries
            .iter()
            .filter_map(|entry| entry.pool.try_lock().ok())
            .filter_map(|pool| {
                pool.as_ref()
                    .map(|open_pool| open_pool.pool.size() as usize)
            })
            .sum();
        PoolCounts {
            open: self.0.slots.in_use(),
            connections,
        }
    }

    /// Whether the pool still belongs to this Tenant and its Secret, and can open connections.
    async fn is_usable(&self, open_pool: &OpenPool, tenant: &TenantView) -> bool {
        if open_pool.tenant_uid != tenant.uid || open_pool.pool.is_closed() {
            return false;
        }
        let version = tenant
            .connection_secret
            .as_deref()
            .and_then(|secret| self.0.tenants.secret_version(secret));
        if version.is_some_and(|version| !open_pool.matches_secret_version(&version)) {
            // The Secret was written. If only metadata changed, the pool stays valid.
            match self.read(tenant).await {
                Ok((target, version)) if target.fingerprint == open_pool.fingerprint => {
                    open_pool.set_secret_version(version);
                }
                Ok(_) => return false,
                // The API server is unavailable: keep using the existing pool.
                Err(_) => {}
            }
        }
        if open_pool.pool.num_idle() > 0 || open_pool.pool.size() > 0 {
            return true;
        }
        // All connections were closed as idle; verify that a new login works.
        open_pool.pool.acquire().await.is_ok()
    }

    async fn open(
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
            Err(error) => match connection_failure::classify(&error) {
                Some(ConnectionFailure::InvalidCredentials) => {
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
        if connection_failure::classify(&error) == Some(ConnectionFailure::InvalidCredentials) {
            self.0.tenants.request_reconcile(tenant).await;
        }
        Err(error)
    }

    /// Reads the Tenant's Secret and its version.
    async fn read(&self, tenant: &TenantView) -> Result<(ConnectionTarget, Box<str>), Unavailable> {
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

    /// Acquires a slot for one more pool, closing the pool that has been idle longest or waiting if
    /// necessary.
    async fn acquire_slot(&self, except: &WorkspaceId) -> Result<SlotPermit, Unavailable> {
        let deadline = Instant::now() + self.0.limits.slot_timeout;
        loop {
            // Registered before checking, so that a slot released in between is not missed.
            let freed = self.0.slots.freed();
            if let Some(permit) = self.0.slots.try_acquire() {
                return Ok(permit);
            }
            self.close_longest_idle(except);
            if timeout_at(deadline, freed).await.is_err() {
                return Err(Unavailable::PoolsExhausted);
            }
        }
    }

    fn close_longest_idle(&self, except: &WorkspaceId) {
        let mut entries = self.0.entries.lock();
        let longest = entries
            .iter()
            .filter(|(id, _)| *id != except)
            .filter_map(|(id, entry)| {
                let pool = entry.pool.try_lock().ok()?;
                let open_pool = pool
                    .as_ref()
                    .filter(|open_pool| open_pool::is_idle(open_pool))?;
                Some((open_pool.last_used(), id.clone()))
            })
            .min();
        if let Some((_, id)) = longest {
            entries.remove(&id);
        }
    }

    fn close_idle(&self) {
        let idle_timeout = self.0.limits.idle_timeout;
        self.0.entries.lock().retain(|_, entry| {
            if Arc::strong_count(entry) > 1 {
                return true;
            }
            let Ok(pool) = entry.pool.try_lock() else {
                return true;
            };
            pool.as_ref().is_some_and(|open_pool| {
                !open_pool::is_idle(open_pool) || open_pool.last_used().elapsed() < idle_timeout
            })
        });
    }
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pools")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

fn unreachable() -> Unavailable {
    Unavailable::Unreachable {
        retry_after: RETRY_AFTER,
    }
}
