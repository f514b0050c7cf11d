//! A queue of objects to reconcile. Each object is queued at most once, however often it is added.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

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
        stream::unfold(self, |queue| async move {
            loop {
                let pending = queue.take();
                if !pending.is_empty() {
                    return Some((stream::iter(pending), queue));
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

    #[tokio::test]
    async fn an_item_queued_while_the_reader_waits_reaches_it() {
        let queue = Arc::new(WorkQueue::default());
        let reader = tokio::spawn(queue.clone().stream().take(1).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        queue.enqueue("acme");
        assert_eq!(reader.await.unwrap(), ["acme"]);
    }
}
