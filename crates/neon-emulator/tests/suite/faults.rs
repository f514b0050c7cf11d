//! Tests faults with a real HTTP client: the response, the work that is done, and the timing.

use std::time::{Duration, Instant};

use crate::common::{TestEmulator, until};
use neon_client::model::{CreatedProject, OperationStatus};
use neon_emulator::faults::Fault;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn fault(spec: &str) -> Fault {
    spec.parse().expect("a fault")
}

async fn create(world: &TestEmulator) -> reqwest::Result<reqwest::Response> {
    world
        .try_call(
            Method::POST,
            "/projects",
            Some(json!({"project": {"name": "one"}})),
        )
        .await
}

#[tokio::test]
async fn status_faults_respond_without_processing_the_call() {
    let world = TestEmulator::start().await;
    for (spec, status, retry_after) in [
        ("createProject:429:retry-after=3:times=1", 429, Some("3")),
        ("createProject:429:times=1", 429, None),
        ("createProject:423:times=1", 423, None),
        ("*:503:times=1", 503, None),
    ] {
        world.emulator.faults().clear();
        world.emulator.faults().add(fault(spec));
        let response = create(&world).await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{spec}");
        assert_eq!(
            response
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().expect("text")),
            retry_after,
            "{spec}"
        );
        let body: Value = response.json().await.expect("JSON");
        assert!(
            body["message"].is_string() && body["code"].is_string(),
            "{body}"
        );
    }
    world
        .emulator
        .faults()
        .add(fault("createProject:524-html:times=1"));
    let response = create(&world).await.expect("an answer");
    assert_eq!(response.status().as_u16(), 524);
    assert!(
        response.headers()["content-type"]
            .to_str()
            .expect("text")
            .starts_with("text/html")
    );
    assert!(response.text().await.expect("text").contains("<html>"));
    assert!(world.project_names().await.is_empty());
    assert_eq!(
        create(&world).await.expect("an answer").status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_response_can_be_lost_after_the_call_was_processed() {
    let world = TestEmulator::start().await;
    world
        .emulator
        .faults()
        .add(fault("createProject:answer-lost:times=1"));
    let error = create(&world).await.expect_err("no answer");
    assert!(
        !error.is_timeout() && !error.is_connect(),
        "dropped after the request was sent: {error:?}"
    );
    assert_eq!(world.project_names().await, ["one"]);
}

#[tokio::test]
async fn a_call_can_be_processed_after_the_connection_was_dropped() {
    let world = TestEmulator::start().await;
    world
        .emulator
        .faults()
        .add(fault("createProject:work-late:ms=400:times=1"));
    let before = Instant::now();
    create(&world).await.expect_err("no answer");
    assert!(
        before.elapsed() < Duration::from_millis(400),
        "dropped immediately"
    );
    assert!(world.project_names().await.is_empty());
    until("the late work", || async {
        world.project_names().await == ["one"]
    })
    .await;
    assert!(before.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_call_can_be_delayed() {
    let world = TestEmulator::start().await;
    world
        .emulator
        .faults()
        .add(fault("listProjects:delay:ms=300"));
    let before = Instant::now();
    world.get("/projects").await;
    assert!(before.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn operations_can_fail_temporarily_or_permanently() {
    let world = TestEmulator::start().await;
    world.emulator.faults().add(fault(
        "createProject:operation-fails:ms=60000:error=no room:times=1",
    ));
    let body: CreatedProject = create(&world)
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a project");
    let path = format!("/projects/{}", body.project.id);
    let operation = &world.get(&format!("{path}/operations")).await["operations"][0];
    assert_eq!(
        (operation["action"].as_str(), operation["status"].as_str()),
        (Some("start_compute"), Some("failed"))
    );
    assert_eq!(
        (
            operation["error"].as_str(),
            operation["failures_count"].as_i64()
        ),
        (Some("no room"), Some(1))
    );
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.0,
        StatusCode::LOCKED,
        "the operation will be retried"
    );

    world
        .emulator
        .faults()
        .add(fault("*:operation-errors:error=gone:times=1"));
    let body: CreatedProject = create(&world)
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a project");
    let operations = world.finished(&body.operations).await;
    let last = operations.last().expect("operations");
    assert_eq!(
        (&last.status, last.error.as_deref()),
        (&OperationStatus::Error, Some("gone"))
    );
    let (status, _) = world
        .call(
            Method::DELETE,
            &format!("/projects/{}", body.project.id),
            None,
        )
        .await;
    assert_eq!(status, StatusCode::OK, "no operation is running");
}

#[tokio::test]
async fn a_password_reset_whose_operation_fails_keeps_the_old_password() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    world
        .emulator
        .faults()
        .add(fault("resetProjectBranchRolePassword:operation-errors"));
    let path = format!(
        "/projects/{}/branches/{}/roles/neondb_owner/reset_password",
        created.project.id, created.branch.id
    );
    assert_eq!(
        world.call(Method::POST, &path, None).await.0,
        StatusCode::OK
    );
    crate::common::connect(&crate::common::uri(&created))
        .await
        .expect("the old password is still valid");
}

#[tokio::test]
async fn a_list_can_contain_unavailable_projects() {
    let world = TestEmulator::start().await;
    let (one, two) = (world.create("one").await, world.create("two").await);
    world.emulator.faults().add(fault(&format!(
        "listProjects:unavailable:project={}:times=1",
        two.project.id
    )));
    let page = world.get("/projects").await;
    assert_eq!(page["unavailable_project_ids"], json!([two.project.id]));
    assert_eq!(page["projects"].as_array().map(Vec::len), Some(1));
    world
        .emulator
        .faults()
        .add(fault("listProjects:unavailable:first=1:times=1"));
    assert_eq!(
        world.get("/projects").await["unavailable_project_ids"],
        json!([one.project.id])
    );
    assert_eq!(
        world.get("/projects").await["projects"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn an_update_can_succeed_without_changing_a_setting() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    world.finished(&created.operations).await;
    let project = format!("/projects/{}", created.project.id);
    let endpoint = format!("{project}/endpoints/{}", created.endpoints[0].id);
    for (route, path, update) in [
        (
            "updateProject",
            &project,
            json!({"project": {"name": "two", "settings": {"quota": {"active_time_seconds": 7}}}}),
        ),
        (
            "updateProjectEndpoint",
            &endpoint,
            json!({"endpoint": {"autoscaling_limit_max_cu": 4, "disabled": true}}),
        ),
    ] {
        let object = update.as_object().and_then(|update| update.keys().next());
        let object = object.expect("an object").clone();
        let comparable = |body: Value| {
            ["name", "settings", "autoscaling_limit_max_cu", "disabled"]
                .map(|field| body[&object][field].clone())
        };
        let before = comparable(world.get(path).await);
        let spec = format!("{route}:settings-ignored:times=1");
        world.emulator.faults().add(fault(&spec));
        let (status, ignored) = world.call(Method::PATCH, path, Some(update.clone())).await;
        assert_eq!(status, StatusCode::OK, "{ignored}");
        assert_eq!(comparable(ignored), before, "{route}");
        let (status, applied) = world.call(Method::PATCH, path, Some(update)).await;
        assert_eq!(status, StatusCode::OK, "{applied}");
        assert_ne!(comparable(applied), before, "{route}");
    }
}

#[tokio::test]
async fn faults_can_be_armed_listed_and_removed_over_http() {
    let world = TestEmulator::start().await;
    let url = format!("{}/faults", world.emulator.admin_url());
    let ask = |method: Method, url: String, body: Option<Value>| {
        let mut request = world
            .http
            .request(method, url)
            .bearer_auth(world.emulator.api_key());
        if let Some(body) = body {
            request = request.json(&body);
        }
        async move { request.send().await.expect("an answer") }
    };
    let response = world.http.get(&url).send().await.expect("an answer");
    assert_eq!(
        response.status(),
        StatusCode::UNAUTHORIZED,
        "the API key is required"
    );

    let line = json!({"spec": "getProject:503"});
    let added: Value = ask(Method::POST, url.clone(), Some(line))
        .await
        .json()
        .await
        .expect("JSON");
    let object =
        json!({"route": "createProject", "effect": {"kind": "status", "status": 500}, "times": 1});
    assert_eq!(
        ask(Method::POST, url.clone(), Some(object)).await.status(),
        StatusCode::CREATED
    );
    let unknown = json!({"spec": "makeProject:503"});
    assert_eq!(
        ask(Method::POST, url.clone(), Some(unknown)).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        create(&world).await.expect("an answer").status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );

    let listed: Value = ask(Method::GET, url.clone(), None)
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        listed["faults"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    assert_eq!(listed["faults"][1]["triggered"], 1, "{listed}");
    let one = format!("{url}/{}", added["id"]);
    assert_eq!(
        ask(Method::DELETE, one.clone(), None).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        ask(Method::DELETE, one, None).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask(Method::DELETE, url.clone(), None).await.status(),
        StatusCode::NO_CONTENT
    );
    assert!(world.emulator.faults().list().is_empty());
}
