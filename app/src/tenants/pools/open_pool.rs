//! An open pool, and the handle through which callers use it.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::postgres::PgPool;
use tokio::time::Instant;

use super::slots::{PoolSlots, SlotPermit};

pub(super) struct OpenPool {
    pub(super) pool: PgPool,
    pub(super) tenant_uid: Box<str>,
    pub(super) fingerprint: [u8; 32],
    /// The newest version of the Secret known to have this fingerprint.
    secret_version: Mutex<Box<str>>,
    last_used: Mutex<Instant>,
    /// Released once all connections are closed.
    permit: Mutex<Option<SlotPermit>>,
}

impl OpenPool {
    pub(super) fn new(
        pool: PgPool,
        permit: SlotPermit,
        tenant_uid: Box<str>,
        fingerprint: [u8; 32],
        secret_version: Box<str>,
    ) -> Self {
        Self {
            pool,
            tenant_uid,
            fingerprint,
            secret_version: Mutex::new(secret_version),
            last_used: Mutex::new(Instant::now()),
            permit: Mutex::new(Some(permit)),
        }
    }

    pub(super) fn touch(&self) {
        *self.last_used.lock() = Instant::now();
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock()
    }

    pub(super) fn matches_secret_version(&self, version: &str) -> bool {
        **self.secret_version.lock() == *version
    }

    pub(super) fn set_secret_version(&self, version: Box<str>) {
        *self.secret_version.lock() = version;
    }
}

impl Drop for OpenPool {
    fn drop(&mut self) {
        let permit = self.permit.lock().take();
        let pool = self.pool.clone();
        // Without a runtime the process is exiting, which closes the connections.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                pool.close().await;
                drop(permit);
            });
        }
    }
}

/// Whether only the pool map holds the pool.
pub(super) fn is_idle(open_pool: &Arc<OpenPool>) -> bool {
    Arc::strong_count(open_pool) == 1
}

/// A workspace's open database. The pool stays open while this handle exists, so drop it between
/// requests.
///
/// Connections go through the pooler in transaction mode. Do not use session settings,
/// session-level advisory locks or `LISTEN`.
#[derive(Clone)]
pub struct TenantDatabase {
    handle: PoolHandle,
    slots: Arc<PoolSlots>,
}

/// Has to be dropped before the waiters for a slot are notified.
#[derive(Clone)]
struct PoolHandle(Option<Arc<OpenPool>>, PgPool);

impl TenantDatabase {
    pub(super) fn checkout(open_pool: &Arc<OpenPool>, slots: &Arc<PoolSlots>) -> Self {
        Self {
            handle: PoolHandle(Some(Arc::clone(open_pool)), open_pool.pool.clone()),
            slots: Arc::clone(slots),
        }
    }

    pub fn pool(&self) -> &PgPool {
        &self.handle.1
    }
}

impl Deref for TenantDatabase {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        self.pool()
    }
}

impl Drop for TenantDatabase {
    fn drop(&mut self) {
        if let Some(open_pool) = self.handle.0.take() {
            open_pool.touch();
        }
        self.slots.notify_waiters();
    }
}

impl std::fmt::Debug for TenantDatabase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TenantDatabase")
            .field("connections", &self.pool().size())
            .finish_non_exhaustive()
    }
}
