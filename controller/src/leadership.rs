//! The Lease: of all replicas, only the one that holds it acts.
//!
//! It is an object of `coordination.k8s.io` that the holder renews, and that others may take once it has not changed for as long as
//! it says. Three rules make two holders at once impossible, whatever the machines' clocks show:
//!
//! - nobody compares clocks: how long a Lease stood still is measured by the candidate's own monotonic clock, from when *it* saw the
//!   last change;
//! - the holder counts from *before* it sent its last successful renewal, and stops acting after the renew deadline, which is shorter
//!   than the duration that the others wait;
//! - every write names the version that was read; of two that take it at once, the API server refuses one.
//!
//! What remains is a clock that runs a third slower than another's, and a request that left before the Lease was lost: effects are
//! therefore guarded by versions of their own as well.

mod candidate;
mod clock;
mod elector;
mod store;
mod tenure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::health::Health;
use clock::MachineClock;
use elector::Elector;
use store::KubeStore;
use tenure::Tenure;

/// Limit on giving the Lease back when the process stops. It expires by itself if that fails.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The Lease, as yet somebody else's.
#[derive(Debug)]
pub struct Lease {
    elector: Elector<KubeStore, MachineClock>,
}

impl Lease {
    /// The Lease of that name in `namespace`.
    pub fn new(client: Client, namespace: &str, terms: &config::Lease) -> Self {
        let store = KubeStore::new(client, namespace, &terms.name);
        Self {
            elector: Elector::new(store, MachineClock::new(), terms.clone()),
        }
    }

    /// Waits until this process holds the Lease, however long that takes; failures are logged and tried again. `None` when `stop`
    /// was cancelled first. Tells `health` once the API answers.
    pub async fn acquire(self, health: &Health, stop: &CancellationToken) -> Option<Held> {
        let tenure = self.elector.acquire(health, stop).await?;
        Some(Held { tenure })
    }
}

/// The Lease, held and renewed in the background. Dropped, it is no longer renewed and expires; [`Held::release`] is kinder.
#[derive(Debug)]
pub struct Held {
    tenure: Tenure<KubeStore, MachineClock>,
}

impl Held {
    /// Cancelled when the Lease can no longer be counted on, at least `duration - renew_deadline` before others may take it. Never
    /// cancelled by [`Held::release`].
    pub fn lost(&self) -> CancellationToken {
        self.tenure.lost()
    }

    /// For a look right before an effect.
    pub fn guard(&self) -> Guard {
        Guard(self.tenure.guard())
    }

    /// Gives the Lease back, so that another replica need not wait. Only to be called when nothing acts any more. Whether it was
    /// given back; if not, it expires by itself.
    pub async fn release(self) -> bool {
        self.tenure.release(RELEASE_TIMEOUT).await
    }
}

/// Tells whether the Lease is held at this moment, by the clock and not by whether a task was scheduled in time: a process that was
/// stopped for a while and goes on sees it at once.
#[derive(Clone, Debug)]
pub struct Guard(tenure::Guard<MachineClock>);

impl Guard {
    /// Whether this process may act now.
    pub fn holds(&self) -> bool {
        self.0.holds()
    }
}
