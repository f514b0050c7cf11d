//! Rate limits: every operation is limited, and `neon-client` copes with it.

use std::time::Duration;

use crate::common::TestEmulator;
use neon_client::model::CreateProject;
use neon_client::{ErrorKind, Neon};
use neon_emulator::faults::Fault;
use neon_emulator::{Limits, RateLimits};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// The deadline of a client that gives up before the `Retry-After` time.
const IMPATIENT: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_hours(1);

fn client(world: &TestEmulator, deadline: Duration) -> Neon {
    Neon::builder()
        .api_key(world.emulator.api_key().to_owned().into())
        .base_url(world.emulator.api_url().parse().expect("a URL"))
        .call_timeout(deadline)
        .build()
        .expect("a client")
}

fn arm(world: &TestEmulator, spec: &str) {
    let fault: Fault = spec.parse().expect("a fault");
    world.emulator.faults().add(fault).expect("armed");
}

#[tokio::test]
async fn an_exhausted_account_limit_rejects_every_operation_with_retry_after() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let project = format!("/projects/{}", created.project.id);
    arm(&world, "account:429:for=3600000");
    for (method, path) in [
        (Method::GET, "/projects".to_owned()),
        (Method::POST, "/projects".to_owned()),
        (Method::GET, project.clone()),
        (Method::DELETE, project.clone()),
        (Method::GET, format!("{project}/operations")),
        (
            Method::GET,
            format!("{project}/operations/{}", created.operations[0].id),
        ),
        (Method::GET, "/users/me".to_owned()),
        (Method::GET, "/api_keys".to_owned()),
    ] {
        let body = (method == Method::POST).then(|| json!({"project": {}}));
        let response = world.try_call(method.clone(), &path, body).await;
        let response = response.expect("an answer");
        assert_eq!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS,
            "{method} {path}"
        );
        let wait = response.headers()["retry-after"].to_str().expect("text");
        let wait: u32 = wait.parse().expect("seconds");
        assert!((3_000..=3_600).contains(&wait), "{wait}");
    }
    assert_eq!(
        world.project_names().await,
        ["one"],
        "no call was processed"
    );
    let neon = client(&world, IMPATIENT);
    let error = neon.users().me().send().await.expect_err("rejected");
    assert!(
        matches!(error.kind(), ErrorKind::RateLimited { .. }),
        "{error:?}"
    );
    world.emulator.advance_clock(HOUR).await.expect("turns");
    world.get("/projects").await;
}

#[tokio::test]
async fn the_client_retries_until_the_limit_ends() {
    let world = TestEmulator::start().await;
    arm(&world, "account:429:times=2:retry-after=0");
    let neon = client(&world, HOUR);
    let created = neon.projects().create(CreateProject::named("one")).send();
    created.await.expect("created after retries");
    assert_eq!(world.project_names().await, ["one"]);
    assert_eq!(world.emulator.calls()["createProject"], 3);
}

#[tokio::test]
async fn an_account_limit_can_allow_some_calls_per_minute() {
    let world = TestEmulator::start().await;
    arm(&world, "account:429:per-minute=2");
    let list = || async { world.call(Method::GET, "/projects", None).await.0 };
    assert_eq!(list().await, StatusCode::OK);
    assert_eq!(
        world.call(Method::GET, "/regions", None).await.0,
        StatusCode::OK
    );
    assert_eq!(list().await, StatusCode::TOO_MANY_REQUESTS);
    world
        .emulator
        .advance_clock(Duration::from_mins(1))
        .await
        .expect("turns");
    assert_eq!(list().await, StatusCode::OK);
}

#[tokio::test]
async fn neons_rate_limits_can_be_configured() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.limits(Limits {
            rate: RateLimits {
                account_per_minute: Some(3),
                ..RateLimits::neon()
            },
            ..Limits::default()
        })
    })
    .await;
    for _ in 0..3 {
        world.get("/projects").await;
    }
    let response = world.try_call(Method::GET, "/users/me", None).await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait = response.headers()["retry-after"].to_str().expect("text");
    let wait: u32 = wait.parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let neon = client(&world, IMPATIENT);
    let error = neon.users().me().send().await.expect_err("rejected");
    assert!(
        matches!(error.kind(), ErrorKind::RateLimited { .. }),
        "{error:?}"
    );
    world
        .emulator
        .advance_clock(Duration::from_mins(1))
        .await
        .expect("turns");
    world.get("/projects").await;
}

#[tokio::test]
async fn faults_that_are_invalid_for_the_account_route_are_rejected() {
    let world = TestEmulator::start().await;
    for (body, status, words) in [
        (
            json!({"spec": "account:429:times=1"}),
            StatusCode::CREATED,
            "id",
        ),
        (
            json!({"spec": "account:503"}),
            StatusCode::BAD_REQUEST,
            "the only effect for the route account is 429",
        ),
        (
            json!({"route": "account", "effect": {"kind": "html524"}}),
            StatusCode::BAD_REQUEST,
            "the only effect for the route account is 429",
        ),
        (
            json!({"route": "account", "effect": {"kind": "account-limited"}, "project": "still-lake-00000001"}),
            StatusCode::BAD_REQUEST,
            "the route account applies to all projects",
        ),
        (
            json!({"route": "*", "effect": {"kind": "account-limited"}}),
            StatusCode::BAD_REQUEST,
            "an account limit requires the route account",
        ),
        (
            json!({"route": "*", "effect": {"kind": "refuse-connections"}}),
            StatusCode::BAD_REQUEST,
            "applies to connections and requires the route data-plane",
        ),
    ] {
        let url = format!("{}/faults", world.emulator.admin_url());
        let request = world.http.post(url).bearer_auth(world.emulator.api_key());
        let response = request.json(&body).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{body}");
        let text = response.text().await.expect("text");
        assert!(text.contains(words), "{body}: {text}");
    }
}
