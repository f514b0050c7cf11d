//! Background tasks: suspends computes, deletes expired branches, and purges deleted projects.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::api::{self, Api, ApiError};
use crate::clock::Micros;
use crate::store::Store;

const PURGE_EVERY: Duration = Duration::from_mins(1);
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// The key of the clock's offset in the state.
const AHEAD_KEY: &str = "clock_ahead_us";

/// The clock's offset, as stored by earlier emulators.
pub(super) async fn ahead(store: &Store) -> Result<Micros, StartError> {
    let kept = store
        .read_meta(AHEAD_KEY)
        .await
        .map_err(|error| StartError::State(error.to_string()))?;
    Ok(kept.and_then(|text| text.parse().ok()).unwrap_or(0))
}

pub(crate) async fn turn_clock(api: &Api, by: Duration) -> Result<(), ApiError> {
    let by = Micros::try_from(by.as_micros()).unwrap_or(Micros::MAX);
    let ahead = api.clock.turn(by).ok_or_else(|| {
        ApiError::invalid("the clock cannot be more than 100 years ahead of the system's")
    })?;
    api.store.write_meta(AHEAD_KEY, &ahead.to_string()).await?;
    api.plane.look_after().await?;
    if let Err(error) = api::expire(api, api.clock.now()).await {
        tracing::warn!(
            "failed to delete expired branches: {}",
            error.message
        );
    }
    Ok(())
}

/// Periodically suspends idle computes and those of projects with an exhausted quota, and deletes
/// expired branches.
pub(super) async fn look_after(api: Arc<Api>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AFTER_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = api.plane.look_after().await {
            tracing::warn!(%error, "failed to check computes");
        }
        if let Err(error) = api::expire(&api, api.clock.now()).await {
            tracing::warn!(
                "failed to delete expired branches: {}",
                error.message
            );
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
            () = tokio::time::sleep(PURGE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
