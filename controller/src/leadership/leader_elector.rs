//! Takes part in the election until this replica holds the Lease.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::campaign::{Campaign, CampaignDecision};
use super::clock::{Clock, ClockReading};
use super::error_log::ErrorLogThrottle;
use super::lease_client::LeaseClient;
use super::renewal::Leadership;
use super::store::{LeaseStore, StoreError};
use crate::config::Lease as LeaseConfig;
use crate::health::{Health, Role};

#[derive(Debug)]
pub(super) struct LeaderElector<S, C> {
    client: LeaseClient<S, C>,
}

impl<S: LeaseStore, C: Clock> LeaderElector<S, C> {
    pub(super) fn new(store: S, clock: C, config: LeaseConfig) -> Self {
        Self {
            client: LeaseClient {
                store,
                clock,
                config,
            },
        }
    }

    /// Waits for the Lease. Returns `None` if `stop` is cancelled first.
    pub(super) async fn acquire(
        self,
        health: &Health,
        stop: &CancellationToken,
    ) -> Option<Leadership<S, C>> {
        let LeaseClient {
            store,
            clock,
            config,
        } = &self.client;
        let mut campaign = Campaign::new(config);
        let mut read_errors = ErrorLogThrottle::default();
        let mut write_errors = ErrorLogThrottle::default();
        let mut known_holder: Option<String> = None;
        loop {
            let read = self
                .client
                .with_timeout(config.renew_deadline, store.read());
            let read = tokio::select! {
                () = stop.cancelled() => return None,
                read = read => read,
            };
            match read {
                Ok(record) => {
                    read_errors.reset();
                    health.set_role(Role::Standby);
                    campaign.observe(record, clock.now());
                }
                Err(error) => read_errors.log("failed to read the lease", &error, clock.now()),
            }
            let now = clock.now();
            let pause = match campaign.decide(now) {
                // The write is awaited even if `stop` is cancelled meanwhile: once it is sent, this
                // process has to know whether it holds the Lease.
                CampaignDecision::Acquire {
                    expected,
                    transitions,
                } => match self.try_acquire(expected.as_deref(), transitions).await {
                    Ok(leadership) => return Some(leadership),
                    Err(StoreError::Conflict) => {
                        debug!("another replica changed the lease first");
                        config.retry_interval
                    }
                    Err(error) => {
                        write_errors.log("failed to acquire the lease", &error, clock.now());
                        config.retry_interval
                    }
                },
                CampaignDecision::Wait { until } => {
                    write_errors.reset();
                    if known_holder.as_deref() != campaign.holder() {
                        known_holder = campaign.holder().map(str::to_owned);
                        info!(lease.holder = known_holder.as_deref(), "standing by");
                    }
                    config.retry_interval.min(until.saturating_sub(now))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = clock.sleep(pause.max(Duration::from_millis(1))) => {}
            }
        }
    }

    async fn try_acquire(
        &self,
        expected: Option<&str>,
        transitions: i32,
    ) -> Result<Leadership<S, C>, StoreError> {
        let LeaseClient {
            store,
            clock,
            config,
        } = &self.client;
        let update = self.client.update(transitions, true);
        let sent_at = ClockReading::now(clock);
        let record = self
            .client
            .with_timeout(config.renew_deadline, store.write(expected, update))
            .await?;
        info!(
            lease.name = config.name,
            lease.holder = config.identity,
            "acquired the lease"
        );
        Ok(Leadership::start(self.client.clone(), record, sent_at))
    }
}
