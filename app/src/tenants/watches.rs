//! The two watches that fill the cache: Tenants, and the metadata of their Secrets.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cache::{Cache, map};
use super::view::TenantView;

/// Objects of one page when a watch begins.
const PAGE_OBJECTS: u32 = 500;
/// While a watch is interrupted, the API server is asked so often whether it is back: the watch itself says nothing until something
/// changes.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long such an answer may take.
const ANSWER_TAKES: Duration = Duration::from_secs(5);

/// How a watch is doing.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Since when.
    interrupted: Mutex<Option<Timestamp>>,
    /// Cancelled once the first list is complete.
    pub(super) filled: CancellationToken,
}

impl Health {
    fn took<T>(&self, what: &str, event: &Event<T>) {
        self.is_back(what);
        if matches!(event, Event::InitDone) {
            self.filled.cancel();
        }
    }

    fn is_back(&self, what: &str) {
        if self.lock().take().is_some() {
            info!("The watch on {what} is back");
        }
    }

    fn failed(&self, what: &str, error: &watcher::Error) {
        let mut since = self.lock();
        if since.is_none() {
            // Once an outage, not once an attempt.
            warn!(
                error = error as &dyn std::error::Error,
                "The watch on {what} was interrupted"
            );
            *since = Some(Timestamp::now());
        }
    }

    /// Since when nothing new was heard; `None` while all is well.
    pub(super) fn interrupted_since(&self) -> Option<Timestamp> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.interrupted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the watch says next. In between, an interrupted one is asked after.
async fn next<K>(
    events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin),
    api: &Api<K>,
    what: &str,
    health: &Health,
) -> Option<watcher::Result<Event<K>>>
where
    K: Clone + DeserializeOwned + Debug,
{
    loop {
        if health.interrupted_since().is_none() {
            return events.next().await;
        }
        if let Ok(event) = timeout(ASK_EVERY, events.next()).await {
            return event;
        }
        let one = ListParams::default().limit(1);
        if let Ok(Ok(_)) = timeout(ANSWER_TAKES, api.list(&one)).await {
            health.is_back(what);
        }
    }
}

/// Keeps the Tenants of the namespace in the cache, for ever.
pub(super) async fn tenants(client: Client, namespace: &str, cache: &Cache, health: &Health) {
    let api: Api<Tenant> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().page_size(PAGE_OBJECTS);
    let mut events = pin!(watch(api.clone(), config).default_backoff());
    while let Some(event) = next(&mut events, &api, "Tenants", health).await {
        match event {
            Ok(event) => {
                let event = map(event, TenantView::of);
                health.took("Tenants", &event);
                let is_done = matches!(event, Event::InitDone);
                cache.take_tenant(event);
                if is_done {
                    info!(
                        tenants = cache.tenant_count(),
                        "The list of Tenants is complete"
                    );
                }
            }
            Err(error) => health.failed("Tenants", &error),
        }
    }
}

/// Keeps the versions of the connection Secrets of the namespace in the cache, for ever. What they hold is never asked for here.
pub(super) async fn secrets(client: Client, namespace: &str, cache: &Cache, health: &Health) {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, namespace);
    let selector = format!("{}={}", labels::MANAGED_BY, crds::FIELD_MANAGER);
    let config = watcher::Config::default()
        .page_size(PAGE_OBJECTS)
        .labels(&selector);
    let mut events = pin!(watch(api.clone(), config).default_backoff());
    while let Some(event) = next(&mut events, &api, "Secrets", health).await {
        match event {
            Ok(event) => {
                health.took("Secrets", &event);
                cache.take_secret(map(event, |secret| {
                    let version = secret.resource_version().unwrap_or_default();
                    (secret.name_any().into(), version.into())
                }));
            }
            Err(error) => health.failed("Secrets", &error),
        }
    }
}
