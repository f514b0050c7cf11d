//! In-memory state of the watches. Reads make no API call, so they also work during an outage of
//! the API server.
//!
//! Tenants are kept as [`TenantView`]s behind an `Arc`. Of Secrets only the resource version is
//! kept, to detect changes. Subscribers to a Tenant receive its newest view; entries of dropped
//! subscribers are removed at the Tenant's next change or at the next subscription.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, stream};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::view::{TenantName, TenantView};

/// Objects of one kind, by name. While a list is in progress, the previous objects stay visible.
#[derive(Debug)]
struct ObjectStore<K, V> {
    current: HashMap<K, V>,
    listing: HashMap<K, V>,
}

impl<K, V> Default for ObjectStore<K, V> {
    fn default() -> Self {
        Self {
            current: HashMap::new(),
            listing: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: PartialEq + Clone> ObjectStore<K, V> {
    /// Applies a watch event and returns the names of the objects that may have changed.
    fn apply(&mut self, event: Event<(K, V)>) -> Vec<K> {
        match event {
            Event::Apply((name, value)) => {
                if self.current.get(&name) == Some(&value) {
                    return Vec::new();
                }
                self.current.insert(name.clone(), value);
                vec![name]
            }
            Event::Delete((name, _)) => {
                self.current.remove(&name);
                vec![name]
            }
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply((name, value)) => {
                // Share unchanged values instead of keeping two copies while the list is in
                // progress.
                let value = match self.current.get(&name) {
                    Some(current) if *current == value => current.clone(),
                    _ => value,
                };
                self.listing.insert(name, value);
                Vec::new()
            }
            Event::InitDone => {
                let before =
                    std::mem::replace(&mut self.current, std::mem::take(&mut self.listing));
                let lost = before
                    .iter()
                    .filter(|(name, value)| self.current.get(*name) != Some(*value));
                let gained = self
                    .current
                    .iter()
                    .filter(|(name, _)| !before.contains_key(*name));
                lost.chain(gained).map(|(name, _)| name.clone()).collect()
            }
        }
    }
}

type ChangeSender = watch::Sender<Option<Arc<TenantView>>>;

#[derive(Debug, Default)]
struct CacheState {
    tenants: ObjectStore<TenantName, Arc<TenantView>>,
    secrets: ObjectStore<Box<str>, Box<str>>,
    subscribers: HashMap<TenantName, ChangeSender>,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    state: Mutex<CacheState>,
}

impl Cache {
    pub(super) fn tenant(&self, name: &TenantName) -> Option<Arc<TenantView>> {
        self.state.lock().tenants.current.get(name).cloned()
    }

    pub(super) fn tenants(&self) -> Vec<Arc<TenantView>> {
        self.state
            .lock()
            .tenants
            .current
            .values()
            .cloned()
            .collect()
    }

    pub(super) fn tenant_count(&self) -> usize {
        self.state.lock().tenants.current.len()
    }

    pub(super) fn secret_version(&self, name: &str) -> Option<Box<str>> {
        self.state.lock().secrets.current.get(name).cloned()
    }

    pub(super) fn apply_tenant_event(&self, event: Event<TenantView>) {
        let event = map(event, |view| (view.name.clone(), Arc::new(view)));
        let mut state = self.state.lock();
        for name in state.tenants.apply(event) {
            let now = state.tenants.current.get(&name).cloned();
            let Some(sender) = state.subscribers.get(&name) else {
                continue;
            };
            if sender.send(now).is_err() {
                // All subscribers are gone.
                state.subscribers.remove(&name);
            }
        }
    }

    pub(super) fn apply_secret_event(&self, event: Event<(Box<str>, Box<str>)>) {
        self.state.lock().secrets.apply(event);
    }

    /// The Tenant's current state, followed by every change. A slow subscriber may miss
    /// intermediate versions, but always gets the newest.
    pub(super) fn subscribe(
        &self,
        name: &TenantName,
    ) -> impl Stream<Item = Option<Arc<TenantView>>> + Send + use<> {
        let receiver = {
            let mut state = self.state.lock();
            let now = state.tenants.current.get(name).cloned();
            // Subscribers may leave without another change of their Tenant, so clean up here as
            // well.
            state
                .subscribers
                .retain(|_, sender| sender.receiver_count() > 0);
            state
                .subscribers
                .entry(name.clone())
                .or_insert_with(|| watch::Sender::new(now))
                .subscribe()
        };
        stream::unfold((receiver, true), |(mut receiver, is_first)| async move {
            if !is_first {
                receiver.changed().await.ok()?;
            }
            let now = receiver.borrow_and_update().clone();
            Some((now, (receiver, false)))
        })
    }
}

/// Converts the event's object.
pub(super) fn map<T, N>(event: Event<T>, take: impl FnOnce(T) -> N) -> Event<N> {
    match event {
        Event::Apply(object) => Event::Apply(take(object)),
        Event::Delete(object) => Event::Delete(take(object)),
        Event::InitApply(object) => Event::InitApply(take(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};

    fn view(name: &str, uid: &str) -> TenantView {
        let mut tenant = crds::Tenant::new(name, crds::TenantSpec::default());
        tenant.metadata.uid = Some(uid.to_owned());
        TenantView::of(tenant)
    }

    fn uid(cache: &Cache, name: &str) -> Option<Box<str>> {
        cache.tenant(&name.into()).map(|view| view.uid.clone())
    }

    #[test]
    fn previous_objects_stay_visible_while_a_list_is_in_progress() {
        let cache = Cache::default();
        cache.apply_tenant_event(Event::Init);
        cache.apply_tenant_event(Event::InitApply(view("a", "1")));
        cache.apply_tenant_event(Event::InitDone);
        cache.apply_tenant_event(Event::Init);
        cache.apply_tenant_event(Event::InitApply(view("b", "2")));
        assert_eq!(uid(&cache, "a").as_deref(), Some("1"));
        cache.apply_tenant_event(Event::InitDone);
        assert_eq!(
            uid(&cache, "a"),
            None,
            "it was absent when the list was made"
        );
        assert_eq!(uid(&cache, "b").as_deref(), Some("2"));
    }

    #[test]
    fn an_interrupted_list_leaves_no_objects_behind() {
        let cache = Cache::default();
        cache.apply_tenant_event(Event::Init);
        cache.apply_tenant_event(Event::InitApply(view("a", "1")));
        cache.apply_tenant_event(Event::Init);
        cache.apply_tenant_event(Event::InitDone);
        assert_eq!(cache.tenant_count(), 0);
    }

    #[tokio::test]
    async fn a_subscriber_receives_creation_and_deletion() {
        let cache = Cache::default();
        let mut changes = Box::pin(cache.subscribe(&"a".into()));
        assert_eq!(changes.next().await, Some(None));
        cache.apply_tenant_event(Event::Apply(view("a", "1")));
        let observed = changes.next().await.flatten().map(|view| view.uid.clone());
        assert_eq!(observed.as_deref(), Some("1"));
        cache.apply_tenant_event(Event::Apply(view("a", "1")));
        assert!(changes.next().now_or_never().is_none(), "nothing changed");
        cache.apply_tenant_event(Event::Init);
        cache.apply_tenant_event(Event::InitDone);
        assert_eq!(
            changes.next().await,
            Some(None),
            "it is absent from the list"
        );
    }

    #[tokio::test]
    async fn dropped_subscribers_are_removed() {
        let cache = Cache::default();
        for name in ["a", "b", "c"] {
            drop(cache.subscribe(&name.into()));
        }
        let _subscriber = cache.subscribe(&"d".into());
        assert_eq!(cache.state.lock().subscribers.len(), 1);
        cache.apply_tenant_event(Event::Apply(view("d", "1")));
        assert_eq!(cache.state.lock().subscribers.len(), 1);
    }

    #[test]
    fn secrets_are_tracked_by_version() {
        let cache = Cache::default();
        cache.apply_secret_event(Event::Apply(("s".into(), "5".into())));
        assert_eq!(cache.secret_version("s").as_deref(), Some("5"));
        cache.apply_secret_event(Event::Delete(("s".into(), "6".into())));
        assert_eq!(cache.secret_version("s"), None);
    }

    /// A Tenant as the controller leaves it after provisioning.
    fn typical(number: usize) -> crds::Tenant {
        let condition = |kind: &str| {
            serde_json::json!({
                "type": kind, "status": "True", "reason": "ReconcileSucceeded", "observedGeneration": 1,
                "message": "the project is up to date", "lastTransitionTime": "2026-01-02T03:04:05Z",
            })
        };
        let kinds = [
            "Ready",
            "Available",
            "ProjectReady",
            "SchemaReady",
            "CredentialsReady",
        ];
        let id = format!("quiet-river-{number:08}");
        let name = format!("ws-{number:012}");
        serde_json::from_value(serde_json::json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant",
            "metadata": {
                "name": name, "namespace": "tenants", "uid": format!("5b0e5a53-7a0b-4f0f-9f0a-{number:012}"),
                "labels": { "chat.dbpertenant.dev/workspace": format!("{number:012}") },
            },
            "spec": { "className": "default", "displayName": "A workspace" },
            "status": {
                "conditions": kinds.map(condition), "phase": "Ready",
                "project": { "id": id, "region": "aws-eu-central-1", "name": name },
                "connection": {
                    "host": format!("ep-{id}.eu-central-1.aws.neon.tech"),
                    "pooledHost": format!("ep-{id}-pooler.eu-central-1.aws.neon.tech"),
                    "port": 5432, "database": "neondb", "role": "neondb_owner", "sslMode": "require",
                },
                "binding": { "name": format!("{name}-connection") },
                "schema": { "version": 2, "target": 2 },
                "timings": { "projectMs": 612, "schemaMs": 301, "readyMs": 941 },
            },
        }))
        .expect("a Tenant")
    }

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: usize = statm
            .split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .expect("a number");
        pages * 4096
    }

    #[test]
    #[ignore = "measures the whole process's memory: run it alone"]
    fn ten_thousand_tenants_and_their_secrets_take_a_few_megabytes() {
        const TENANTS: usize = 10_000;
        let cache = Cache::default();
        let before = resident_bytes();
        cache.apply_tenant_event(Event::Init);
        for number in 0..TENANTS {
            cache.apply_tenant_event(Event::InitApply(TenantView::of(typical(number))));
            let secret = format!("ws-{number:012}-connection");
            cache.apply_secret_event(Event::Apply((secret.into(), "123456789".into())));
        }
        cache.apply_tenant_event(Event::InitDone);
        let bytes = resident_bytes() - before;
        // Last measured at 1,200 bytes per Tenant.
        assert!(
            bytes / TENANTS < 2_000,
            "{} bytes per Tenant",
            bytes / TENANTS
        );
        assert_eq!(cache.tenant_count(), TENANTS);
    }
}
