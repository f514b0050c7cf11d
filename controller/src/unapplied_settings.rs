//! Settings that Neon accepted without applying them.
//!
//! Every listing shows the difference again. Sending them after every listing would cost calls and wake
//! computes, so they are sent again only after a while, or when other settings are to be changed.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use neon_client::model::{UpdateEndpoint, UpdateProject};
use parking_lot::Mutex;

use crate::identity::TenantUid;

/// How long settings that Neon did not apply are not sent again.
const RESEND_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Settings to send to Neon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsChanges {
    pub project: UpdateProject,
    pub compute: UpdateEndpoint,
}

/// What Neon did not apply of the settings of Tenants. It holds at most one entry per Tenant.
#[derive(Debug, Default)]
pub struct UnappliedSettings(Mutex<HashMap<TenantUid, Unapplied>>);

#[derive(Debug)]
struct Unapplied {
    changes: SettingsChanges,
    sent_at: Timestamp,
}

impl Unapplied {
    fn is_due(&self, now: Timestamp) -> bool {
        now.duration_since(self.sent_at) >= RESEND_INTERVAL
    }
}

impl UnappliedSettings {
    /// Records that Neon accepted these changes without applying them.
    pub fn record(&self, tenant: TenantUid, changes: SettingsChanges, sent_at: Timestamp) {
        self.0.lock().insert(tenant, Unapplied { changes, sent_at });
    }

    /// The changes that are not to be sent again yet.
    pub fn current(&self, tenant: TenantUid, now: Timestamp) -> Option<SettingsChanges> {
        let all = self.0.lock();
        let unapplied = all.get(&tenant).filter(|unapplied| !unapplied.is_due(now));
        unapplied.map(|unapplied| unapplied.changes.clone())
    }

    /// Whether the changes may be sent again if they still differ.
    pub fn is_due(&self, tenant: TenantUid, now: Timestamp) -> bool {
        let all = self.0.lock();
        all.get(&tenant)
            .is_some_and(|unapplied| unapplied.is_due(now))
    }

    /// Forgets a Tenant whose settings are in effect, or that was deleted.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.lock().remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unapplied_changes_are_due_again_after_an_hour_until_they_are_forgotten() {
        let tenant = TenantUid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let changes = SettingsChanges {
            project: UpdateProject {
                history_retention_seconds: Some(60),
                ..UpdateProject::default()
            },
            ..SettingsChanges::default()
        };
        let all = UnappliedSettings::default();
        assert!(!all.is_due(tenant, at(0)));
        all.record(tenant, changes.clone(), at(0));
        assert_eq!(all.current(tenant, at(59)).as_ref(), Some(&changes));
        assert!(!all.is_due(tenant, at(59)));
        assert_eq!(all.current(tenant, at(60)), None);
        assert!(all.is_due(tenant, at(60)));
        all.record(tenant, changes.clone(), at(60));
        assert_eq!(all.current(tenant, at(61)), Some(changes));
        all.forget(tenant);
        assert_eq!(all.current(tenant, at(61)), None);
        assert!(!all.is_due(tenant, at(200)));
    }
}
