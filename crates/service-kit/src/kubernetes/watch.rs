//! Watches that reconnect with backoff, and whether they are connected.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error_chain;

/// Objects per page of a watch's initial list.
const LIST_PAGE_SIZE: u32 = 500;
/// How often the API server is probed while a watch is disconnected. The watch itself reports
/// recovery only when an object changes.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a watch is connected to the API server. An outage is logged once when it begins and once
/// when it ends.
#[derive(Debug)]
pub struct WatchHealth {
    watch: &'static str,
    disconnected: Mutex<Option<Timestamp>>,
}

impl WatchHealth {
    /// `watch` identifies the watch in logs, usually by the plural name of the watched objects.
    pub fn new(watch: &'static str) -> Arc<Self> {
        Arc::new(Self {
            watch,
            disconnected: Mutex::default(),
        })
    }

    /// When the watch lost its connection; `None` while it is connected.
    pub fn disconnected_since(&self) -> Option<Timestamp> {
        *self.disconnected.lock()
    }

    fn record<T>(&self, result: &watcher::Result<T>) {
        match result {
            Ok(_) => self.record_recovery(),
            Err(error) => self.record_error(error),
        }
    }

    fn record_recovery(&self) {
        if self.disconnected.lock().take().is_some() {
            info!(watch = self.watch, "watch reconnected");
        }
    }

    fn record_error(&self, error: &watcher::Error) {
        let mut since = self.disconnected.lock();
        if since.is_none() {
            warn!(watch = self.watch, error = %error_chain(error), "watch disconnected");
            *since = Some(Timestamp::now());
        }
    }
}

/// The configuration of a watch whose initial list arrives in pages.
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().page_size(LIST_PAGE_SIZE)
}

/// Watches objects, and keeps `health` up to date. Lost connections are retried with backoff, so
/// the stream does not end.
pub fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    health: Arc<WatchHealth>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api.clone(), config).default_backoff().boxed();
    stream::unfold((events, api, health), |mut state| async move {
        let (events, api, health) = &mut state;
        let event = next(events, api, health).await?;
        health.record(&event);
        Some((event, state))
    })
}

/// Returns the next event. While the watch is disconnected, probes the API server between events.
async fn next<K>(
    events: &mut BoxStream<'static, watcher::Result<Event<K>>>,
    api: &Api<K>,
    health: &WatchHealth,
) -> Option<watcher::Result<Event<K>>>
where
    K: Clone + DeserializeOwned + Debug,
{
    loop {
        if health.disconnected_since().is_none() {
            return events.next().await;
        }
        if let Ok(event) = timeout(PROBE_INTERVAL, events.next()).await {
            return event;
        }
        let one = ListParams::default().limit(1);
        if let Ok(Ok(_)) = timeout(PROBE_TIMEOUT, api.list(&one)).await {
            health.record_recovery();
        }
    }
}

/// Cancels `synced` after the last event of the initial list. Call it once the cache behind the
/// watch contains the event. A store's own `wait_until_ready` wakes only its last waiter.
pub fn signal_synced<K>(event: &Event<K>, synced: &CancellationToken) {
    if matches!(event, Event::InitDone) {
        synced.cancel();
    }
}
