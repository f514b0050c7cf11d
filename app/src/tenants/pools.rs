//! The only module that opens tenant databases.
//!
//! Each workspace in use has one pool with a few connections. At most [`PoolLimits::max_pools`]
//! pools are open: at the limit, the pool that has been idle longest is closed, and if all are in
//! use, the caller waits. Idle pools are closed and idle databases are never pinged, so that their
//! computes can suspend.
//!
//! A pool belongs to the content of its Secret. When the watch reports a new version of the Secret,
//! the next request reads it and opens a new pool if the content changed; running queries finish on
//! the old pool. After a failed login the Secret is read again immediately, and if it has not
//! changed, the controller is asked to check the database.

mod connect;
mod database_failure;
mod limits;
mod open_pool;
mod slots;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{TenantView, Tenants, Unavailable};
use crate::domain::Workspace;
use crate::ids::WorkspaceId;
use database_failure::DatabaseFailure;
pub use database_failure::is_full;
pub use limits::PoolLimits;
use open_pool::OpenPool;
pub use open_pool::TenantDatabase;
use slots::{PoolSlots, SlotPermit};

/// Suggested retry delay after a database could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(3);
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
        self.0.tenants.record_use(tenant);
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
    /// database if that fails too. Returns why the database cannot be used; `None` if only the
    /// statement failed.
    pub async fn report_error(
        &self,
        workspace: &Workspace,
        error: &sqlx::Error,
    ) -> Option<Unavailable> {
        Some(match database_failure::classify(error)? {
            DatabaseFailure::InvalidCredentials => {
                self.close(&workspace.id);
                match self.get(workspace).await {
                    Ok(_) => unreachable(),
                    Err(reason) => reason,
                }
            }
            // The pool replaces broken connections.
            DatabaseFailure::Transient => unreachable(),
            DatabaseFailure::Full => Unavailable::Full,
        })
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
