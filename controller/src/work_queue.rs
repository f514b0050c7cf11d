//! A queue of objects to reconcile. Each object is queued at most once, however often it is added.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A deduplicating queue for one reader. It cannot grow beyond the number of distinct objects.
#[derive(Debug)]
pub struct WorkQueue<T> {
    pending: Mutex<HashSet<T>>,
    notify: Notify,
}

impl<T> Default for WorkQueue<T> {
    fn default() -> Self {
        Self {
            pending: Mutex::default(),
            notify: Notify::new(),
        }
    }
}

impl<T: Eq + Hash + Send + 'static> WorkQueue<T> {
    pub fn enqueue(&self, item: T) {
        self.pending.lock().insert(item);
        self.notify.notify_one();
    }

    /// The queued items as they arrive, in no particular order.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = T> + Send + 'static {
        self.stream_at_intervals(Duration::ZERO)
    }

    /// The same, in batches that are at least `interval` apart. Unlike with a debounce, an item
    /// arrives even if it is added again all the time.
    pub fn stream_at_intervals(
        self: Arc<Self>,
        interval: Duration,
    ) -> impl Stream<Item = T> + Send + 'static {
        stream::unfold((self, None::<Instant>), move |(queue, last)| async move {
            if let Some(last) = last {
                sleep_until(last + interval).await;
            }
            loop {
                let pending = queue.take();
                if !pending.is_empty() {
                    return Some((stream::iter(pending), (queue, Some(Instant::now()))));
                }
                queue.notify.notified().await;
            }
        })
        .flatten()
    }

    fn take(&self) -> HashSet<T> {
        std::mem::take(&mut *self.pending.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_item_queued_twice_before_it_is_read_is_returned_once() {
        let queue = Arc::new(WorkQueue::default());
        for item in [1, 2, 1, 2, 1] {
            queue.enqueue(item);
        }
        let mut items: Vec<i32> = queue.clone().stream().take(2).collect().await;
        items.sort_unstable();
        assert_eq!(items, [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_that_is_queued_all_the_time_arrives_once_per_interval() {
        let queue = Arc::new(WorkQueue::default());
        let added = {
            let queue = queue.clone();
            async move {
                loop {
                    queue.enqueue("acme");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let arrivals = queue.stream_at_intervals(second).take(5).count();
        tokio::select! {
            count = arrivals => assert_eq!(count, 5),
            () = added => {}
        }
        assert!((4 * second..5 * second).contains(&start.elapsed()));
    }

    #[tokio::test]
    async fn an_item_queued_while_the_reader_waits_reaches_it() {
        let queue = Arc::new(WorkQueue::default());
        let reader = tokio::spawn(queue.clone().stream().take(1).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        queue.enqueue("acme");
        assert_eq!(reader.await.unwrap(), ["acme"]);
    }
}
