//! The held Lease: renewal in the background, a check of its validity by the clock, and its
//! release.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clock::{Clock, ClockReading};
use super::error_log::ErrorLogThrottle;
use super::lease_client::LeaseClient;
use super::store::{LeaseRecord, LeaseStore, LeaseUpdate, StoreError};

/// Attempts to renew the Lease within the renew deadline if none gets a response.
const ATTEMPTS_PER_DEADLINE: u32 = 3;

/// The Lease while this process holds it. Dropping it stops the renewal.
#[derive(Debug)]
pub(super) struct Leadership<S, C> {
    validity: LeaseValidity<C>,
    stop: CancellationToken,
    renewal: JoinHandle<(LeaseClient<S, C>, LeaseRecord)>,
}

impl<S: LeaseStore, C: Clock> Leadership<S, C> {
    /// `sent_at` is the reading before the write that acquired the Lease was sent.
    pub(super) fn start(
        client: LeaseClient<S, C>,
        record: LeaseRecord,
        sent_at: ClockReading,
    ) -> Self {
        let validity = LeaseValidity {
            clock: client.clock.clone(),
            renew_deadline: client.config.renew_deadline,
            renewed_at: Arc::new(Mutex::new(Some(sent_at))),
            lost: CancellationToken::new(),
        };
        let stop = CancellationToken::new();
        let renewal = tokio::spawn(renew(client, record, validity.clone(), stop.clone()));
        Self {
            validity,
            stop,
            renewal,
        }
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.validity.lost.clone()
    }

    pub(super) fn validity(&self) -> LeaseValidity<C> {
        self.validity.clone()
    }

    /// Returns whether the Lease was released within `timeout`.
    pub(super) async fn release(mut self, timeout: Duration) -> bool {
        self.stop.cancel();
        let Ok((client, record)) = (&mut self.renewal).await else {
            return false;
        };
        if self.validity.lost.is_cancelled() {
            return false;
        }
        // Leadership ends here, whether or not the write succeeds.
        self.validity.expire();
        let update = LeaseUpdate {
            holder: None,
            ..client.update(record.transitions, false)
        };
        let write = async {
            match client
                .store
                .write(Some(&record.version), update.clone())
                .await
            {
                Err(StoreError::Conflict) => {
                    // The response to the last renewal was lost, or another client edited the
                    // object.
                    let own = client.read_own(record.transitions, timeout).await?;
                    let record = own.ok_or(StoreError::Conflict)?;
                    client.store.write(Some(&record.version), update).await
                }
                written => written,
            }
        };
        match client.with_timeout(timeout, write).await {
            Ok(_) => {
                info!("released the lease");
                true
            }
            Err(error) => {
                warn!(error = %error, "failed to release the lease; it will expire");
                false
            }
        }
    }
}

impl<S, C> Drop for Leadership<S, C> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.renewal.abort();
    }
}

/// Renews the Lease until `stop` is cancelled or the Lease is lost.
async fn renew<S: LeaseStore, C: Clock>(
    client: LeaseClient<S, C>,
    mut record: LeaseRecord,
    validity: LeaseValidity<C>,
    stop: CancellationToken,
) -> (LeaseClient<S, C>, LeaseRecord) {
    let (clock, config) = (&client.clock, &client.config);
    let mut errors = ErrorLogThrottle::default();
    let mut pause = config.retry_interval;
    loop {
        tokio::select! {
            () = stop.cancelled() => return (client, record),
            () = clock.sleep(pause.min(validity.remaining())) => {}
        }
        pause = config.retry_interval;
        let remaining = validity.remaining();
        if remaining.is_zero() {
            error!(reason = "not renewed in time", "lost the lease");
            validity.revoke();
            return (client, record);
        }
        // A request without a response must leave time for further attempts.
        let timeout = (config.renew_deadline / ATTEMPTS_PER_DEADLINE).min(remaining);
        let sent_at = ClockReading::now(clock);
        let update = client.update(record.transitions, false);
        let write = client.store.write(Some(&record.version), update);
        let lost_because = match client.with_timeout(timeout, write).await {
            Ok(renewed) => {
                record = renewed;
                validity.renew(sent_at);
                errors.reset();
                None
            }
            // Another client edited the object, or the response to an earlier renewal was lost.
            Err(StoreError::Conflict) => {
                match client
                    .read_own(record.transitions, validity.remaining())
                    .await
                {
                    Ok(Some(own)) => {
                        record = own;
                        pause = Duration::ZERO;
                        None
                    }
                    Ok(None) => Some("taken by another replica"),
                    Err(error) => {
                        errors.log("failed to read the lease", &error, clock.now());
                        None
                    }
                }
            }
            Err(StoreError::Missing) => Some("deleted"),
            Err(error) => {
                if matches!(error, StoreError::TimedOut) {
                    pause = Duration::ZERO;
                }
                errors.log("failed to renew the lease", &error, clock.now());
                None
            }
        };
        if let Some(reason) = lost_because {
            error!(reason, "lost the lease");
            validity.revoke();
            return (client, record);
        }
    }
}

/// Whether the Lease is still valid, by the clocks of this machine. Clones share the state.
#[derive(Clone, Debug)]
pub(super) struct LeaseValidity<C> {
    clock: C,
    renew_deadline: Duration,
    /// When the last successful renewal was sent; `None` once leadership has ended.
    renewed_at: Arc<Mutex<Option<ClockReading>>>,
    lost: CancellationToken,
}

impl<C: Clock> LeaseValidity<C> {
    pub(super) fn is_valid(&self) -> bool {
        !self.lost.is_cancelled() && !self.remaining().is_zero()
    }

    /// How much longer the Lease is valid without another renewal.
    fn remaining(&self) -> Duration {
        let renewed_at = *self.renewed_at.lock();
        let now = ClockReading::now(&self.clock);
        renewed_at.map_or(Duration::ZERO, |sent_at| {
            sent_at.left_of(self.renew_deadline, now)
        })
    }

    fn renew(&self, sent_at: ClockReading) {
        *self.renewed_at.lock() = Some(sent_at);
    }

    /// Ends the validity without reporting the Lease as lost.
    fn expire(&self) {
        *self.renewed_at.lock() = None;
    }

    /// Ends the validity and reports the Lease as lost.
    fn revoke(&self) {
        self.expire();
        self.lost.cancel();
    }
}
