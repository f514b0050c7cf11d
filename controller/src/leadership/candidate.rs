//! The decision of a replica that does not hold the Lease: pure, from what it read and when.

use std::time::Duration;

use super::clock::Reading;
use super::store::Record;
use crate::config::Lease as Terms;

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
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.record.as_ref()?.holder.as_deref()
    }
}
