//! Taking, renewing and giving back. [`Candidate`] is the decision, pure; [`Elector`] and [`Tenure`] carry it out against a [`Store`]
//! and a [`Clock`], which in tests are simulated.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::store::{Draft, Record, Store, StoreError};
use crate::config::Lease as Terms;
use crate::health::{Health, Role};

/// How often a failure that goes on is logged again.
const REPEAT_LOG: Duration = Duration::from_secs(30);

/// A reading of a monotonic clock: the time since some moment of this process's own. Readings of two processes mean nothing to
/// each other.
pub(super) type Reading = Duration;

/// A monotonic clock.
pub(super) trait Clock: Clone + Send + Sync + 'static {
    /// What it shows.
    fn now(&self) -> Reading;
    /// Waits until it shows that much more.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineClock {
    started: Instant,
}

impl MachineClock {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Reading {
        self.started.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What a candidate has seen of the Lease.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    /// The wait where the record does not say one.
    duration: Duration,
    seen: Option<Seen>,
}

/// The last record that was seen, and since when it has been so.
#[derive(Debug)]
struct Seen {
    record: Option<Record>,
    since: Reading,
    /// How long it has to stand still until it may be taken.
    still_for: Duration,
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write itself in, in place of this version, or anew.
    Take {
        expected: Option<String>,
        transitions: i32,
    },
    /// Look again, at the latest at this reading.
    Wait { until: Reading },
}

impl Candidate {
    pub(super) fn new(terms: &Terms) -> Self {
        Self {
            identity: terms.identity.clone(),
            duration: terms.duration,
            seen: None,
        }
    }

    /// Takes note of what was read. `now` must have been read after the answer came.
    pub(super) fn observe(&mut self, record: Option<Record>, now: Reading) {
        let version = |record: &Option<Record>| record.as_ref().map(|r| r.version.clone());
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| version(&seen.record) == version(&record))
        {
            return;
        }
        let still_for = match (&record, &self.seen) {
            (Some(record), _) => match &record.holder {
                None => Duration::ZERO,
                // An earlier process of this identity, which has ended.
                Some(holder) if *holder == self.identity => Duration::ZERO,
                Some(_) => record.duration.unwrap_or(self.duration),
            },
            (None, None) => Duration::ZERO,
            // Somebody deleted it under a holder who may not know yet.
            (None, Some(before)) => before.still_for.max(self.duration),
        };
        self.seen = Some(Seen {
            record,
            since: now,
            still_for,
        });
    }

    /// What to do at `now`.
    pub(super) fn decide(&self, now: Reading) -> Decision {
        let Some(seen) = &self.seen else {
            return Decision::Wait { until: now };
        };
        let until = seen.since.saturating_add(seen.still_for);
        if now < until {
            return Decision::Wait { until };
        }
        Decision::Take {
            expected: seen.record.as_ref().map(|r| r.version.clone()),
            transitions: seen
                .record
                .as_ref()
                .map_or(0, |r| r.transitions.wrapping_add(1)),
        }
    }

    /// Who holds the Lease, as far as this candidate knows.
    fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.record.as_ref()?.holder.as_deref()
    }
}

/// One replica's try at the Lease.
#[derive(Debug)]
pub(super) struct Elector<S, C> {
    store: S,
    clock: C,
    terms: Terms,
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
        let mut troubles = Troubles::default();
        let mut known_holder: Option<String> = None;
        loop {
            let read = limited(&self.clock, self.terms.renew_deadline, self.store.read());
            let read = tokio::select! {
                () = stop.cancelled() => return None,
                read = read => read,
            };
            match read {
                Ok(record) => {
                    troubles.over();
                    health.set_role(Role::Standby);
                    candidate.observe(record, self.clock.now());
                }
                Err(problem) => {
                    troubles.log("The Lease cannot be read", &problem, self.clock.now());
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
                        troubles.log("The Lease cannot be taken", &problem, self.clock.now());
                        self.terms.retry_interval
                    }
                },
                Decision::Wait { until } => {
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

    fn draft(&self, transitions: i32, begins: bool) -> Draft {
        Draft {
            holder: Some(self.terms.identity.clone()),
            duration: self.terms.duration,
            transitions,
            begins,
        }
    }

    /// The record, if it still speaks of the tenure with this number.
    async fn reread(
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

/// The time during which this process holds the Lease.
#[derive(Debug)]
pub(super) struct Tenure<S, C> {
    guard: Guard<C>,
    stop: CancellationToken,
    renewing: JoinHandle<(Elector<S, C>, Record)>,
}

impl<S: Store, C: Clock> Tenure<S, C> {
    fn begin(elector: Elector<S, C>, record: Record, sent: Reading) -> Self {
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

/// Ends `call` when the clock has gone on by `within`.
async fn limited<T>(
    clock: &impl Clock,
    within: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        result = call => result,
        () = clock.sleep(within) => Err(StoreError::TimedOut),
    }
}

/// Failures that go on: said at once, and then now and again.
#[derive(Debug, Default)]
struct Troubles {
    logged: Option<Reading>,
}

impl Troubles {
    fn log(&mut self, what: &str, problem: &StoreError, now: Reading) {
        if self
            .logged
            .is_none_or(|last| now.saturating_sub(last) >= REPEAT_LOG)
        {
            self.logged = Some(now);
            error!(error = %problem, "{what}; trying again");
        }
    }

    fn over(&mut self) {
        if self.logged.take().is_some() {
            info!("The Kubernetes API answers again");
        }
    }
}
