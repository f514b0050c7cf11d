//! The watches, and which reconciliations a change triggers.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use crds::{FIELD_MANAGER, SchemaRollout, TenantClass, labels};
use futures::{Stream, StreamExt, TryStreamExt, future};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use service_kit::error_chain;
use service_kit::kubernetes::{WatchHealth, signal_synced, watch, watch_config};
use tokio_util::sync::CancellationToken;

use crate::cache::CachedTenant;
use crate::class::reconcile::ClassReconciler;
use crate::context::Context;
use crate::health::Health;

/// A watch whose errors are reported to `/readyz`, besides the log.
fn reported_watch<K>(
    api: Api<K>,
    config: watcher::Config,
    health: Health,
    name: &'static str,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watch(api, config, WatchHealth::new(name)).inspect(move |event| match event {
        Ok(_) => health.record_watch_success(name),
        Err(error) => health.record_watch_error(name, error_chain(error)),
    })
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
    reported_watch(api, watch_config(), health, "tenants")
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_synced(event, &synced);
            let (Event::Apply(tenant) | Event::InitApply(tenant) | Event::Delete(tenant)) = event
            else {
                return;
            };
            ctx.own_writes.evict_observed(tenant);
            if matches!(event, Event::Delete(_)) || tenant.deletion_requested_at().is_some() {
                ctx.deletion_requested.notify_waiters();
            }
            if ctx.rollouts.is_active(tenant.class_name()) {
                ctx.rollout_queue
                    .enqueue(ObjectRef::new(tenant.class_name()));
            }
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
    reported_watch(api, watch_config(), health, "tenantclasses")
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

/// Keeps the cache of rollouts up to date, and queues the classes whose rollouts changed. Queues the
/// Tenants of a class if a user edited one of its rollouts, which changes who is skipped.
pub(crate) async fn rollout_watch(
    ctx: Arc<Context>,
    client: Client,
    health: Health,
    synced: CancellationToken,
) {
    let api: Api<SchemaRollout> = Api::all(client);
    let watch = reported_watch(api, watch_config(), health, "schemarollouts")
        .modify(|rollout| rollout.metadata.managed_fields = None);
    let mut events = pin!(watch);
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let edited = match &event {
            Event::Apply(rollout) => Some(rollout)
                .filter(|rollout| !ctx.rollouts.has_generation_of(rollout))
                .map(|rollout| rollout.spec.class_name.clone()),
            _ => None,
        };
        let is_last = matches!(event, Event::InitDone);
        for class in ctx.rollouts.apply_event(event) {
            ctx.rollout_queue.enqueue(ObjectRef::new(&class));
        }
        for tenant in edited.iter().flat_map(|class| ctx.tenants_of(class)) {
            ctx.enqueue(ObjectRef::from_obj(&*tenant));
        }
        if is_last {
            synced.cancel();
        }
    }
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
    let config = watch_config().labels(&selector);
    let mut events = pin!(reported_watch(api, config, health, "secrets"));
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let first = !synced.is_cancelled();
        let is_last = matches!(event, Event::InitDone);
        let concerned = ctx.secrets.apply_event(scope.namespace.as_deref(), event);
        if is_last {
            synced.cancel();
        }
        // The initial list arrives before the first reconciliation, which reads it from the cache.
        for tenant in concerned.into_iter().filter(|_| !first) {
            scope.queue.enqueue(tenant);
        }
    }
}

/// Keeps the labels of the namespaces up to date, and queues the Tenants that a change concerns:
/// those whose class selects namespaces by their labels.
pub(crate) async fn namespace_watch(
    ctx: Arc<Context>,
    client: Client,
    health: Health,
    writer: Writer<PartialObjectMeta<Namespace>>,
    synced: CancellationToken,
) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let mut events = pin!(
        reported_watch(api, watch_config(), health, "namespaces")
            .modify(|namespace| {
                namespace.metadata.managed_fields = None;
                namespace.metadata.annotations = None;
            })
            .reflect(writer)
    );
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        let first = !synced.is_cancelled();
        signal_synced(&event, &synced);
        match event {
            Event::Apply(namespace) => enqueue_selected(&ctx, Some(&namespace.name_any())),
            // After an interruption, any namespace may have changed.
            Event::InitDone if !first => enqueue_selected(&ctx, None),
            _ => {}
        }
    }
}

/// Queues the Tenants of a namespace, or of all, whose class selects namespaces by their labels.
fn enqueue_selected(ctx: &Context, namespace: Option<&str>) {
    let selects = |class: &Arc<TenantClass>| {
        let allowed = class.spec.allowed_namespaces.as_ref();
        allowed.is_some_and(|allowed| allowed.selector.is_some())
    };
    for class in ctx.classes.state().iter().filter(|class| selects(class)) {
        for tenant in ctx.tenants_of(&class.name_any()) {
            if namespace.is_none_or(|name| tenant.namespace().as_deref() == Some(name)) {
                ctx.enqueue(ObjectRef::from_obj(&*tenant));
            }
        }
    }
}

/// Watches API keys and migrations in the controller's own namespace, and queues the classes that
/// refer to them.
pub(crate) async fn class_source_watch(ctx: Arc<Context>, client: Client, health: Health) {
    let namespace = ctx.cluster.namespace().to_owned();
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), &namespace);
    let config_maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &namespace);
    let secrets = reported_watch(secrets, watch_config(), health.clone(), "API keys");
    let secrets = changed_names(secrets);
    let config_maps = reported_watch(config_maps, watch_config(), health, "migrations");
    let config_maps = changed_names(config_maps);
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
                    .all_config_maps()
                    .any(|config_map| config_map.name == name)
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
