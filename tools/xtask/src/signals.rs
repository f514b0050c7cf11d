//! How a person, a terminal or another program asks this one to end.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Ends at Ctrl-C (SIGINT), SIGTERM, or when the terminal goes (SIGHUP).
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
