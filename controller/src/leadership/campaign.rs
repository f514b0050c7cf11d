//! Decides when a standby may take the Lease. Pure: the inputs are what the standby read and when.

use std::time::Duration;

use super::clock::MonotonicInstant;
use super::store::LeaseRecord;
use crate::config::Lease as LeaseConfig;

/// What a standby has observed of the Lease.
#[derive(Debug)]
pub(super) struct Campaign {
    identity: String,
    /// How long to wait if the record gives no duration.
    default_duration: Duration,
    last_change: Option<LeaseChange>,
}

/// The last observed record, and when it was first observed in this version.
#[derive(Debug)]
struct LeaseChange {
    record: Option<LeaseRecord>,
    since: MonotonicInstant,
    /// How long the record must stay unchanged before another replica may take the Lease.
    must_be_unchanged_for: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CampaignDecision {
    /// Write this process into the Lease, replacing version `expected`; with `None`, create it.
    Acquire {
        expected: Option<String>,
        transitions: i32,
    },
    /// Read the Lease again, at `until` or earlier.
    Wait { until: MonotonicInstant },
}

impl Campaign {
    pub(super) fn new(config: &LeaseConfig) -> Self {
        Self {
            identity: config.identity.clone(),
            default_duration: config.duration,
            last_change: None,
        }
    }

    /// Records what was read. The caller must take `now` after it received the response.
    pub(super) fn observe(&mut self, record: Option<LeaseRecord>, now: MonotonicInstant) {
        let version = |record: &Option<LeaseRecord>| record.as_ref().map(|r| r.version.clone());
        if self
            .last_change
            .as_ref()
            .is_some_and(|change| version(&change.record) == version(&record))
        {
            return;
        }
        let must_be_unchanged_for = match (&record, &self.last_change) {
            (Some(record), _) => match &record.holder {
                None => Duration::ZERO,
                // An earlier process with this identity, which has ended.
                Some(holder) if *holder == self.identity => Duration::ZERO,
                Some(_) => record.duration.unwrap_or(self.default_duration),
            },
            (None, None) => Duration::ZERO,
            // The Lease was deleted; its holder may not have noticed yet.
            (None, Some(before)) => before.must_be_unchanged_for.max(self.default_duration),
        };
        self.last_change = Some(LeaseChange {
            record,
            since: now,
            must_be_unchanged_for,
        });
    }

    pub(super) fn decide(&self, now: MonotonicInstant) -> CampaignDecision {
        let Some(change) = &self.last_change else {
            return CampaignDecision::Wait { until: now };
        };
        let until = change.since.saturating_add(change.must_be_unchanged_for);
        if now < until {
            return CampaignDecision::Wait { until };
        }
        CampaignDecision::Acquire {
            expected: change.record.as_ref().map(|r| r.version.clone()),
            transitions: change
                .record
                .as_ref()
                .map_or(0, |r| r.transitions.wrapping_add(1)),
        }
    }

    /// The holder as of the last read.
    pub(super) fn holder(&self) -> Option<&str> {
        self.last_change
            .as_ref()?
            .record
            .as_ref()?
            .holder
            .as_deref()
    }
}
