//! The two watches that fill the cache: Tenants, and the metadata of their Secrets.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crds::{Tenant, labels};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cache::{Cache, map};
use super::view::TenantView;

/// Objects of one page when a watch begins.
const PAGE_OBJECTS: u32 = 500;
/// For so long after its last error a watch counts as interrupted: longer than it waits between two attempts, which is up to 30
/// seconds, and an attempt.
const INTERRUPTED_FOR: Duration = Duration::from_secs(45);

/// How a watch is doing.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: Mutex<State>,
    /// Cancelled once the first list is complete.
    pub(super) filled: CancellationToken,
}

#[derive(Debug, Default, Clone)]
struct State {
    failed: Option<Instant>,
    since: Option<Timestamp>,
}

impl Health {
    fn took<T>(&self, what: &str, event: &Event<T>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            info!("The watch on {what} is back");
            *state = State::default();
        }
        drop(state);
        if matches!(event, Event::InitDone) {
            self.filled.cancel();
        }
    }

    fn failed(&self, what: &str, error: &watcher::Error) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_interrupted() {
            // Once an outage, not once an attempt.
            warn!(
                error = error as &dyn std::error::Error,
                "The watch on {what} was interrupted"
            );
            state.since = Some(Timestamp::now());
        }
        state.failed = Some(Instant::now());
    }

    /// Since when nothing new was heard; `None` while all is well.
    pub(super) fn interrupted_since(&self) -> Option<Timestamp> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since.filter(|_| state.is_interrupted())
    }
}

impl State {
    /// A watch that came back says nothing until something changes, so an error is forgotten by the clock as well.
    fn is_interrupted(&self) -> bool {
        self.failed
            .is_some_and(|failed| failed.elapsed() < INTERRUPTED_FOR)
    }
}

/// Keeps the Tenants of the namespace in the cache, for ever.
pub(super) async fn tenants(client: Client, namespace: &str, cache: &Cache, health: &Health) {
    let api: Api<Tenant> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().page_size(PAGE_OBJECTS);
    let mut events = pin!(watch(api, config).default_backoff());
    while let Some(event) = events.next().await {
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
    let mut events = pin!(watch(api, config).default_backoff());
    while let Some(event) = events.next().await {
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
