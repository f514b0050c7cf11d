//! Many things done at once, a bounded number at a time.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _};

/// Runs `work` for every item, so many at a time; the first error ends it.
pub(crate) async fn each<T>(
    items: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    let running = futures::stream::iter(items)
        .map(|item| work(item))
        .buffer_unordered(at_once);
    running.try_collect::<Vec<()>>().await?;
    Ok(())
}
