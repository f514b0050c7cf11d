//! The calls that drift detection makes per hour: listings, and reads of individual computes with
//! the remaining calls. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::config;

const HOUR: Duration = Duration::from_hours(1);
/// Part of the calls that listings may use.
const LISTING_SHARE: (u32, u32) = (4, 5);
/// Calls that reading a Tenant's compute and database takes.
const CALLS_PER_INSPECTION: u32 = 2;
/// Unused calls do not add up to more than those of this time.
const MAX_CREDIT: Duration = Duration::from_hours(2);

/// The time between two listings of this many pages.
pub(super) fn listing_interval(pages: usize, settings: &config::Neon) -> Duration {
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    let (numerator, denominator) = LISTING_SHARE;
    let interval = HOUR.saturating_mul(pages).saturating_mul(denominator)
        / settings.drift_check_calls_per_hour.get()
        / numerator;
    settings.drift_check_interval.max(interval)
}

/// Unused part of the hourly budget of calls, expressed as a duration: the time in which the budget
/// allows that many calls.
#[derive(Debug, Default)]
pub(super) struct InspectionCredit {
    credit: Duration,
    last_listing: Option<Timestamp>,
}

impl InspectionCredit {
    /// Adds what the time since the last listing allows, without the calls of this listing. Takes as
    /// many inspections as fit, and returns their number.
    pub(super) fn take(&mut self, pages: usize, now: Timestamp, settings: &config::Neon) -> usize {
        let call = HOUR / settings.drift_check_calls_per_hour.get();
        let inspection = call * CALLS_PER_INSPECTION;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        // The first listing of the process only starts the clock.
        let elapsed = self
            .last_listing
            .replace(now)
            .and_then(|last| Duration::try_from(now.duration_since(last)).ok())
            .unwrap_or_default();
        let left = elapsed.saturating_sub(call.saturating_mul(pages));
        self.credit = (self.credit + left).min(MAX_CREDIT.max(inspection));
        let mut count = 0;
        while self.credit >= inspection {
            self.credit -= inspection;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::HostInfo;

    fn settings() -> config::Neon {
        let args = ["controller", "--namespace=n", "--lease-identity=i"].map(Into::into);
        let config = config::load(args, &BTreeMap::new(), &HostInfo::default());
        config.expect("valid settings").neon
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    /// Number of calls per hour for listings, and for inspections.
    fn calls_per_hour(pages: u32) -> (f64, f64) {
        const LISTINGS: u32 = 1_000;
        let settings = settings();
        let pages = usize::try_from(pages).unwrap();
        let interval = listing_interval(pages, &settings);
        let mut credit = InspectionCredit::default();
        assert_eq!(credit.take(pages, at(0), &settings), 0);
        let mut now = at(0);
        let inspections: usize = (0..LISTINGS)
            .map(|_| {
                now += interval;
                credit.take(pages, now, &settings)
            })
            .sum();
        let hours = (interval * LISTINGS).as_secs_f64() / HOUR.as_secs_f64();
        let per_hour = |calls: usize| f64::from(u32::try_from(calls).unwrap()) / hours;
        let listings = per_hour(pages * usize::try_from(LISTINGS).unwrap());
        let calls_per_inspection = f64::from(CALLS_PER_INSPECTION);
        (listings, per_hour(inspections) * calls_per_inspection)
    }

    #[test]
    fn listings_and_inspections_stay_within_the_budget() {
        let budget = f64::from(settings().drift_check_calls_per_hour.get());
        for pages in [1, 2, 5, 25, 250] {
            let (listings, inspections) = calls_per_hour(pages);
            let calls = listings + inspections;
            assert!(calls <= budget * 1.001, "{pages} pages: {calls}");
            assert!(calls >= budget * 0.98, "{pages} pages: {calls}");
            assert!(inspections >= budget / 5.0 * 0.98, "{inspections}");
        }
    }

    #[test]
    fn unused_calls_do_not_add_up() {
        let settings = settings();
        let mut credit = InspectionCredit::default();
        credit.take(1, at(0), &settings);
        let budget = settings.drift_check_calls_per_hour.get();
        let budget = usize::try_from(budget).unwrap();
        assert_eq!(credit.take(1, at(10_000), &settings), budget);
        assert_eq!(credit.take(1, at(10_000), &settings), 0);
    }
}
