//! Which jobs a worker may start beside those that it is running.
//!
//! Long jobs cannot be interrupted for others. Therefore the long jobs of one workspace leave a slot
//! for those of other workspaces, and all of them leave a slot for short jobs, such as deletions.

use std::collections::HashMap;

use super::JobRegistry;
use super::store::{ClaimedJob, Startable};

/// Slots for short jobs only, in addition to [`WorkerConfig::concurrency`](super::WorkerConfig).
pub(super) const SHORT_JOB_SLOTS: usize = 1;

/// The jobs that a worker with these slots for long jobs may start. `None` if it has no slot left.
pub(super) fn startable(
    registry: &JobRegistry,
    concurrency: usize,
    running: &[ClaimedJob],
) -> Option<Startable> {
    if running.len() >= concurrency.saturating_add(SHORT_JOB_SLOTS) {
        return None;
    }
    let is_long = |job: &&ClaimedJob| registry.kind(&job.kind).is_some_and(|kind| kind.is_long);
    let long: Vec<&ClaimedJob> = running.iter().filter(is_long).collect();
    let mut of_workspaces: HashMap<&str, usize> = HashMap::new();
    for workspace in long.iter().filter_map(|job| job.workspace()) {
        *of_workspaces.entry(workspace).or_default() += 1;
    }
    let max_per_workspace = concurrency.saturating_sub(1).max(1);
    Some(Startable {
        short: registry.names(false),
        long: if long.len() < concurrency {
            registry.names(true)
        } else {
            Vec::new()
        },
        busy_workspaces: of_workspaces
            .into_iter()
            .filter(|(_, jobs)| *jobs >= max_per_workspace)
            .map(|(workspace, _)| workspace.to_owned())
            .collect(),
    })
}
