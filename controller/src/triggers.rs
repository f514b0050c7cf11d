//! A set of objects that want to be looked at: each at most once, however often it is asked for, and none is ever lost.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt, stream};
use tokio::sync::Notify;

use crate::cache::lock;

/// What waits to be looked at. It cannot grow beyond the number of objects there are.
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
    /// Asks for a look.
    pub fn ask(&self, item: T) {
        lock(&self.pending).insert(item);
        self.notify.notify_one();
    }

    /// What is asked for, as it comes. For one reader.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = T> + Send + 'static {
        stream::unfold(self, |wake| async move {
            loop {
                let pending = std::mem::take(&mut *lock(&wake.pending));
                if !pending.is_empty() {
                    return Some((stream::iter(pending), wake));
                }
                wake.notify.notified().await;
            }
        })
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_for_twice_before_anybody_looks_comes_once() {
        let wake = Arc::new(WorkQueue::default());
        for item in [1, 2, 1, 2, 1] {
            wake.ask(item);
        }
        let mut items: Vec<i32> = wake.clone().stream().take(2).collect().await;
        items.sort_unstable();
        assert_eq!(items, [1, 2]);
    }

    #[tokio::test]
    async fn what_is_asked_for_while_a_reader_waits_reaches_it() {
        let wake = Arc::new(WorkQueue::default());
        let reader = tokio::spawn(wake.clone().stream().take(1).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        wake.ask("acme");
        assert_eq!(reader.await.unwrap(), ["acme"]);
    }
}
