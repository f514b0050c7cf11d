//! The time during which this process holds the Lease: renewing in the background, the guard that tells whether it still counts, and
//! giving it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clock::{Clock, Reading, limited};
use super::elector::{Elector, Troubles};
use super::store::{Draft, Record, Store, StoreError};

/// The time during which this process holds the Lease.
#[derive(Debug)]
pub(super) struct Tenure<S, C> {
    guard: Guard<C>,
    stop: CancellationToken,
    renewing: JoinHandle<(Elector<S, C>, Record)>,
}

impl<S: Store, C: Clock> Tenure<S, C> {
    pub(super) fn begin(elector: Elector<S, C>, record: Record, sent: Reading) -> Self {
        let guard = Guard {
            clock: elector.clock.clone(),
            until_us: Arc::new(AtomicU64::new(0)),
            lost: CancellationToken::new(),
        };
        guard.extend(sent + elector.terms.renew_deadline);
        let stop = CancellationToken::new();
        let renewing = tokio::spawn(renew(elector, record, guard.clone(), stop.clone()));
        Self {
            guard,
            stop,
            renewing,
        }
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.guard.lost.clone()
    }

    pub(super) fn guard(&self) -> Guard<C> {
        self.guard.clone()
    }

    pub(super) async fn release(mut self, within: Duration) -> bool {
        self.stop.cancel();
        let Ok((elector, record)) = (&mut self.renewing).await else {
            return false;
        };
        if self.guard.lost.is_cancelled() {
            return false;
        }
        // From here on nobody may act, whatever becomes of the write.
        self.guard.end();
        let draft = Draft {
            holder: None,
            ..elector.draft(record.transitions, false)
        };
        let giving_back = async {
            match elector
                .store
                .write(Some(&record.version), draft.clone())
                .await
            {
                Err(StoreError::Conflict) => {
                    // The last renewal was not answered, or somebody edited the object.
                    let ours = elector.reread(record.transitions, within).await?;
                    let record = ours.ok_or(StoreError::Conflict)?;
                    elector.store.write(Some(&record.version), draft).await
                }
                written => written,
            }
        };
        match limited(&elector.clock, within, giving_back).await {
            Ok(_) => {
                info!("The Lease is given back");
                true
            }
            Err(problem) => {
                warn!(error = %problem, "The Lease could not be given back; it expires by itself");
                false
            }
        }
    }
}

impl<S, C> Drop for Tenure<S, C> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.renewing.abort();
    }
}

/// Renews until told to stop, or until the Lease is lost.
async fn renew<S: Store, C: Clock>(
    elector: Elector<S, C>,
    mut record: Record,
    guard: Guard<C>,
    stop: CancellationToken,
) -> (Elector<S, C>, Record) {
    let (clock, terms) = (&elector.clock, &elector.terms);
    let mut troubles = Troubles::default();
    let mut pause = terms.retry_interval;
    loop {
        tokio::select! {
            () = stop.cancelled() => return (elector, record),
            () = clock.sleep(pause.min(guard.left())) => {}
        }
        pause = terms.retry_interval;
        let left = guard.left();
        if left.is_zero() {
            error!("The Lease was not renewed in time; another replica may take it soon");
            guard.lose();
            return (elector, record);
        }
        // An answer that does not come must leave room for another try.
        let within = (terms.renew_deadline / 2).min(left);
        let sent = clock.now();
        let draft = elector.draft(record.transitions, false);
        let write = elector.store.write(Some(&record.version), draft);
        let lost = match limited(clock, within, write).await {
            Ok(renewed) => {
                record = renewed;
                guard.extend(sent + terms.renew_deadline);
                troubles.over();
                None
            }
            // An edit by others, or a renewal of ours whose answer was lost.
            Err(StoreError::Conflict) => {
                match elector.reread(record.transitions, guard.left()).await {
                    Ok(Some(ours)) => {
                        record = ours;
                        pause = Duration::ZERO;
                        None
                    }
                    Ok(None) => Some("it is another's"),
                    Err(problem) => {
                        troubles.log("The Lease cannot be read", &problem, clock.now());
                        None
                    }
                }
            }
            Err(StoreError::Missing) => Some("it was deleted"),
            Err(problem) => {
                if matches!(problem, StoreError::TimedOut) {
                    pause = Duration::ZERO;
                }
                troubles.log("The Lease cannot be renewed", &problem, clock.now());
                None
            }
        };
        if let Some(why) = lost {
            error!("The Lease is lost: {why}");
            guard.lose();
            return (elector, record);
        }
    }
}

/// Whether the Lease is held, by the clock.
#[derive(Clone, Debug)]
pub(super) struct Guard<C> {
    clock: C,
    /// Reading up to which the Lease may be counted on, in microseconds.
    until_us: Arc<AtomicU64>,
    lost: CancellationToken,
}

impl<C: Clock> Guard<C> {
    pub(super) fn holds(&self) -> bool {
        !self.lost.is_cancelled() && !self.left().is_zero()
    }

    /// How much longer the Lease may be counted on without a renewal.
    fn left(&self) -> Duration {
        let until = Duration::from_micros(self.until_us.load(Ordering::Acquire));
        until.saturating_sub(self.clock.now())
    }

    fn extend(&self, until: Reading) {
        let until_us = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
        self.until_us.store(until_us, Ordering::Release);
    }

    fn end(&self) {
        self.until_us.store(0, Ordering::Release);
    }

    fn lose(&self) {
        self.end();
        self.lost.cancel();
    }
}
