//! Background tasks: suspends computes, deletes expired branches, and purges deleted projects.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::api::admin::CLOCK_OFFSET_KEY;
use crate::api::{self, Api};
use crate::clock::Micros;
use crate::store::Store;

const PURGE_INTERVAL: Duration = Duration::from_mins(1);
const COMPUTE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The clock's offset, as stored by earlier emulators.
pub(super) async fn offset(store: &Store) -> Result<Micros, StartError> {
    let stored = store
        .read_meta(CLOCK_OFFSET_KEY)
        .await
        .map_err(|error| StartError::State(error.to_string()))?;
    Ok(stored.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Periodically suspends idle computes and those of projects with an exhausted quota, and deletes
/// expired branches.
pub(super) async fn check_computes(api: Arc<Api>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(COMPUTE_CHECK_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = api.plane.check_computes().await {
            tracing::warn!(%error, "failed to check computes");
        }
        if let Err(error) = api::expire(&api, api.clock.now()).await {
            tracing::warn!(error = error.message, "failed to delete expired branches");
        }
    }
}

pub(super) async fn purge(api: Arc<Api>, stop: CancellationToken) {
    loop {
        match api.provisioner.purge(api.recoverable_since()).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(projects = purged, "purged deleted projects"),
            Err(error) => tracing::warn!(%error, "failed to purge deleted projects"),
        }
        tokio::select! {
            () = tokio::time::sleep(PURGE_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}
