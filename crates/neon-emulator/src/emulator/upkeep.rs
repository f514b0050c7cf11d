//! What goes on beside calls and connections: computes that sleep, branches whose time is over, projects that are purged, and the clock
//! that is turned.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::api::{self, Api, ApiError};
use crate::clock::Micros;
use crate::store::Store;

/// How often projects are looked for that can no longer be recovered.
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// How often computes are looked after.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// What the clock is ahead by is kept in the state under this name.
const AHEAD_KEY: &str = "clock_ahead_us";

/// How far the clock was turned by emulators before this one.
pub(super) async fn ahead(store: &Store) -> Result<Micros, StartError> {
    let kept = store
        .read_meta(AHEAD_KEY)
        .await
        .map_err(|error| StartError::State(error.to_string()))?;
    Ok(kept.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Turns the clock, and sees to what that changes.
pub(crate) async fn turn_clock(api: &Api, by: Duration) -> Result<(), ApiError> {
    let by = Micros::try_from(by.as_micros()).unwrap_or(Micros::MAX);
    let ahead = api.clock.turn(by).ok_or_else(|| {
        ApiError::invalid("the clock cannot be more than 100 years ahead of the system's")
    })?;
    api.store.write_meta(AHEAD_KEY, &ahead.to_string()).await?;
    api.plane.look_after().await?;
    if let Err(error) = api::expire(api, api.clock.now()).await {
        tracing::warn!(
            "Branches whose time is over could not be removed: {}",
            error.message
        );
    }
    Ok(())
}

/// Suspends computes that nobody uses and those whose quota is used up, and removes branches whose time is over.
pub(super) async fn look_after(api: Arc<Api>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AFTER_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = api.plane.look_after().await {
            tracing::warn!(%error, "Computes that nobody uses could not be suspended");
        }
        if let Err(error) = api::expire(&api, api.clock.now()).await {
            tracing::warn!(
                "Branches whose time is over could not be removed: {}",
                error.message
            );
        }
    }
}

pub(super) async fn purge(api: Arc<Api>, stop: CancellationToken) {
    loop {
        match api.provisioner.purge(api.recoverable_since()).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!("Purged {purged} deleted projects"),
            Err(error) => tracing::warn!(%error, "Deleted projects could not be purged"),
        }
        tokio::select! {
            () = tokio::time::sleep(PURGE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
