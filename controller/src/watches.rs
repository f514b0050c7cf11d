//! What is watched in the cluster, and whom each change concerns.

use std::pin::pin;
use std::sync::Arc;

use crds::{FIELD_MANAGER, TenantClass, labels};
use futures::{Stream, StreamExt, TryStreamExt, future};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use service_kit::error_chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cache::CachedTenant;
use crate::class::Classes;
use crate::context::Context;

/// Objects of one page when a watch begins.
const WATCH_PAGE_OBJECTS: u32 = 500;

fn watch_config() -> watcher::Config {
    watcher::Config::default().page_size(WATCH_PAGE_OBJECTS)
}

/// Cancels `filled` once the store behind a watch holds everything there is. A store's own `wait_until_ready` wakes only the last of
/// those who wait, and the loop over the store is one of them: a second would make one of the two wait for ever.
fn signal_filled<K>(event: &Event<K>, caches_synced: &CancellationToken) {
    if matches!(event, Event::InitDone) {
        caches_synced.cancel();
    }
}

/// The Tenants, whenever somebody asks something of them. Their classes count along.
pub(crate) fn tenant_watch(
    ctx: &Arc<Context>,
    scope: Option<&str>,
    writer: Writer<CachedTenant>,
    caches_synced: CancellationToken,
) -> impl Stream<Item = Result<CachedTenant, watcher::Error>> + use<> {
    let (ctx, client) = (ctx.clone(), ctx.cluster.client());
    let api: Api<CachedTenant> = match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    watch(api, watch_config())
        .default_backoff()
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_filled(event, &caches_synced);
            let (Event::Apply(tenant) | Event::InitApply(tenant) | Event::Delete(tenant)) = event
            else {
                return;
            };
            ctx.own_writes.evict_observed(tenant);
            if !matches!(event, Event::Apply(_)) || tenant.is_new() {
                ctx.class_queue.ask(ObjectRef::new(tenant.class_name()));
            }
        })
        .inspect_err(|error| {
            warn!(
                "The watch on Tenants was interrupted: {}",
                error_chain(error)
            );
        })
        .applied_objects()
        .predicate_filter(
            |tenant: &CachedTenant| Some(tenant.spec_hash()),
            PredicateConfig::default(),
        )
}

/// The classes, whenever they change.
pub(crate) fn class_watch(
    ctx: &Arc<Context>,
    classes: &Arc<Classes>,
    writer: Writer<TenantClass>,
    caches_synced: CancellationToken,
) -> impl Stream<Item = Result<TenantClass, watcher::Error>> + use<> {
    let api: Api<TenantClass> = Api::all(ctx.cluster.client());
    let classes = classes.clone();
    watch(api, watch_config())
        .default_backoff()
        .modify(|class| class.metadata.managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_filled(event, &caches_synced);
            if let Event::Delete(class) = event {
                classes.forget(&class.name_any());
            }
        })
        .inspect_err(|error| {
            warn!(
                "The watch on TenantClasses was interrupted: {}",
                error_chain(error)
            );
        })
        .applied_objects()
}

/// Keeps the facts about the connection Secrets of a scope, and wakes the Tenants that a change concerns.
pub(crate) async fn secret_watch(ctx: Arc<Context>, scope: usize, caches_synced: CancellationToken) {
    let Some(scope) = ctx.scopes.get(scope) else {
        return;
    };
    let client = ctx.cluster.client();
    let api: Api<PartialObjectMeta<Secret>> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let selector = format!("{}={FIELD_MANAGER}", labels::MANAGED_BY);
    let mut events = pin!(watch(api, watch_config().labels(&selector)).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let first = !caches_synced.is_cancelled();
                signal_filled(&event, &caches_synced);
                let concerned = ctx.secrets.observe(scope.namespace.as_deref(), event);
                // The first list comes before the first pass, which sees it anyway.
                for tenant in concerned.into_iter().filter(|_| !first) {
                    scope.wake.ask(tenant);
                }
            }
            Err(error) => warn!(
                "The watch on Secrets was interrupted: {}",
                error_chain(&error)
            ),
        }
    }
}

/// API keys and migrations, in the controller's own namespace: a change concerns the classes that name them.
pub(crate) async fn own_objects(ctx: Arc<Context>) {
    let namespace = ctx.cluster.namespace().to_owned();
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(ctx.cluster.client(), &namespace);
    let config_maps: Api<PartialObjectMeta<ConfigMap>> =
        Api::namespaced(ctx.cluster.client(), &namespace);
    let secrets = changed_names(watch(secrets, watch_config())).map(|name| (true, name));
    let config_maps = changed_names(watch(config_maps, watch_config())).map(|name| (false, name));
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
                ctx.class_queue.ask(ObjectRef::from_obj(&*class));
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
        .default_backoff()
        .touched_objects()
        .filter_map(|object| {
            future::ready(match object {
                Ok(object) => Some(object.name_any()),
                Err(error) => {
                    debug!(
                        "A watch in the controller's namespace was interrupted: {}",
                        error_chain(&error)
                    );
                    None
                }
            })
        })
}
