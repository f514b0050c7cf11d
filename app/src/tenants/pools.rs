//! The only place that opens tenants' databases.
//!
//! A pool a workspace in use, a few connections each, and never more pools than [`PoolLimits::pools_max`]: the one that was idle longest
//! gives way, and when all are in use the next waits its turn. What is idle is closed, and nothing ever asks an idle database whether it is still there, so
//! that computes go to sleep.
//!
//! A pool belongs to what the Secret said when it was opened. When the watch shows another version of the Secret, the next request reads
//! it, and if it says something else, opens a new pool; queries that run finish on the old one. A login that fails reads the Secret
//! again at once, and if that says nothing new, asks the controller to look at the database.

mod failure;
mod lease;
mod room;
mod target;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::ids::WorkspaceId;
use crate::tenants::{TenantView, Tenants, Unavailable};
use crate::workspaces::Workspace;
use failure::Failure;
use lease::Opened;
pub use lease::TenantDatabase;
use room::{Place, Room};
use target::Target;

/// What the pools may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Pools open at once, of this process.
    pub pools_max: usize,
    /// Connections of one pool.
    pub connections_per_pool_max: u32,
    /// A pool that nobody used for so long is closed.
    pub idle_timeout: Duration,
    /// Limit on opening a connection. A compute that sleeps takes a second or so to wake up, at times several.
    pub connect_timeout: Duration,
    /// Limit on waiting for a connection of a pool that is open.
    pub acquire_timeout: Duration,
    /// Limit on waiting for room when all pools are in use.
    pub room_timeout: Duration,
    /// Whether a database is opened before somebody asks it something.
    pub wakes_ahead: bool,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            pools_max: 100,
            connections_per_pool_max: 4,
            idle_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(15),
            acquire_timeout: Duration::from_secs(10),
            room_timeout: Duration::from_secs(5),
            wakes_ahead: true,
        }
    }
}

/// When to try again after a database could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// A connection is not kept for longer than this, so that a fleet of processes spreads anew now and then.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(30);
/// Idle pools are looked for so often within their idle timeout.
const LOOKS_PER_IDLE_TIMEOUT: u32 = 4;

/// The pools. Cloning it is cheap.
#[derive(Clone)]
pub struct Pools(Arc<Inner>);

struct Inner {
    tenants: Tenants,
    limits: PoolLimits,
    slots: Mutex<HashMap<WorkspaceId, Arc<Slot>>>,
    room: Arc<Room>,
}

/// A workspace's place for a pool. Whoever opens it holds the lock; the others wait for the outcome.
#[derive(Default)]
struct Slot {
    pool: tokio::sync::Mutex<Option<Arc<Opened>>>,
}

/// How many pools there are, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    /// Pools open, those included that only finish their last queries.
    pub open: usize,
    /// Connections open, in use or idle.
    pub connections: usize,
}

impl Pools {
    /// Pools that are opened when somebody asks, until `stop`.
    pub fn start(
        tenants: Tenants,
        limits: PoolLimits,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let pools = Self(Arc::new(Inner {
            tenants,
            room: Room::new(limits.pools_max),
            slots: Mutex::default(),
            limits,
        }));
        let (closing, stop) = (pools.clone(), stop.clone());
        tasks.spawn(async move {
            let every = closing.0.limits.idle_timeout / LOOKS_PER_IDLE_TIMEOUT;
            while timeout(every.max(Duration::from_millis(1)), stop.cancelled())
                .await
                .is_err()
            {
                closing.close_idle();
            }
            closing.lock().clear();
        });
        pools
    }

    /// The workspace's database, ready for queries. The first time takes as long as a sleeping compute needs to wake up.
    pub async fn get(&self, workspace: &Workspace) -> Result<TenantDatabase, Unavailable> {
        let tenant = self.0.tenants.available(workspace)?;
        let slot = Arc::clone(self.lock().entry(workspace.id.clone()).or_default());
        let patience = self.0.limits.connect_timeout + self.0.limits.room_timeout;
        let until = Instant::now() + patience;
        // Everybody who comes while one opens the pool waits here for what comes of it.
        let mut pool = timeout_at(until, slot.pool.lock())
            .await
            .map_err(|_| unreachable())?;
        if let Some(opened) = &*pool
            && self.is_good(opened, &tenant).await
        {
            opened.touch();
            return Ok(TenantDatabase::lend(opened, &self.0.room));
        }
        // Those who hold the old one finish on it; it closes behind the last of them.
        *pool = None;
        let opened = self.open(workspace, &tenant, until).await?;
        let database = TenantDatabase::lend(&opened, &self.0.room);
        *pool = Some(opened);
        Ok(database)
    }

