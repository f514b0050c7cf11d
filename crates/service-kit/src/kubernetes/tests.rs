//! Requests to a stub of the API server.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::request::verb_and_resource;
use super::*;

#[test]
fn requests_have_the_verb_and_resource_that_kubernetes_uses() {
    let tenant = "/apis/dbpertenant.dev/v1alpha1/namespaces/a/tenants/x";
    let tenants = "/apis/dbpertenant.dev/v1alpha1/tenants";
    for (method, path, content_type, expected) in [
        (
            "GET",
            "/api/v1/namespaces/kube-system",
            "",
            ("get", "namespaces"),
        ),
        (
            "GET",
            &format!("{tenants}?limit=500"),
            "",
            ("list", "tenants"),
        ),
        (
            "GET",
            &format!("{tenants}?limit=500&watch=true"),
            "",
            ("watch", "tenants"),
        ),
        ("GET", tenant, "", ("get", "tenants")),
        (
            "PATCH",
            &format!("{tenant}/status?fieldManager=x"),
            "application/apply-patch+yaml",
            ("apply", "tenants/status"),
        ),
        (
            "PATCH",
            tenant,
            "application/merge-patch+json",
            ("patch", "tenants"),
        ),
        (
            "DELETE",
            "/api/v1/namespaces/a/secrets/s",
            "",
            ("delete", "secrets"),
        ),
        (
            "POST",
            "/apis/events.k8s.io/v1/namespaces/a/events",
            "",
            ("create", "events"),
        ),
        (
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
            "",
            ("update", "leases"),
        ),
        ("GET", "/version", "", ("get", "other")),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(())
            .expect("request");
        let (verb, resource) = verb_and_resource(&request);
        assert_eq!((verb, resource.as_str()), expected, "{method} {path}");
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

const PROGRAM: Program = Program {
    name: "test-program",
    version: "1.2.3",
    targets: &[],
    silenced: &[],
};

/// Collects the requests as `<verb> <resource> <outcome>`.
#[derive(Default)]
struct Requests(Mutex<Vec<String>>);

impl RequestObserver for Requests {
    fn request(&self, verb: &'static str, resource: &str, outcome: RequestOutcome, _: Duration) {
        let outcome = outcome.as_str();
        self.0.lock().push(format!("{verb} {resource} {outcome}"));
    }
}

fn client_for(address: SocketAddr, timeout: Duration) -> (Client, Arc<Requests>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Config::new(format!("http://{address}").parse().expect("URL"));
    let requests = Arc::<Requests>::default();
    let client = client(cluster, &PROGRAM, timeout, requests.clone()).expect("client");
    (client, requests)
}

const CONFIG_MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}"#;

#[tokio::test]
async fn responses_are_returned_and_counted() {
    let path = "/api/v1/namespaces/a/configmaps/m";
    let router = Router::new().route(
        path,
        get(|headers: http::HeaderMap| async move {
            assert_eq!(headers["user-agent"], "test-program/1.2.3");
            CONFIG_MAP
        }),
    );
    let (client, requests) = client_for(serve(router).await, Duration::from_secs(10));
    let api: Api<ConfigMap> = Api::namespaced(client, "a");
    assert_eq!(
        api.get("m").await.expect("found").metadata.name.as_deref(),
        Some("m")
    );
    let error = api.get("n").await.expect_err("missing");
    assert!(matches!(error, kube::Error::Api(_)), "{error:?}");
    assert_eq!(
        *requests.0.lock(),
        ["get configmaps success", "get configmaps not_found"]
    );
}

#[tokio::test]
async fn a_response_that_does_not_end_times_out() {
    let router = Router::new().fallback(|| async {
        let start = futures::stream::once(async { Ok::<_, std::convert::Infallible>("{") });
        axum::body::Body::from_stream(futures::StreamExt::chain(start, futures::stream::pending()))
    });
    let (client, requests) = client_for(serve(router).await, Duration::from_millis(200));
    let api: Api<ConfigMap> = Api::namespaced(client, "a");
    let error = api.get("m").await.expect_err("timed out");
    assert_eq!(
        describe_error(&error),
        "no response to get configmaps within 200ms"
    );
    assert_eq!(*requests.0.lock(), ["get configmaps timed_out"]);
}

#[tokio::test]
async fn a_refused_connection_is_described_with_its_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let (client, requests) = client_for(address, Duration::from_secs(10));
    let error = client
        .apiserver_version()
        .await
        .expect_err("the port is closed");
    let message = describe_error(&error);
    assert!(
        message.to_lowercase().contains("connection refused"),
        "{message}"
    );
    assert_eq!(*requests.0.lock(), ["get other unreachable"]);
}
