//! What the data plane's proxy says about endpoints and roles that the control plane does not know,
//! and for how long it repeats it.

use std::time::Duration;

use neon_client::model::CreatedProject;
use neon_emulator::ProxyCaches;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::common::{TestEmulator, connect, connection_error, uri};

/// The SQLSTATE for a wrong password.
const INVALID_PASSWORD: &str = "28P01";

async fn start() -> TestEmulator {
    TestEmulator::start_with(|emulator| emulator.proxy_caches(ProxyCaches::neon())).await
}

async fn advance(world: &TestEmulator, by: Duration) {
    world.emulator.advance_clock(by).await.expect("advances");
}

async fn call(world: &TestEmulator, method: Method, path: &str) {
    let (status, body) = world.call(method, path, None).await;
    assert!(status.is_success(), "{path}: {body}");
}

async fn code(uri: &str) -> String {
    connection_error(uri).await.0
}

#[tokio::test]
async fn a_deleted_endpoint_is_rejected_for_minutes_after_its_recovery() {
    let world = start().await;
    let created = world.create("one").await;
    let (uri, path) = (uri(&created), format!("/projects/{}", created.project.id));
    connect(&uri).await.expect("connects");
    call(&world, Method::DELETE, &path).await;
    let (code_of_unknown, message) = connection_error(&uri).await;
    assert_eq!(code_of_unknown, INVALID_PASSWORD);
    assert!(
        message.contains("password authentication failed for user 'neondb_owner'"),
        "{message}"
    );
    call(&world, Method::POST, &format!("{path}/recover")).await;
    assert_eq!(code(&uri).await, INVALID_PASSWORD);
    advance(&world, Duration::from_mins(4)).await;
    connect(&uri).await.expect("connects");
}

/// The connection string with another role and password.
fn as_role(created: &CreatedProject, role: &str, password: &str) -> String {
    let mut uri: url::Url = uri(created).parse().expect("a URI");
    uri.set_username(role).expect("a user");
    uri.set_password(Some(password)).expect("a password");
    uri.into()
}

#[tokio::test]
async fn an_unknown_role_is_remembered_without_affecting_other_roles() {
    let world = start().await;
    let created = world.create("one").await;
    assert_eq!(code(&as_role(&created, "app", "x")).await, INVALID_PASSWORD);
    let path = format!(
        "/projects/{}/branches/{}/roles",
        created.project.id, created.branch.id
    );
    let role = json!({"role": {"name": "app"}});
    let (status, body) = world.call(Method::POST, &path, Some(role)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let password = body["role"]["password"].as_str().expect("a password");
    let app = as_role(&created, "app", password);
    assert_eq!(code(&app).await, INVALID_PASSWORD);
    connect(&uri(&created)).await.expect("the owner connects");
    advance(&world, Duration::from_mins(4)).await;
    connect(&app).await.expect("connects");
}

#[tokio::test]
async fn an_error_of_the_control_plane_is_repeated_for_half_a_minute() {
    let world = start().await;
    let created = world.create("one").await;
    let fault = "data-plane:control-plane-fails:times=1";
    world.emulator.faults().add(fault.parse().expect("a fault"));
    for _ in 0..2 {
        let (_, message) = connection_error(&uri(&created)).await;
        assert_eq!(message, "Control plane request failed");
    }
    advance(&world, Duration::from_secs(30)).await;
    connect(&uri(&created)).await.expect("connects");
}

#[tokio::test]
async fn an_enabled_endpoint_stays_disabled_for_the_proxy_for_half_a_minute() {
    let world = start().await;
    let created = world.create("one").await;
    let path = format!(
        "/projects/{}/endpoints/{}",
        created.project.id, created.endpoints[0].id
    );
    let set = async |disabled: bool| {
        let body = json!({"endpoint": {"disabled": disabled}});
        let (status, body) = world.call(Method::PATCH, &path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    };
    set(true).await;
    let (_, message) = connection_error(&uri(&created)).await;
    assert!(message.contains("endpoint has been disabled"), "{message}");
    set(false).await;
    let (_, message) = connection_error(&uri(&created)).await;
    assert!(message.contains("endpoint has been disabled"), "{message}");
    advance(&world, Duration::from_secs(30)).await;
    connect(&uri(&created)).await.expect("connects");
}

#[tokio::test]
async fn an_endpoint_that_the_proxy_does_not_know_yet_looks_like_a_wrong_password() {
    let world = start().await;
    let created = world.create("one").await;
    let fault = "data-plane:unknown-endpoint:times=1";
    world.emulator.faults().add(fault.parse().expect("a fault"));
    for _ in 0..2 {
        assert_eq!(code(&uri(&created)).await, INVALID_PASSWORD);
    }
    advance(&world, Duration::from_mins(4)).await;
    connect(&uri(&created)).await.expect("connects");
}
