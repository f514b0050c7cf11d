//! Leader election through a `Lease` of `coordination.k8s.io`: only the replica that holds the
//! Lease acts.
//!
//! The leader renews the Lease. Another replica may take it once it has been unchanged for its
//! whole duration. Three rules ensure that at most one replica acts as leader, even if the clocks
//! of the machines differ:
//!
//! - Replicas never compare wall clocks. A standby measures with its own monotonic clock how long
//!   the Lease has been unchanged, starting when the standby observed the last change.
//! - The leader counts from *before* it sent its last successful renewal and stops acting after the
//!   renew deadline, which is shorter than the duration that standbys wait. It stops as soon as its
//!   monotonic or its wall clock shows that: while the machine is suspended, the monotonic clock may
//!   stand still.
//! - Every write names the resource version that it replaces. If two replicas write at the same
//!   time, the API server rejects one of them.
//!
//! Two cases remain: a clock that runs a third slower than another replica's, and a request that
//! was sent before the Lease was lost. Effects are therefore also guarded by resource versions.

mod campaign;
mod clock;
mod error_log;
mod leader_elector;
mod lease_client;
mod other_installation;
mod renewal;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::health::Health;
use clock::{Clock as _, SystemClock};
use error_log::ErrorLogThrottle;
use leader_elector::LeaderElector;
use other_installation::{KubeOtherLeases, find_running};
use renewal::Leadership;
use store::KubeLeaseStore;

pub use other_installation::OtherInstallation;

/// If the release does not succeed within this time, the Lease is left to expire.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A candidacy for the Lease.
#[derive(Debug)]
pub struct LeaderElection {
    elector: LeaderElector<KubeLeaseStore, SystemClock>,
    others: KubeOtherLeases,
    clock: SystemClock,
    controller_name: String,
    retry_interval: Duration,
}

impl LeaderElection {
    pub fn new(client: Client, kube: &config::Kube, lease: &config::Lease) -> Self {
        let (namespace, controller_name) = (&kube.namespace, &kube.controller_name);
        let store = KubeLeaseStore::new(client.clone(), namespace, &lease.name, controller_name);
        let clock = SystemClock::new();
        Self {
            elector: LeaderElector::new(store, clock, lease.clone()),
            others: KubeOtherLeases::new(client, namespace, controller_name),
            clock,
            controller_name: controller_name.clone(),
            retry_interval: lease.retry_interval,
        }
    }

    /// Waits without a limit until this process holds the Lease; logs errors and retries. Returns
    /// `None` if `stop` is cancelled first. Sets the role in `health` to standby once the API
    /// server has answered. Fails if another installation of the same name is running.
    pub async fn acquire(
        self,
        health: &Health,
        stop: &CancellationToken,
    ) -> Result<Option<LeaseGuard>, OtherInstallation> {
        let Self {
            elector,
            others,
            clock,
            controller_name,
            retry_interval,
        } = self;
        let alone = || confirm_alone(&others, clock, &controller_name, retry_interval, stop);
        if !alone().await? {
            return Ok(None);
        }
        let Some(leadership) = elector.acquire(health, stop).await else {
            return Ok(None);
        };
        let held = LeaseGuard { leadership };
        // Another installation that started at the same time found this Lease without a holder.
        let alone = alone().await;
        if !matches!(alone, Ok(true)) {
            held.release().await;
            return alone.map(|_| None);
        }
        Ok(Some(held))
    }
}

/// Fails if another installation of the same name is running. Retries as long as the API server does
/// not answer. Returns `false` if `stop` is cancelled first.
async fn confirm_alone(
    others: &KubeOtherLeases,
    clock: SystemClock,
    controller_name: &str,
    retry_interval: Duration,
    stop: &CancellationToken,
) -> Result<bool, OtherInstallation> {
    let mut errors = ErrorLogThrottle::default();
    let confirm = async {
        loop {
            match find_running(others, &clock, controller_name).await {
                Ok(other) => return other,
                Err(error) => errors.log(
                    "failed to read the leases of other installations",
                    &error,
                    clock.now(),
                ),
            }
            clock.sleep(retry_interval).await;
        }
    };
    match stop.run_until_cancelled(confirm).await {
        Some(Some(other)) => Err(other),
        Some(None) => Ok(true),
        None => Ok(false),
    }
}

/// The held Lease, renewed by a background task. Dropping the guard stops the renewal, so that the
/// Lease expires; [`LeaseGuard::release`] lets another replica take over without waiting for that.
#[derive(Debug)]
pub struct LeaseGuard {
    leadership: Leadership<KubeLeaseStore, SystemClock>,
}

impl LeaseGuard {
    /// A token that is cancelled when this process is no longer the leader, at least
    /// `duration - renew_deadline` before another replica may take the Lease.
    /// [`LeaseGuard::release`] never cancels it.
    pub fn lost(&self) -> CancellationToken {
        self.leadership.lost()
    }

    /// A handle for checking leadership immediately before an effect.
    pub fn leader_guard(&self) -> LeaderGuard {
        let validity = self.leadership.validity();
        LeaderGuard::new(move || validity.is_valid())
    }

    /// Releases the Lease, so that another replica can take over immediately. The caller must have
    /// stopped all effects. Returns whether the Lease was released; if not, it expires.
    pub async fn release(self) -> bool {
        self.leadership.release(RELEASE_TIMEOUT).await
    }
}

/// Checks whether this process is the leader. The check reads both clocks and does not depend on when
/// the renewal task runs, so that a process that was frozen, or whose machine was
/// suspended, gets the right answer when it resumes.
#[derive(Clone)]
pub struct LeaderGuard(Arc<dyn Fn() -> bool + Send + Sync>);

impl LeaderGuard {
    /// A guard whose answer is the result of `is_leader`.
    pub fn new(is_leader: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_leader))
    }

    /// Whether this process may act now.
    pub fn is_leader(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for LeaderGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaderGuard")
            .field(&self.is_leader())
            .finish()
    }
}
