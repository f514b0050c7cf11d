//! The controller's own writes, until the watch delivers them.

use std::collections::HashMap;

use crds::Tenant;
use parking_lot::Mutex;

use super::tenant::CachedTenant;
use super::version_of;
use crate::identity::TenantUid;

/// The Tenants that the controller wrote, as the API server returned them, until the watch delivers
/// those versions.
#[derive(Debug, Default)]
pub struct WriteThroughCache(Mutex<HashMap<TenantUid, Tenant>>);

impl WriteThroughCache {
    /// Records the object that a write returned.
    pub fn record_write(&self, uid: TenantUid, tenant: Tenant) {
        self.0.lock().insert(uid, tenant);
    }

    /// The newer of the controller's own last write and the version in the watch's cache. `cached`
    /// is called last: a write that [`WriteThroughCache::evict_observed`] has removed is in the
    /// watch's cache by then.
    pub fn newest(
        &self,
        uid: TenantUid,
        cached: impl FnOnce() -> Option<Tenant>,
    ) -> Option<Tenant> {
        let own = self.0.lock().get(&uid).cloned();
        match (own, cached()) {
            (Some(own), Some(cached))
                if version_of(&own.metadata) <= version_of(&cached.metadata) =>
            {
                Some(cached)
            }
            (own, cached) => own.or(cached),
        }
    }

    /// Removes the own write if the watch has delivered this version or a newer one.
    pub fn evict_observed(&self, tenant: &CachedTenant) {
        let Some(uid) = tenant.uid() else {
            return;
        };
        let mut writes = self.0.lock();
        if writes
            .get(&uid)
            .is_some_and(|own| version_of(&own.metadata) <= tenant.version())
        {
            writes.remove(&uid);
        }
    }

    pub fn remove(&self, uid: TenantUid) {
        self.0.lock().remove(&uid);
    }
}

#[cfg(test)]
mod tests;
