//! The Lease on simulated time: skewed clocks, slow and lossy calls, replicas that are cut off.

mod decisions;
mod handover;
mod replicas;
mod world;

use std::time::Duration;

use crate::config::Lease as Terms;

const SECOND: Duration = Duration::from_secs(1);

fn terms(identity: &str) -> Terms {
    Terms {
        name: "tenant-controller".to_owned(),
        identity: identity.to_owned(),
        duration: 15 * SECOND,
        renew_deadline: 10 * SECOND,
        retry_interval: 2 * SECOND,
    }
}
