//! Traces sent to an HTTP server of the test.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

use tracing::level_filters::LevelFilter;

use super::*;
use crate::settings::LogFormat;

const PROGRAM: Program = Program {
    name: "example",
    version: "1.2.3",
    targets: &[("example_crate", LevelFilter::DEBUG)],
    silenced: &[],
};

fn settings(endpoint: Option<&str>) -> TelemetrySettings {
    TelemetrySettings {
        log_format: LogFormat::Json,
        log_filter: "info".parse().expect("a filter"),
        otlp_endpoint: endpoint.map(|endpoint| Url::parse(endpoint).expect("a URL")),
        otlp_sampling_ratio: "1".parse().expect("a ratio"),
    }
}

#[test]
fn the_path_of_the_receivers_url_is_kept() {
    for (base, want) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://host/otlp/", "https://host/otlp/v1/traces"),
    ] {
        assert_eq!(traces_url(&Url::parse(base).expect("URL")), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_the_programs_own_code_are_sent_at_shutdown_and_those_of_libraries_are_not() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (sender, mut received) = mpsc::channel(4);
    let sender = Arc::new(sender);
    let app = Router::new()
        .route(
            "/v1/traces",
            post(move |body: Bytes| {
                let sender = Arc::clone(&sender);
                async move {
                    let _ = sender.send(body).await;
                }
            }),
        )
        .layer(DefaultBodyLimit::max(1 << 20));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let endpoint = format!("http://{}", listener.local_addr().expect("address"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let traces = Traces::start(&PROGRAM, &settings(Some(&endpoint)), "replica-7").expect("started");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(traces.layer()), || {
        tracing::info_span!(target: "example_crate::reconcile", "reconcile", tenant.name = "acme")
            .in_scope(|| {});
        tracing::info_span!(target: "hyper", "library_span").in_scope(|| {});
    });
    traces.flush().await;

    let body = received.recv().await.expect("one request");
    let holds = |text: &str| body.windows(text.len()).any(|w| w == text.as_bytes());
    for text in [
        "reconcile",
        "tenant.name",
        "acme",
        PROGRAM.name,
        PROGRAM.version,
        "replica-7",
    ] {
        assert!(holds(text), "{text}");
    }
    assert!(!holds("library_span"));
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_no_traces_are_made() {
    let traces = Traces::start(&PROGRAM, &settings(None), "x").expect("started");
    assert!(traces.layer::<tracing_subscriber::Registry>().is_none());
    traces.flush().await;
}
