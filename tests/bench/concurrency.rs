//! Runs work in parallel with a limit.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _};

/// Runs `work` for every item, at most `limit` at a time. Stops at the first error.
pub(crate) async fn for_each_concurrent<T>(
    items: impl IntoIterator<Item = T>,
    limit: usize,
    work: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    let running = futures::stream::iter(items)
        .map(|item| work(item))
        .buffer_unordered(limit);
    running.try_collect::<Vec<()>>().await?;
    Ok(())
}
