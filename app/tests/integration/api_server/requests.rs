//! The responses of the API server: objects, lists and watches.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::BoxError;
use uuid::Uuid;

use super::{Cluster, NAMESPACE, put_object, remove_object};

impl Cluster {
    pub(super) async fn handle(
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
