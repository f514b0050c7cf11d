//! Being asked to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that SIGTERM or SIGINT cancels, after `asked` was called. A second one ends the process at once, for people who do not want to
/// wait.
pub fn on_signal(asked: impl FnOnce() + Send + 'static) -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        info!("{name}: taking no new work, and letting running steps come to their end");
        asked();
        stopped.cancel();
        let name = either(&mut terminate, &mut interrupt).await;
        warn!("{name} again: running steps are abandoned");
        std::process::exit(1);
    });
    Ok(stop)
}

/// The name of the signal that came.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
