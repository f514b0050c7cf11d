//! The watches, and which reconciliations a change triggers.

use std::pin::pin;
use std::sync::Arc;

use crds::{FIELD_MANAGER, TenantClass, labels};
use futures::{Stream, StreamExt, TryStreamExt, future};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use service_kit::error_chain;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cache::CachedTenant;
use crate::class::reconcile::ClassReconciler;
use crate::context::Context;
use crate::health::Health;

/// Objects per page of a watch's initial list.
const OBJECTS_PER_PAGE: u32 = 500;

fn watch_config() -> watcher::Config {
    watcher::Config::default().page_size(OBJECTS_PER_PAGE)
}

/// Reports the errors of a watch in the log and to `/readyz`.
fn reported<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    health: Health,
    watch: &'static str,
) -> impl Stream<Item = watcher::Result<Event<K>>> {
    events.inspect(move |event| match event {
        Ok(_) => health.record_watch_success(watch),
        Err(error) => {
            let error = error_chain(error);
            warn!(error, watch, "watch interrupted");
            health.record_watch_error(watch, error);
        }
    })
}

/// Cancels `synced` once the store behind a watch holds the initial list. The store's own
/// `wait_until_ready` cannot be used: it wakes only the last waiter, and the controller's loop over
/// the store is one already.
fn signal_synced<K>(event: &Event<K>, synced: &CancellationToken) {
    if matches!(event, Event::InitDone) {
        synced.cancel();
    }
}

/// Tenants whose spec or metadata changed. Queues the class of each Tenant that is added or
/// deleted, because it counts them, and Tenants whose status another client wrote.
pub(crate) fn tenant_watch(
    ctx: &Arc<Context>,
    client: Client,
    health: Health,
    scope: Option<&str>,
    writer: Writer<CachedTenant>,
    synced: CancellationToken,
) -> impl Stream<Item = Result<CachedTenant, watcher::Error>> + use<> {
    let ctx = ctx.clone();
    let api: Api<CachedTenant> = match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = watch(api, watch_config()).default_backoff();
    reported(events, health, "tenants")
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_synced(event, &synced);
            let (Event::Apply(tenant) | Event::InitApply(tenant) | Event::Delete(tenant)) = event
            else {
                return;
            };
            ctx.own_writes.evict_observed(tenant);
            if !matches!(event, Event::Apply(_)) || tenant.is_new() {
                ctx.class_queue.enqueue(ObjectRef::new(tenant.class_name()));
            }
            if matches!(event, Event::Apply(_)) && tenant.is_status_edited() {
                ctx.enqueue(ObjectRef::from_obj(tenant));
            }
        })
        .applied_objects()
        .predicate_filter(
            |tenant: &CachedTenant| Some(tenant.spec_hash()),
            PredicateConfig::default(),
        )
}

/// Classes that changed.
pub(crate) fn class_watch(
    client: Client,
    health: Health,
    reconciler: &Arc<ClassReconciler>,
    writer: Writer<TenantClass>,
    synced: CancellationToken,
) -> impl Stream<Item = Result<TenantClass, watcher::Error>> + use<> {
    let api: Api<TenantClass> = Api::all(client);
    let reconciler = reconciler.clone();
    let events = watch(api, watch_config()).default_backoff();
    reported(events, health, "tenantclasses")
        .modify(|class| class.metadata.managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_synced(event, &synced);
            if let Event::Delete(class) = event {
                reconciler.forget(&class.name_any());
            }
        })
        .applied_objects()
}

/// Keeps the cache of a scope's connection Secrets up to date, and queues the Tenants that a change
/// concerns.
pub(crate) async fn secret_watch(
    ctx: Arc<Context>,
    client: Client,
    health: Health,
    scope: usize,
    synced: CancellationToken,
) {
    let Some(scope) = ctx.scopes.get(scope) else {
        return;
    };
    let api: Api<PartialObjectMeta<Secret>> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let selector = format!("{}={FIELD_MANAGER}", labels::MANAGED_BY);
    let events = watch(api, watch_config().labels(&selector)).default_backoff();
    let mut events = pin!(reported(events, health, "secrets"));
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let first = !synced.is_cancelled();
        signal_synced(&event, &synced);
        let concerned = ctx.secrets.apply_event(scope.namespace.as_deref(), event);
        // The initial list arrives before the first reconciliation, which reads it from the cache.
        for tenant in concerned.into_iter().filter(|_| !first) {
            scope.queue.enqueue(tenant);
        }
    }
}

/// Watches API keys and migrations in the controller's own namespace, and queues the classes that
/// refer to them.
pub(crate) async fn class_source_watch(ctx: Arc<Context>, client: Client, health: Health) {
    let namespace = ctx.cluster.namespace().to_owned();
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), &namespace);
    let config_maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &namespace);
    let secrets = watch(secrets, watch_config()).default_backoff();
    let secrets = changed_names(reported(secrets, health.clone(), "API keys"));
    let config_maps = watch(config_maps, watch_config()).default_backoff();
    let config_maps = changed_names(reported(config_maps, health, "migrations"));
    let secrets = secrets.map(|name| (true, name));
    let config_maps = config_maps.map(|name| (false, name));
    let mut changes = pin!(futures::stream::select(secrets, config_maps));
    while let Some((is_secret, name)) = changes.next().await {
        for class in ctx.classes.state() {
            let spec = &class.spec;
            let named = if is_secret {
                spec.neon.api_key_secret_ref.name == name
            } else {
                spec.migrations
                    .config_map
                    .as_ref()
                    .is_some_and(|config_map| config_map.name == name)
            };
            if named {
                ctx.class_queue.enqueue(ObjectRef::from_obj(&*class));
            }
        }
    }
}

fn changed_names<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = String> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + 'static,
{
    events
        .touched_objects()
        .filter_map(|object| future::ready(object.ok().map(|object| object.name_any())))
}
