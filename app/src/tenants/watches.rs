//! The two watches that fill the cache: Tenants, and the metadata of their Secrets.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use crds::{Tenant, labels};
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use service_kit::error_chain;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cache::{Cache, map};
use super::view::TenantView;

/// Number of objects per page of the initial list.
const LIST_PAGE_SIZE: u32 = 500;
/// How often the API server is probed while a watch is disconnected. The watch itself reports
/// recovery only when an object changes.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connection state of one watch.
#[derive(Debug, Default)]
pub(super) struct WatchHealth {
    disconnected: Mutex<Option<Timestamp>>,
    /// Cancelled once the initial list is complete.
    pub(super) synced: CancellationToken,
}

impl WatchHealth {
    fn record_event<T>(&self, resource: &str, event: &Event<T>) {
        self.record_recovery(resource);
        if matches!(event, Event::InitDone) {
            self.synced.cancel();
        }
    }

    fn record_recovery(&self, resource: &str) {
        if self.disconnected.lock().take().is_some() {
            info!(resource, "watch reconnected");
        }
    }

    fn record_error(&self, resource: &str, error: &watcher::Error) {
        let mut since = self.disconnected.lock();
        if since.is_none() {
            // Logged once per outage, not once per attempt.
            warn!(
                resource,
                error = %error_chain(error),
                "watch disconnected"
            );
            *since = Some(Timestamp::now());
        }
    }

    /// When the watch lost its connection; `None` while it is connected.
    pub(super) fn disconnected_since(&self) -> Option<Timestamp> {
        *self.disconnected.lock()
    }
}

/// Returns the next watch event. While the watch is disconnected, probes the API server between
/// events.
async fn next<K>(
    events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin),
    api: &Api<K>,
    resource: &str,
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
            health.record_recovery(resource);
        }
    }
}

/// Keeps the namespace's Tenants in the cache. Runs until cancelled.
pub(super) async fn tenants(client: Client, namespace: &str, cache: &Cache, health: &WatchHealth) {
    let api: Api<Tenant> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().page_size(LIST_PAGE_SIZE);
    let mut events = pin!(watch(api.clone(), config).default_backoff());
    while let Some(event) = next(&mut events, &api, "Tenants", health).await {
        match event {
            Ok(event) => {
                let event = map(event, TenantView::of);
                health.record_event("Tenants", &event);
                let is_done = matches!(event, Event::InitDone);
                cache.apply_tenant_event(event);
                if is_done {
                    info!(
                        tenants = cache.tenant_count(),
                        "initial list of Tenants complete"
                    );
                }
            }
            Err(error) => health.record_error("Tenants", &error),
        }
    }
}

/// Keeps the versions of the namespace's connection Secrets in the cache. Runs until cancelled.
/// Watches metadata only, so no credentials are read.
pub(super) async fn secrets(client: Client, namespace: &str, cache: &Cache, health: &WatchHealth) {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, namespace);
    let selector = format!("{}={}", labels::MANAGED_BY, crds::FIELD_MANAGER);
    let config = watcher::Config::default()
        .page_size(LIST_PAGE_SIZE)
        .labels(&selector);
    let mut events = pin!(watch(api.clone(), config).default_backoff());
    while let Some(event) = next(&mut events, &api, "Secrets", health).await {
        match event {
            Ok(event) => {
                health.record_event("Secrets", &event);
                cache.apply_secret_event(map(event, |secret| {
                    let version = secret.resource_version().unwrap_or_default();
                    (secret.name_any().into(), version.into())
                }));
            }
            Err(error) => health.record_error("Secrets", &error),
        }
    }
}
