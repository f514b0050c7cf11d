//! The two watches that fill the cache: Tenants, and the metadata of their Secrets.

use std::pin::pin;
use std::sync::Arc;

use crds::{Tenant, labels};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt as _};
use service_kit::kubernetes::{WatchHealth, watch, watch_config};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::cache::{Cache, map};
use super::view::TenantView;

/// The state of one watch.
#[derive(Debug)]
pub(super) struct WatchState {
    pub(super) health: Arc<WatchHealth>,
    /// Cancelled once the cache contains the initial list.
    pub(super) synced: CancellationToken,
}

impl WatchState {
    pub(super) fn new(watch: &'static str) -> Self {
        Self {
            health: WatchHealth::new(watch),
            synced: CancellationToken::new(),
        }
    }
}

/// Keeps the namespace's Tenants in the cache. Runs until cancelled.
pub(super) async fn tenants(client: Client, namespace: &str, cache: &Cache, state: &WatchState) {
    let api: Api<Tenant> = Api::namespaced(client, namespace);
    let mut events = pin!(watch(api, watch_config(), state.health.clone()));
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let is_done = matches!(event, Event::InitDone);
        cache.apply_tenant_event(map(event, TenantView::of));
        if is_done {
            state.synced.cancel();
            info!(
                tenants = cache.tenant_count(),
                "initial list of Tenants complete"
            );
        }
    }
}

/// Keeps the versions of the namespace's connection Secrets in the cache. Runs until cancelled.
/// Watches metadata only, so no credentials are read.
pub(super) async fn secrets(client: Client, namespace: &str, cache: &Cache, state: &WatchState) {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, namespace);
    let selector = format!("{}={}", labels::MANAGED_BY, crds::FIELD_MANAGER);
    let config = watch_config().labels(&selector);
    let mut events = pin!(watch(api, config, state.health.clone()));
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let is_done = matches!(event, Event::InitDone);
        cache.apply_secret_event(map(event, |secret| {
            let version = secret.resource_version().unwrap_or_default();
            (secret.name_any().into(), version.into())
        }));
        if is_done {
            state.synced.cancel();
        }
    }
}
