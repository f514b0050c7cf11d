//! Limits the number of open pools. A pool keeps its slot until its last connection is closed, even
//! after it has been replaced.

use std::sync::Arc;

use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(super) struct PoolSlots {
    permits: Arc<Semaphore>,
    capacity: usize,
    freed: Arc<Notify>,
}

/// Permission to keep one pool open.
#[derive(Debug)]
pub(super) struct SlotPermit {
    // Dropped before the waiters are notified.
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl PoolSlots {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(capacity)),
            capacity,
            freed: Arc::default(),
        })
    }

    pub(super) fn try_acquire(&self) -> Option<SlotPermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(SlotPermit {
            permit: Some(permit),
            freed: Arc::clone(&self.freed),
        })
    }

    pub(super) fn in_use(&self) -> usize {
        self.capacity - self.permits.available_permits()
    }

    /// Tells waiters that a slot is free, or that an idle pool can be closed to free one.
    pub(super) fn notify_waiters(&self) {
        self.freed.notify_waiters();
    }

    /// Completes at the first notification after this call.
    pub(super) fn freed(&self) -> OwnedNotified {
        Arc::clone(&self.freed).notified_owned()
    }
}

impl Drop for SlotPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.freed.notify_waiters();
    }
}
