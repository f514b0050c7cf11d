//! An in-memory Kubernetes API server for the Tenants and Secrets of one namespace. It supports
//! lists, watches, apply, merge patches, deletes with UID preconditions, and outages. The
//! end-to-end tests use a real API server.

mod requests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use app::tenants::CALL_TIMEOUT;
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use service_kit::kubernetes::{NoObserver, RequestLayer};
use tokio::sync::watch;
use tower::Layer as _;
use uuid::Uuid;

pub(crate) const NAMESPACE: &str = "chat-tenants";

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag is an independent failure mode"
)]
struct ServerState {
    objects: BTreeMap<(String, String), Value>,
    /// Kind, event type and object of every change. A change's index plus one is its resource
    /// version.
    log: Vec<(String, &'static str, Value)>,
    is_disconnected: bool,
    /// Requests wait until the server resumes responding.
    is_unresponsive: bool,
    rejects_deletes: bool,
    /// Deleted Tenants keep existing with a deletion timestamp until deletes are unblocked.
    blocks_deletes: bool,
    requests: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    state: Arc<Mutex<ServerState>>,
    changed: watch::Sender<u64>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let cluster = cluster.clone();
            async move { cluster.handle(request).await }
        });
        let limits = RequestLayer::new(CALL_TIMEOUT, Arc::new(NoObserver));
        Client::new(limits.layer(service), NAMESPACE)
    }

    /// Fails all further requests and ends all watches.
    pub(crate) fn disconnect(&self) {
        self.state().is_disconnected = true;
        self.notify_watchers();
    }

    pub(crate) fn reconnect(&self) {
        self.state().is_disconnected = false;
        self.notify_watchers();
    }

    /// Accepts requests without responding.
    pub(crate) fn stop_responding(&self) {
        self.state().is_unresponsive = true;
        self.notify_watchers();
    }

    pub(crate) fn resume_responding(&self) {
        self.state().is_unresponsive = false;
        self.notify_watchers();
    }

    /// Answers deletes with 403.
    pub(crate) fn reject_deletes(&self, reject: bool) {
        self.state().rejects_deletes = reject;
    }

    pub(crate) fn block_deletes(&self, block: bool) {
        let mut state = self.state();
        state.blocks_deletes = block;
        if !block {
            let deleting: Vec<_> = state
                .objects
                .iter()
                .filter(|(_, object)| object["metadata"]["deletionTimestamp"].is_string())
                .map(|(key, _)| key.clone())
                .collect();
            for key in deleting {
                remove_object(&mut state, &key);
            }
        }
        drop(state);
        self.notify_watchers();
    }

    /// Number of requests that start with this prefix, such as `PATCH tenants/`.
    pub(crate) fn requests(&self, prefix: &str) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|request| request.starts_with(prefix))
            .count()
    }

    pub(crate) fn tenant(&self, name: &str) -> Option<Value> {
        self.state()
            .objects
            .get(&("tenants".to_owned(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn tenant_count(&self) -> usize {
        let state = self.state();
        state
            .objects
            .keys()
            .filter(|(kind, _)| kind == "tenants")
            .count()
    }

    /// Creates or replaces an object, as another client would.
    pub(crate) fn put(&self, kind: &str, name: &str, mut object: Value) -> String {
        let mut state = self.state();
        let key = (kind.to_owned(), name.to_owned());
        let before = state.objects.get(&key).cloned();
        let uid = before
            .as_ref()
            .and_then(|before| before["metadata"]["uid"].as_str())
            .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!(NAMESPACE);
        object["metadata"]["uid"] = json!(uid);
        let event_type = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        put_object(&mut state, &key, event_type, object);
        drop(state);
        self.notify_watchers();
        uid
    }

    /// Removes an object, as another client would.
    pub(crate) fn remove(&self, kind: &str, name: &str) {
        remove_object(&mut self.state(), &(kind.to_owned(), name.to_owned()));
        self.notify_watchers();
    }

    /// Sets the status that the controller sets on an available Tenant.
    pub(crate) fn make_available(&self, name: &str, secret: &str, schema: i64) {
        let mut tenant = self.tenant(name).expect("a Tenant");
        let conditions = ["Available", "Ready"].map(|kind| {
            json!({
                "type": kind, "status": "True", "reason": "ReconcileSucceeded", "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            })
        });
        tenant["status"] = json!({
            "phase": "Ready",
            "conditions": conditions,
            "project": { "id": format!("project-{name}"), "region": "aws-eu-central-1", "name": name },
            "binding": { "name": secret },
            "schema": { "version": schema, "target": schema },
            "timings": { "projectMs": 500, "schemaMs": 300, "readyMs": 900 },
        });
        self.put("tenants", name, tenant);
    }

    fn notify_watchers(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().expect("the lock is not poisoned")
    }
}

fn put_object(
    state: &mut ServerState,
    key: &(String, String),
    event_type: &'static str,
    mut object: Value,
) -> Value {
    object["metadata"]["resourceVersion"] = json!((state.log.len() + 1).to_string());
    state.objects.insert(key.clone(), object.clone());
    state.log.push((key.0.clone(), event_type, object.clone()));
    object
}

fn remove_object(state: &mut ServerState, key: &(String, String)) {
    if let Some(mut object) = state.objects.remove(key) {
        object["metadata"]["resourceVersion"] = json!((state.log.len() + 1).to_string());
        state.log.push((key.0.clone(), "DELETED", object));
    }
}
