//! Tests of the responses as a client sees them.
#![expect(clippy::unwrap_used, reason = "tests fail on unexpected values")]

use openai_stub::{Config, Fault, Route, Stub};
use serde_json::{Value, json};

async fn post(stub: &Stub, path: &str, body: &Value) -> (u16, Value) {
    let response = client()
        .post(format!("{}{path}", stub.base_url()))
        .bearer_auth("key")
        .json(body)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
}

async fn stub() -> Stub {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Stub::start(Config {
        api_key: Some("key".to_owned()),
        ..Config::default()
    })
    .await
    .unwrap()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

#[tokio::test]
async fn invalid_requests_are_rejected_like_openai_does() {
    let stub = stub().await;
    for (path, body, status, code, words) in [
        (
            "/embeddings",
            json!({"input": "x"}),
            400,
            Value::Null,
            "model parameter",
        ),
        (
            "/embeddings",
            json!({"model": "m", "input": "x"}),
            404,
            json!("model_not_found"),
            "`m`",
        ),
        (
            "/embeddings",
            json!({"model": "text-embedding-3-small", "input": "x", "batch": 1}),
            400,
            Value::Null,
            "batch",
        ),
        (
            "/embeddings",
            json!({"model": "text-embedding-3-small", "input": ""}),
            400,
            Value::Null,
            "input",
        ),
        (
            "/embeddings",
            json!({"model": "text-embedding-3-small", "input": vec!["x"; 2_049]}),
            400,
            Value::Null,
            "input",
        ),
        (
            "/embeddings",
            json!({"model": "text-embedding-3-small", "input": "word ".repeat(8_000)}),
            400,
            json!("context_length_exceeded"),
            "8192",
        ),
        (
            "/embeddings",
            json!({"model": "text-embedding-3-small", "input": "x", "dimensions": 1_537}),
            400,
            Value::Null,
            "dimensions",
        ),
        (
            "/chat/completions",
            json!({"model": "gpt-4o-mini", "messages": []}),
            400,
            Value::Null,
            "messages",
        ),
        (
            "/chat/completions",
            json!({"model": "gpt-4o-mini", "messages": [{"role": "robot", "content": "x"}]}),
            400,
            Value::Null,
            "role",
        ),
        (
            "/chat/completions",
            json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "stream_options": {}}),
            400,
            Value::Null,
            "stream",
        ),
        (
            "/completions",
            json!({}),
            404,
            json!("unknadmin_url"),
            "/v1/completions",
        ),
    ] {
        let (given, answer) = post(&stub, path, &body).await;
        assert_eq!(
            (given, &answer["error"]["code"]),
            (status, &code),
            "{path} {answer}"
        );
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    let unsigned = client()
        .get(format!("{}/models", stub.base_url()))
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 401);
}

#[tokio::test]
async fn texts_that_share_words_are_similar_and_others_are_not() {
    let vector = |text| openai_stub::vector(text, 1_536);
    let question = vector("How often must the pump's filter be changed?");
    let near = cosine(
        &question,
        &vector("The filter of the pump is to be changed every 500 hours."),
    );
    let far = cosine(
        &question,
        &vector("Invoices are payable within thirty days of receipt."),
    );
    assert!(near > 0.5 && far < 0.2, "{near} {far}");
    assert_eq!(vector(""), vector("..."));
}

#[tokio::test]
async fn answers_quote_the_passages_with_citations() {
    let stub = stub().await;
    let message = "Passage [1]\n<<<f\nFrom: a, page 1\nInvoices are due.\nf>>>\n\nPassage [2]\n<<<f\nFrom: b, page 2\nIt rains. The filter is changed\nevery 500 hours.\nf>>>\n\nQuestion: When is the filter changed?";
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": message}]});
    let (_, answer) = post(&stub, "/chat/completions", &body).await;
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "The filter is changed every 500 hours. [2]"
    );
    let streamed = client()
        .post(format!("{}/chat/completions", stub.base_url()))
        .bearer_auth("key")
        .json(&json!({"model": "gpt-4o-mini", "stream": true, "messages": body["messages"]}))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let text: String = streamed
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(text, "The filter is changed every 500 hours. [2]");
    assert!(streamed.ends_with("data: [DONE]\n\n"));
    assert_eq!(stub.counts().answers, 2);
}

#[tokio::test]
async fn queued_faults_come_in_order_before_the_permanent_one() {
    let stub = stub().await;
    stub.fail_always(Route::Embeddings, Some(Fault::Status(503)));
    stub.fail_next(
        Route::Embeddings,
        Fault::RateLimited {
            retry_after: Some("7".to_owned()),
        },
    );
    stub.fail_next(Route::Embeddings, Fault::InsufficientQuota);
    let body = json!({"model": "text-embedding-3-small", "input": "x"});
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(post(&stub, "/embeddings", &body).await.0);
    }
    stub.fail_always(Route::Embeddings, None);
    statuses.push(post(&stub, "/embeddings", &body).await.0);
    assert_eq!(statuses, [429, 429, 503, 503, 200]);
    assert_eq!(
        (stub.counts().embedding_requests, stub.counts().texts),
        (5, 1)
    );
}
