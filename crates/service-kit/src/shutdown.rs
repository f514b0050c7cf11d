//! Graceful shutdown.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that is cancelled on SIGTERM or SIGINT, after `on_shutdown` was called. A second signal
/// ends the process immediately.
pub fn shutdown_signal(
    on_shutdown: impl FnOnce() + Send + 'static,
) -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let name = next_signal(&mut terminate, &mut interrupt).await;
        info!(signal = name, "shutting down: finishing running work");
        on_shutdown();
        shutdown.cancel();
        let name = next_signal(&mut terminate, &mut interrupt).await;
        warn!(
            signal = name,
            "second signal: exiting without finishing running work"
        );
        std::process::exit(1);
    });
    Ok(token)
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
