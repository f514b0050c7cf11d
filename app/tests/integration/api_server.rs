//! An in-memory Kubernetes API server for the Tenants and Secrets of one namespace. It supports
//! lists, watches, apply, merge patches, deletes with UID preconditions, and outages. The
//! end-to-end tests use a real API server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use app::tenants::CALL_TIMEOUT;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use service_kit::kubernetes::{NoObserver, RequestLayer};
use tokio::sync::watch;
use tower::{BoxError, Layer as _};
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

    async fn handle(
        &self,
        request: Request<kube::client::Body>,
    ) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let path = head.uri.path().to_owned();
        let rest = path
            .split_once(&format!("/namespaces/{NAMESPACE}/"))
            .map(|(_, rest)| rest.to_owned())
            .ok_or_else(|| BoxError::from(format!("unexpected path: {path}")))?;
        let (kind, name) = match rest.split_once('/') {
            Some((kind, name)) => (kind.to_owned(), Some(name.to_owned())),
            None => (rest, None),
        };
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        {
            let mut state = self.state();
            let name = name.as_deref().unwrap_or_default();
            state
                .requests
                .push(format!("{} {kind}/{name}", head.method));
            if state.is_disconnected {
                return Err("the API server is disconnected".into());
            }
        }
        let mut changed = self.changed.subscribe();
        while self.state().is_unresponsive {
            changed.changed().await?;
        }
        if query.get("watch").is_some_and(|watch| watch == "true") {
            let from = query
                .get("resourceVersion")
                .and_then(|version| version.parse().ok());
            return Ok(Response::new(self.watch(kind, from.unwrap_or(0))));
        }
        let result = match (&head.method, name) {
            (&Method::GET, None) => Ok(self.list(&kind)),
            (method, Some(name)) => self.object_request(method, &(kind, name), &body),
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, "not supported")),
        };
        self.notify_watchers();
        Ok(match result {
            Ok(object) => response(StatusCode::OK, &object),
            Err((status, message)) => response(
                status,
                &json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
                    "reason": reason(status), "code": status.as_u16(),
                }),
            ),
        })
    }

    fn list(&self, kind: &str) -> Value {
        let state = self.state();
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|((of, _), _)| of == kind)
            .map(|(_, object)| object.clone())
            .collect();
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": state.log.len().to_string() }, "items": items })
    }

    fn object_request(
        &self,
        method: &Method,
        key: &(String, String),
        body: &Bytes,
    ) -> Result<Value, (StatusCode, &'static str)> {
        let mut state = self.state();
        let existing = state.objects.get(key).cloned();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::GET => existing.ok_or((StatusCode::NOT_FOUND, "not found")),
            Method::PATCH => {
                let uid = body["metadata"]["uid"].as_str();
                let version = body["metadata"]["resourceVersion"].as_str();
                match &existing {
                    Some(existing)
                        if version.is_some_and(|version| {
                            existing["metadata"]["resourceVersion"] != version
                        }) =>
                    {
                        return Err((StatusCode::CONFLICT, "resource version conflict"));
                    }
                    Some(existing) if uid.is_some_and(|uid| existing["metadata"]["uid"] != uid) => {
                        return Err((StatusCode::CONFLICT, "UID conflict"));
                    }
                    None if body["apiVersion"].is_null() || uid.is_some() => {
                        return Err((StatusCode::NOT_FOUND, "not found"));
                    }
                    _ => {}
                }
                let event_type = if existing.is_some() {
                    "MODIFIED"
                } else {
                    "ADDED"
                };
                let mut object = existing.unwrap_or_else(|| {
                    json!({ "metadata": { "uid": Uuid::new_v4().to_string(), "namespace": NAMESPACE } })
                });
                merge(&mut object, &body);
                Ok(put_object(&mut state, key, event_type, object))
            }
            Method::DELETE if state.rejects_deletes => {
                Err((StatusCode::FORBIDDEN, "deletes are rejected"))
            }
            Method::DELETE => {
                let existing = existing.ok_or((StatusCode::NOT_FOUND, "not found"))?;
                let uid = body["preconditions"]["uid"].as_str();
                if uid.is_some_and(|uid| existing["metadata"]["uid"] != uid) {
                    return Err((StatusCode::CONFLICT, "UID conflict"));
                }
                if state.blocks_deletes {
                    let mut deleting = existing;
                    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
                    Ok(put_object(&mut state, key, "MODIFIED", deleting))
                } else {
                    remove_object(&mut state, key);
                    Ok(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
                }
            }
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, "not supported")),
        }
    }

    fn watch(&self, kind: String, from: usize) -> Body {
        let (cluster, changed) = (self.clone(), self.changed.subscribe());
        let events = stream::unfold(
            (cluster, changed, from),
            move |(cluster, mut changed, mut at)| {
                let kind = kind.clone();
                async move {
                    loop {
                        {
                            let state = cluster.state();
                            if state.is_disconnected {
                                return None;
                            }
                            while let Some((of, event_type, object)) = state.log.get(at) {
                                at += 1;
                                if *of == kind {
                                    let line = format!(
                                        "{}\n",
                                        json!({ "type": event_type, "object": object })
                                    );
                                    drop(state);
                                    return Some((line, (cluster, changed, at)));
                                }
                            }
                        }
                        changed.changed().await.ok()?;
                    }
                }
            },
        );
        Body::from_stream(events.map(|line| Ok::<_, Infallible>(Bytes::from(line))))
    }

    fn notify_watchers(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().expect("the lock is not poisoned")
    }
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "BadRequest",
    }
}

fn response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
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

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
