//! Leader election in simulated time: skewed clocks, slow and lossy requests, partitioned replicas.

mod campaign;
mod handover;
mod other_installation;
mod replicas;
mod simulation;

use std::time::Duration;

use crate::config::Lease as LeaseConfig;

const SECOND: Duration = Duration::from_secs(1);

fn config(identity: &str) -> LeaseConfig {
    LeaseConfig {
        name: "tenant-controller".to_owned(),
        identity: identity.to_owned(),
        duration: 15 * SECOND,
        renew_deadline: 10 * SECOND,
        retry_interval: 2 * SECOND,
    }
}
