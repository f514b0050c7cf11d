//! Lookups of own writes.

use super::*;
use crate::cache::tenant::tests::{UID, tenant};

fn uid() -> TenantUid {
    TenantUid::parse(UID).unwrap()
}

#[test]
fn an_own_write_is_returned_until_the_watch_delivers_it() {
    let writes = WriteThroughCache::default();
    let newest = |version: &str| writes.newest(uid(), || Some(tenant(version)));
    assert_eq!(newest("5"), Some(tenant("5")));
    writes.record_write(uid(), tenant("10"));
    assert_eq!(
        newest("9"),
        Some(tenant("10")),
        "versions are compared as numbers"
    );
    assert_eq!(newest("10"), Some(tenant("10")));
    assert_eq!(newest("11"), Some(tenant("11")));
    writes.evict_observed(&CachedTenant::try_from(tenant("9")).unwrap());
    assert_eq!(
        newest("9"),
        Some(tenant("10")),
        "the watch has not caught up"
    );
    writes.evict_observed(&CachedTenant::try_from(tenant("10")).unwrap());
    assert_eq!(
        newest("9"),
        Some(tenant("9")),
        "it was removed when the watch delivered it"
    );
    writes.record_write(uid(), tenant("12"));
    writes.remove(uid());
    assert_eq!(newest("9"), Some(tenant("9")));
}

#[test]
fn a_write_that_the_watch_delivers_during_a_lookup_is_not_lost() {
    let writes = WriteThroughCache::default();
    writes.record_write(uid(), tenant("10"));
    let newest = writes.newest(uid(), || {
        writes.evict_observed(&CachedTenant::try_from(tenant("10")).unwrap());
        Some(tenant("10"))
    });
    assert_eq!(newest, Some(tenant("10")));
}
