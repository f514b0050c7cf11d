//! How many pools there may be. A pool holds its place until its last connection is closed, also when it has been replaced.

use std::sync::Arc;

use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Room for a number of pools.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    size: usize,
    freed: Arc<Notify>,
}

/// One of the places.
#[derive(Debug)]
pub(super) struct Place {
    // Dropped before whoever waits is woken.
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Room {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(size)),
            size,
            freed: Arc::default(),
        })
    }

    pub(super) fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            permit: Some(permit),
            freed: Arc::clone(&self.freed),
        })
    }

    pub(super) fn taken(&self) -> usize {
        self.size - self.places.available_permits()
    }

    /// Something has become free, or could be made so.
    pub(super) fn tell(&self) {
        self.freed.notify_waiters();
    }

    /// Ends when something has become free, or could be made so, after this call.
    pub(super) fn freed(&self) -> OwnedNotified {
        Arc::clone(&self.freed).notified_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.freed.notify_waiters();
    }
}
