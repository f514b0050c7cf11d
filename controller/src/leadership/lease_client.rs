//! Reads and writes of one replica, with a timeout on each.

use std::future::Future;
use std::time::Duration;

use super::clock::Clock;
use super::store::{LeaseRecord, LeaseStore, LeaseUpdate, StoreError};
use crate::config::Lease as LeaseConfig;

/// One replica's access to the Lease. Election and renewal both use it.
#[derive(Clone, Debug)]
pub(super) struct LeaseClient<S, C> {
    pub(super) store: S,
    pub(super) clock: C,
    pub(super) config: LeaseConfig,
}

impl<S: LeaseStore, C: Clock> LeaseClient<S, C> {
    /// The update that makes or keeps this process the holder. `acquires` is true for the write
    /// that takes the Lease, false for renewals.
    pub(super) fn update(&self, transitions: i32, acquires: bool) -> LeaseUpdate {
        LeaseUpdate {
            holder: Some(self.config.identity.clone()),
            duration: self.config.duration,
            transitions,
            acquires,
        }
    }

    /// Reads the record. Returns `None` if this process no longer holds the Lease, or acquired it
    /// again since the acquisition with this number.
    pub(super) async fn read_own(
        &self,
        transitions: i32,
        timeout: Duration,
    ) -> Result<Option<LeaseRecord>, StoreError> {
        let record = self.with_timeout(timeout, self.store.read()).await?;
        Ok(record.filter(|r| {
            r.holder.as_ref() == Some(&self.config.identity) && r.transitions == transitions
        }))
    }

    /// Fails with [`StoreError::TimedOut`] once the clock has advanced by `timeout`.
    pub(super) async fn with_timeout<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            result = call => result,
            () = self.clock.sleep(timeout) => Err(StoreError::TimedOut),
        }
    }
}