    /// Opens the workspace's database in the background, so that it is awake when the first question comes; unless the limits say not to.
    pub fn warm(&self, workspace: &Workspace) {
        if !self.0.limits.wakes_ahead {
            return;
        }
        let (pools, workspace) = (self.clone(), workspace.clone());
        tokio::spawn(async move {
            if let Err(reason) = pools.get(&workspace).await {
                debug!(workspace.id = %workspace.id, %reason, "The database could not be woken up ahead");
            }
        });
    }

    /// Lets go of the workspace's pool, as when it is being removed. Queries that run finish.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.lock().remove(workspace);
    }

    /// To be told of an error that a query of the workspace failed with. If it says that the credentials are no good, the database is opened
    /// anew with what the Secret says now, and if that is no better, the controller is asked to look. Returns whether trying again may
    /// help.
    pub async fn failed(&self, workspace: &Workspace, error: &sqlx::Error) -> bool {
        match failure::of(error) {
            Some(Failure::Credentials) => {
                self.forget(&workspace.id);
                self.get(workspace).await.is_ok()
            }
            // A pool mends its connections by itself.
            Some(Failure::ForNow) => true,
            None => false,
        }
    }

    /// How many there are.
    pub fn counts(&self) -> PoolCounts {
        let slots: Vec<_> = self.lock().values().cloned().collect();
        let connections = slots
            .iter()
            .filter_map(|slot| slot.pool.try_lock().ok())
            .filter_map(|pool| pool.as_ref().map(|opened| opened.pool.size() as usize))
            .sum();
        PoolCounts {
            open: self.0.room.taken(),
            connections,
        }
    }

    /// Whether the pool may still be used: it belongs to this Tenant and to what its Secret says, and its connections can be opened.
    async fn is_good(&self, opened: &Opened, tenant: &TenantView) -> bool {
        if opened.tenant_uid != tenant.uid || opened.pool.is_closed() {
            return false;
        }
        let version = tenant
            .binding
            .as_deref()
            .and_then(|binding| self.0.tenants.secret_version(binding));
        if version.is_some_and(|version| !opened.is_of(&version)) {
            // Somebody wrote to the Secret. A label of theirs changes nothing for us.
            match self.read(tenant).await {
                Ok((target, version)) if target.fingerprint == opened.fingerprint => {
                    opened.now_of(version);
                }
                Ok(_) => return false,
                // The API server is away: what was good serves on.
                Err(_) => {}
            }
        }
        if opened.pool.num_idle() > 0 || opened.pool.size() > 0 {
            return true;
        }
        // All its connections were closed for being idle; the next one has to log in again.
        opened.pool.acquire().await.is_ok()
    }

    async fn open(
        &self,
        workspace: &Workspace,
        tenant: &TenantView,
        until: Instant,
    ) -> Result<Arc<Opened>, Unavailable> {
        let place = self.room(&workspace.id).await?;
        let (target, version) = self.read(tenant).await?;
        let started = Instant::now();
        let first = match self.connect(&target, until).await {
            Ok(pool) => Ok((pool, target, version)),
            Err(error) => match failure::of(&error) {
                Some(Failure::Credentials) => {
                    self.open_with_newer(tenant, &target, until, error).await
                }
                _ => Err(error),
            },
        };
        match first {
            Ok((pool, target, version)) => {
                info!(
                    workspace.id = %workspace.id,
                    "Database is open after {} ms", started.elapsed().as_millis()
                );
                Ok(Arc::new(Opened::new(
                    pool,
                    place,
                    tenant.uid.clone(),
                    target.fingerprint,
                    version,
                )))
            }
            Err(error) => {
                warn!(
                    workspace.id = %workspace.id,
                    error = &error as &dyn std::error::Error,
                    "Database cannot be opened"
                );
                Err(unreachable())
            }
        }
    }

    /// After a login that failed: the Secret may have been written in the meantime. If not, the controller has to look.
    async fn open_with_newer(
        &self,
        tenant: &TenantView,
        failed: &Target,
        until: Instant,
        error: sqlx::Error,
    ) -> Result<(PgPool, Target, Box<str>), sqlx::Error> {
        let again = self.read(tenant).await.ok();
        let newer = again.filter(|(target, _)| target.fingerprint != failed.fingerprint);
        let error = match newer {
            Some((target, version)) => match self.connect(&target, until).await {
                Ok(pool) => return Ok((pool, target, version)),
                Err(error) => error,
            },
            None => error,
        };
        if failure::of(&error) == Some(Failure::Credentials) {
            self.0.tenants.ask_for_reconcile(tenant).await;
        }
        Err(error)
    }

    /// What the Tenant's Secret says now, and in which version.
    async fn read(&self, tenant: &TenantView) -> Result<(Target, Box<str>), Unavailable> {
        let binding = tenant.binding.as_deref().ok_or_else(unreachable)?;
        let secret = match self.0.tenants.read_secret(binding).await {
            Ok(Some(secret)) => secret,
            // The controller writes it again.
            Ok(None) => return Err(unreachable()),
            Err(error) => {
                warn!(
                    tenant.name = %tenant.name,
                    error = &error as &dyn std::error::Error,
                    "The Secret with the credentials cannot be read"
                );
                return Err(unreachable());
            }
        };
        match Target::read(&secret) {
            Ok(target) => Ok((target, secret.version)),
            Err(error) => {
                warn!(tenant.name = %tenant.name, %error, "The Secret leads nowhere");
                Err(unreachable())
            }
        }
    }

    /// A pool whose first connection is open.
    async fn connect(&self, target: &Target, until: Instant) -> Result<PgPool, sqlx::Error> {
        let limits = &self.0.limits;
        let pool = PgPoolOptions::new()
            .min_connections(0)
            .max_connections(limits.connections_per_pool_max)
            .idle_timeout(limits.idle_timeout)
            .max_lifetime(CONNECTION_AGE_MAX)
            .acquire_timeout(limits.acquire_timeout.max(limits.connect_timeout))
            .connect_lazy_with(target.options());
        match timeout_at(until, pool.acquire()).await {
            Ok(Ok(_)) => Ok(pool),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Room for one more pool: free, or made by closing the one that has been idle longest, or waited for.
    async fn room(&self, except: &WorkspaceId) -> Result<Place, Unavailable> {
        let until = Instant::now() + self.0.limits.room_timeout;
        loop {
            // Registered before looking, so that what is freed in between is not missed.
            let freed = self.0.room.freed();
            if let Some(place) = self.0.room.take() {
                return Ok(place);
            }
            self.close_longest_idle(except);
            if timeout_at(until, freed).await.is_err() {
                return Err(Unavailable::Busy);
            }
        }
    }

    fn close_longest_idle(&self, except: &WorkspaceId) {
        let mut slots = self.lock();
        let longest = slots
            .iter()
            .filter(|(id, _)| *id != except)
            .filter_map(|(id, slot)| {
                let pool = slot.pool.try_lock().ok()?;
                let opened = pool.as_ref().filter(|opened| lease::is_idle(opened))?;
                Some((opened.last_used(), id.clone()))
            })
            .min();
        if let Some((_, id)) = longest {
            slots.remove(&id);
        }
    }

    fn close_idle(&self) {
        let idle_timeout = self.0.limits.idle_timeout;
        self.lock().retain(|_, slot| {
            if Arc::strong_count(slot) > 1 {
                return true;
            }
            let Ok(pool) = slot.pool.try_lock() else {
                return true;
            };
            pool.as_ref().is_some_and(|opened| {
                !lease::is_idle(opened) || opened.last_used().elapsed() < idle_timeout
            })
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<WorkspaceId, Arc<Slot>>> {
        // Nothing here can panic half way through a change.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
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
