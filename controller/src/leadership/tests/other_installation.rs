use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::leadership::clock::SystemClock;
use crate::leadership::other_installation::{
    HeldLease, OtherInstallation, OtherLeases, find_running,
};
use crate::leadership::store::StoreError;

const NAME: &str = "dbpertenant.dev/tenant-controller";

/// Leases whose versions change as a test says: each read takes the next list, and the last one
/// stays.
#[derive(Clone, Debug)]
struct Lists(Arc<Mutex<Vec<Vec<HeldLease>>>>);

impl Lists {
    fn new(lists: Vec<Vec<HeldLease>>) -> Self {
        Self(Arc::new(Mutex::new(lists)))
    }
}

impl OtherLeases for Lists {
    async fn held(&self) -> Result<Vec<HeldLease>, StoreError> {
        let mut lists = self.0.lock();
        Ok(if lists.len() > 1 {
            lists.remove(0)
        } else {
            lists[0].clone()
        })
    }
}

fn lease(namespace: &str, version: u32) -> HeldLease {
    HeldLease {
        namespace: namespace.to_owned(),
        name: "tenant-controller".to_owned(),
        holder: "one".to_owned(),
        duration: 15 * SECOND,
        version: version.to_string(),
    }
}

async fn check(lists: Vec<Vec<HeldLease>>) -> (Option<OtherInstallation>, Duration) {
    let started = tokio::time::Instant::now();
    let found = find_running(&Lists::new(lists), &SystemClock::new(), NAME).await;
    (found.expect("the reads succeed"), started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn without_another_installation_the_start_does_not_wait() {
    let (found, waited) = check(vec![vec![]]).await;
    assert_eq!((found, waited), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_renews_its_lease_is_found_within_its_duration() {
    let unchanged = vec![vec![lease("old", 1), lease("other", 7)]; 4];
    let renewed = vec![vec![lease("old", 1), lease("other", 8)]];
    let (found, waited) = check([unchanged, renewed].concat()).await;
    let other = found.expect("the other installation is running");
    assert_eq!((&*other.namespace, &*other.holder), ("other", "one"));
    assert!(waited < 15 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_starts_during_the_wait_is_found() {
    let (found, _) = check(vec![
        vec![lease("old", 1)],
        vec![lease("old", 1), lease("new", 1)],
    ])
    .await;
    assert_eq!(found.expect("found").namespace, "new");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_renews_does_not_keep_the_controller_from_starting() {
    let (found, waited) = check(vec![vec![lease("removed", 1)]]).await;
    assert_eq!(found, None);
    assert!(waited >= 15 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_released_during_the_wait_is_no_obstacle() {
    let (found, _) = check(vec![vec![lease("stopping", 1)], vec![]]).await;
    assert_eq!(found, None);
}
