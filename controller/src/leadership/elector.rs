//! One replica's try at the Lease: reads, decides, takes, and tries again whatever happens.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::candidate::{Candidate, Decision};
use super::clock::{Clock, Reading, limited};
use super::store::{Draft, Record, Store, StoreError};
use super::tenure::Tenure;
use crate::config::Lease as Terms;
use crate::health::{Health, Role};

/// How often a failure that goes on is logged again.
const REPEAT_LOG: Duration = Duration::from_secs(30);

/// One replica's try at the Lease.
#[derive(Debug)]
pub(super) struct Elector<S, C> {
    pub(super) store: S,
    pub(super) clock: C,
    pub(super) terms: Terms,
}

impl<S: Store, C: Clock> Elector<S, C> {
    pub(super) fn new(store: S, clock: C, terms: Terms) -> Self {
        Self {
            store,
            clock,
            terms,
        }
    }

    /// Waits for the Lease; `None` when `stop` came first.
    pub(super) async fn acquire(
        self,
        health: &Health,
        stop: &CancellationToken,
    ) -> Option<Tenure<S, C>> {
        let mut candidate = Candidate::new(&self.terms);
        let (mut reading, mut taking) = (Troubles::default(), Troubles::default());
        let mut known_holder: Option<String> = None;
        loop {
            let read = limited(&self.clock, self.terms.renew_deadline, self.store.read());
            let read = tokio::select! {
                () = stop.cancelled() => return None,
                read = read => read,
            };
            match read {
                Ok(record) => {
                    reading.over();
                    health.set_role(Role::Standby);
                    candidate.observe(record, self.clock.now());
                }
                Err(problem) => {
                    reading.log("The Lease cannot be read", &problem, self.clock.now());
                }
            }
            let now = self.clock.now();
            let pause = match candidate.decide(now) {
                Decision::Take {
                    expected,
                    transitions,
                } => match self.take(expected.as_deref(), transitions).await {
                    // A write that was sent is waited for even when asked to stop: it has to be known whether the Lease is ours.
                    Ok(tenure) => return Some(tenure),
                    Err(StoreError::Conflict) => {
                        debug!("Another replica was faster");
                        self.terms.retry_interval
                    }
                    Err(problem) => {
                        taking.log("The Lease cannot be taken", &problem, self.clock.now());
                        self.terms.retry_interval
                    }
                },
                Decision::Wait { until } => {
                    taking.over();
                    if known_holder.as_deref() != candidate.holder() {
                        known_holder = candidate.holder().map(str::to_owned);
                        let holder = known_holder.as_deref().unwrap_or("nobody");
                        info!(
                            lease.holder = holder,
                            "Standing by: {holder} holds the Lease"
                        );
                    }
                    self.terms.retry_interval.min(until.saturating_sub(now))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = self.clock.sleep(pause.max(Duration::from_millis(1))) => {}
            }
        }
    }

    async fn take(
        &self,
        expected: Option<&str>,
        transitions: i32,
    ) -> Result<Tenure<S, C>, StoreError> {
        let draft = self.draft(transitions, true);
        let sent = self.clock.now();
        let record = limited(
            &self.clock,
            self.terms.renew_deadline,
            self.store.write(expected, draft),
        )
        .await?;
        info!(
            lease.name = self.terms.name,
            lease.holder = self.terms.identity,
            "This process holds the Lease"
        );
        Ok(Tenure::begin(
            Self {
                store: self.store.clone(),
                clock: self.clock.clone(),
                terms: self.terms.clone(),
            },
            record,
            sent,
        ))
    }

    pub(super) fn draft(&self, transitions: i32, begins: bool) -> Draft {
        Draft {
            holder: Some(self.terms.identity.clone()),
            duration: self.terms.duration,
            transitions,
            begins,
        }
    }

    /// The record, if it still speaks of the tenure with this number.
    pub(super) async fn reread(
        &self,
        transitions: i32,
        within: Duration,
    ) -> Result<Option<Record>, StoreError> {
        let record = limited(&self.clock, within, self.store.read()).await?;
        Ok(record.filter(|r| {
            r.holder.as_ref() == Some(&self.terms.identity) && r.transitions == transitions
        }))
    }
}

/// Failures that go on: said at once, and then now and again.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    logged: Option<Reading>,
}

impl Troubles {
    pub(super) fn log(&mut self, what: &str, problem: &StoreError, now: Reading) {
        if self
            .logged
            .is_none_or(|last| now.saturating_sub(last) >= REPEAT_LOG)
        {
            self.logged = Some(now);
            error!(error = %problem, "{what}; trying again");
        }
    }

    pub(super) fn over(&mut self) {
        if self.logged.take().is_some() {
            info!("The Kubernetes API answers again");
        }
    }
}
