//! A pool, and the use of one.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgPool;
use tokio::time::Instant;

use super::room::{Place, Room};

/// A pool that is open.
pub(super) struct Opened {
    pub(super) pool: PgPool,
    pub(super) tenant_uid: Box<str>,
    pub(super) fingerprint: [u8; 32],
    /// The Secret's version that is known to say this.
    secret_version: Mutex<Box<str>>,
    last_used: Mutex<Instant>,
    /// Held until the connections are closed.
    place: Mutex<Option<Place>>,
}

impl Opened {
    pub(super) fn new(
        pool: PgPool,
        place: Place,
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
            place: Mutex::new(Some(place)),
        }
    }

    pub(super) fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    pub(super) fn last_used(&self) -> Instant {
        *lock(&self.last_used)
    }

    pub(super) fn is_of(&self, version: &str) -> bool {
        **lock(&self.secret_version) == *version
    }

    pub(super) fn now_of(&self, version: Box<str>) {
        *lock(&self.secret_version) = version;
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let place = lock(&self.place).take();
        let pool = self.pool.clone();
        // Without a runtime the process is ending, and its connections with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                pool.close().await;
                drop(place);
            });
        }
    }
}

/// Whether nobody but its slot holds it.
pub(super) fn is_idle(opened: &Arc<Opened>) -> bool {
    Arc::strong_count(opened) == 1
}

/// A workspace's database in use. Its pool stays open while this is held; let go of it between two requests.
///
/// Connections go through the pooler in transaction mode: no settings of a session, no advisory locks but those of a transaction, no `LISTEN`.
#[derive(Clone)]
pub struct TenantDatabase {
    lent: Lent,
    room: Arc<Room>,
}

/// Dropped before whoever waits for room is told.
#[derive(Clone)]
struct Lent(Option<Arc<Opened>>, PgPool);

impl TenantDatabase {
    pub(super) fn lend(opened: &Arc<Opened>, room: &Arc<Room>) -> Self {
        Self {
            lent: Lent(Some(Arc::clone(opened)), opened.pool.clone()),
            room: Arc::clone(room),
        }
    }

    /// The pool, for queries.
    pub fn pool(&self) -> &PgPool {
        &self.lent.1
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
        if let Some(opened) = self.lent.0.take() {
            opened.touch();
        }
        self.room.tell();
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is changed half way under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
