//! Signals that ask this program to end.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Returns on Ctrl-C (SIGINT), on SIGTERM, or when the terminal is closed (SIGHUP).
pub async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
