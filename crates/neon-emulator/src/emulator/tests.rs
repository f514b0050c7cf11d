use std::time::Duration;

use neon_client::model::CreateProject;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Emulator, SeededProject};
use crate::store::CONTROL_CONNECTIONS_MAX;
use local_servers::postgres::Server;

/// Maximum duration of a call in these tests, shorter than the timeout for acquiring a connection
/// to the state database.
const SOON: Duration = Duration::from_secs(8);

async fn call(emulator: &Emulator, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(SOON).build().unwrap();
    let url = format!("{}{path}", emulator.api_url());
    let request = http
        .request(method, url)
        .bearer_auth(emulator.api_key())
        .json(&body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

async fn seeded(emulator: &Emulator) -> SeededProject {
    let template = CreateProject::default();
    let seeded = emulator.seed_projects(&template, ["one".to_owned()]);
    seeded.await.unwrap().remove(0)
}

#[tokio::test]
async fn no_call_acquires_a_second_state_connection_while_it_holds_one() {
    let server = Server::builder().start().await.unwrap();
    let emulator = Emulator::builder().postgres(server.uri()).start();
    let emulator = emulator.await.unwrap();
    let project = seeded(&emulator).await.id;
    let mut held = Vec::new();
    for _ in 1..CONTROL_CONNECTIONS_MAX {
        held.push(emulator.api.store.begin().await.unwrap());
    }
    let branches = format!("/projects/{project}/branches");
    let (status, made) = call(&emulator, Method::POST, &branches, json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let branch = format!("{branches}/{}", made["branch"]["id"].as_str().unwrap());
    for (method, path, body, expected) in [
        (
            Method::POST,
            "/roles",
            json!({"role": {"name": "second"}}),
            StatusCode::CREATED,
        ),
        (
            Method::POST,
            "/databases",
            json!({"database": {"name": "second", "owner_name": "second"}}),
            StatusCode::CREATED,
        ),
        (
            Method::PATCH,
            "/databases/second",
            json!({"database": {"name": "third"}}),
            StatusCode::OK,
        ),
        (
            Method::DELETE,
            "/databases/third",
            json!({}),
            StatusCode::OK,
        ),
        (
            Method::POST,
            "/roles/second/reset_password",
            json!({}),
            StatusCode::OK,
        ),
        (Method::DELETE, "/roles/second", json!({}), StatusCode::OK),
        (
            Method::PATCH,
            "",
            json!({"branch": {"name": "renamed"}}),
            StatusCode::OK,
        ),
        (Method::DELETE, "", json!({}), StatusCode::OK),
        (Method::POST, "/recover", json!({}), StatusCode::OK),
    ] {
        let (status, answer) =
            call(&emulator, method.clone(), &format!("{branch}{path}"), body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    drop(held);
    emulator.shutdown().await;
}

#[tokio::test]
async fn reading_a_branch_does_not_wait_for_databases_being_created() {
    let server = Server::builder().start().await.unwrap();
    let emulator = Emulator::builder().postgres(server.uri()).start();
    let emulator = emulator.await.unwrap();
    let seeded = seeded(&emulator).await;
    let connect = <sqlx::PgConnection as sqlx::Connection>::connect(&seeded.uri);
    connect.await.unwrap();
    let mut held = Vec::new();
    for _ in 0..crate::provision::PROVISIONING_MAX {
        held.push(emulator.api.provisioner.acquire().await.unwrap());
    }
    let path = format!("/projects/{}/branches", seeded.id);
    let (status, answer) = call(&emulator, Method::GET, &path, json!(null)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let id = answer["branches"][0]["id"].as_str().unwrap();
    let (status, answer) = call(&emulator, Method::GET, &format!("{path}/{id}"), json!(null)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    drop(held);
    emulator.shutdown().await;
}
