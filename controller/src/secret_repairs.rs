//! Slows down the repair of a connection Secret that another client keeps changing, so that the two do
//! not rewrite it in a loop.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::identity::TenantUid;

/// Number of repairs without a delay. A client that keeps changing the Secret causes more.
const IMMEDIATE_REPAIRS: u32 = 3;
/// Wait before the first delayed repair. It doubles with each further one.
const FIRST_DELAY: SignedDuration = SignedDuration::from_secs(5);
const MAX_DELAY: SignedDuration = SignedDuration::from_mins(5);
/// After this time without a repair, the next one is immediate again. It is longer than
/// [`MAX_DELAY`], so that the delays do not start over while the conflict continues.
const QUIET_PERIOD: SignedDuration = SignedDuration::from_mins(15);
/// Tenants whose repairs are counted. Beyond that, those that were quiet for a while are forgotten.
const MAX_TRACKED: usize = 10_000;

/// The recent repairs of each Tenant's Secret.
#[derive(Debug, Default)]
pub struct SecretRepairs(Mutex<HashMap<TenantUid, Repairs>>);

#[derive(Clone, Copy, Debug)]
struct Repairs {
    count: u32,
    last: Timestamp,
}

impl SecretRepairs {
    /// Counts a repair. Returns whether the next one will be delayed and this one was not.
    pub fn record(&self, tenant: TenantUid, now: Timestamp) -> bool {
        let mut all = self.0.lock();
        if all.len() >= MAX_TRACKED {
            all.retain(|_, repairs| !repairs.is_over(now));
        }
        let repairs = all.entry(tenant).or_insert(Repairs {
            count: 0,
            last: now,
        });
        if repairs.is_over(now) {
            repairs.count = 0;
        }
        repairs.count = repairs.count.saturating_add(1);
        repairs.last = now;
        repairs.count == IMMEDIATE_REPAIRS
    }

    /// When the Secret may be repaired again; `None` if immediately.
    pub fn next_at(&self, tenant: TenantUid, now: Timestamp) -> Option<Timestamp> {
        let repairs = *self.0.lock().get(&tenant)?;
        let delayed = repairs.count.checked_sub(IMMEDIATE_REPAIRS)?;
        let delay = 2_i32
            .checked_pow(delayed)
            .and_then(|factor| FIRST_DELAY.checked_mul(factor))
            .map_or(MAX_DELAY, |delay| delay.min(MAX_DELAY));
        let next = repairs.last + delay;
        (next > now).then_some(next)
    }
}

impl Repairs {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.last) > QUIET_PERIOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_fight_is_slowed_down_and_ends_after_a_quiet_period() {
        let tenant = TenantUid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let repairs = SecretRepairs::default();
        let (mut now, mut count) = (0, 0);
        while now < 3_600 {
            assert_eq!(repairs.record(tenant, at(now)), count + 1 == 3, "{count}");
            count += 1;
            now = repairs
                .next_at(tenant, at(now))
                .map_or(now, Timestamp::as_second);
        }
        assert!((3..20).contains(&count), "{count} repairs in an hour");
        assert!(repairs.next_at(tenant, at(now)).is_some() || count > 0);
        let later = now + QUIET_PERIOD.as_secs() + 1;
        repairs.record(tenant, at(later));
        assert_eq!(repairs.next_at(tenant, at(later)), None);
    }
}
