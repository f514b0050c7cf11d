//! Tests the API with a real HTTP client and a real PostgreSQL.

use crate::common::{TestEmulator, connect, password, uri};
use neon_client::model::{
    CreateProject, OperationStatus, ProjectEnvelope, ProjectPage, RoleOperations,
};
use neon_emulator::Latency;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

pub(crate) fn names(page: &ProjectPage) -> Vec<&str> {
    page.projects
        .iter()
        .map(|project| project.name.as_str())
        .collect()
}

#[tokio::test]
async fn a_project_is_created_with_neons_defaults_and_can_be_read() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    assert_eq!(created.project.pg_version, 18);
    assert_eq!(created.project.region_id.as_str(), "aws-us-east-2");
    assert_eq!(
        (created.branch.name.as_str(), created.branch.default),
        ("main", true)
    );
    assert_eq!(created.roles[0].name.as_str(), "neondb_owner");
    assert_eq!(created.databases[0].name.as_str(), "neondb");
    assert!(password(&created).starts_with("npg_") && password(&created).len() >= 16);
    let actions: Vec<&str> = created
        .operations
        .iter()
        .map(|operation| operation.action.as_str())
        .collect();
    assert_eq!(actions, ["create_timeline", "start_compute"]);
    assert!(
        created
            .operations
            .iter()
            .all(|operation| !operation.status.is_finished()),
        "in progress in the response that schedules them"
    );
    for operation in world.finished(&created.operations).await {
        assert_eq!(operation.status, OperationStatus::Finished);
    }

    let id = &created.project.id;
    let got: ProjectEnvelope =
        serde_json::from_value(world.get(&format!("/projects/{id}")).await).expect("a project");
    assert_eq!(got.project.name, "one");
    assert_eq!(got.project.updated_at, created.project.updated_at);
    let page: ProjectPage = serde_json::from_value(world.get("/projects").await).expect("a page");
    assert_eq!(names(&page), ["one"]);

    let branch = &created.branch.id;
    let endpoints = world.get(&format!("/projects/{id}/endpoints")).await;
    assert_eq!(endpoints["endpoints"][0]["current_state"], "active");
    assert_eq!(
        world.get(&format!("/projects/{id}/branches")).await["branches"][0]["id"],
        branch.as_str()
    );
    assert_eq!(
        world
            .get(&format!("/projects/{id}/branches/{branch}"))
            .await["branch"]["current_state"],
        "ready"
    );
    let databases = world
        .get(&format!("/projects/{id}/branches/{branch}/databases"))
        .await;
    assert_eq!(databases["databases"][0]["owner_name"], "neondb_owner");
    let roles = world
        .get(&format!("/projects/{id}/branches/{branch}/roles"))
        .await;
    assert_eq!(roles["roles"][0]["name"], "neondb_owner");
    assert_eq!(
        roles["roles"][0].get("password"),
        None,
        "a list of roles contains no passwords"
    );
    let revealed = world
        .get(&format!(
            "/projects/{id}/branches/{branch}/roles/neondb_owner/reveal_password"
        ))
        .await;
    assert_eq!(revealed["password"], password(&created).as_str());
    let path = format!("/projects/{id}/connection_uri?database_name=neondb&role_name=neondb_owner");
    assert_eq!(world.get(&path).await["uri"], uri(&created).as_str());
    let pooled = world.get(&format!("{path}&pooled=true")).await;
    assert!(
        pooled["uri"].as_str().expect("text").contains("-pooler"),
        "{pooled}"
    );

    let calls = world.emulator.calls();
    assert_eq!(
        (
            calls["createProject"],
            calls["getProject"],
            calls["listProjects"]
        ),
        (1, 1, 1)
    );
    assert_eq!(
        world.emulator.issued_passwords().await.expect("passwords"),
        [password(&created)]
    );
}

fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(
            value.get(field).is_some_and(|value| !value.is_null()),
            "{field} is missing in {value}"
        );
    }
}

#[tokio::test]
async fn every_response_contains_the_fields_that_the_openapi_document_requires() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let id = &created.project.id;
    let project = &world.get(&format!("/projects/{id}")).await["project"];
    let common = [
        "id",
        "platform_id",
        "region_id",
        "name",
        "pg_version",
        "proxy_host",
        "branch_logical_size_limit",
        "branch_logical_size_limit_bytes",
        "store_passwords",
        "cpu_used_sec",
        "provisioner",
        "creation_source",
        "created_at",
        "updated_at",
        "owner_id",
    ];
    has(project, &common);
    has(
        project,
        &[
            "consumption_period_start",
            "consumption_period_end",
            "active_time_seconds",
            "compute_time_seconds",
            "written_data_bytes",
            "data_transfer_bytes",
            "data_storage_bytes_hour",
            "history_retention_seconds",
        ],
    );
    let page = world.get("/projects").await;
    has(&page, &["projects", "applications", "integrations"]);
    has(&page["projects"][0], &common);
    has(&page["projects"][0], &["active_time"]);
    has(
        &world.get(&format!("/projects/{id}/endpoints")).await["endpoints"][0],
        &[
            "host",
            "id",
            "project_id",
            "branch_id",
            "region_id",
            "autoscaling_limit_max_cu",
            "autoscaling_limit_min_cu",
            "type",
            "current_state",
            "pooler_enabled",
            "pooler_mode",
            "disabled",
            "passwordless_access",
            "creation_source",
            "created_at",
            "updated_at",
            "settings",
            "proxy_host",
            "suspend_timeout_seconds",
            "provisioner",
        ],
    );
    has(
        &world.get(&format!("/projects/{id}/branches")).await["branches"][0],
        &[
            "id",
            "project_id",
            "name",
            "current_state",
            "state_changed_at",
            "creation_source",
            "created_at",
            "updated_at",
            "default",
            "protected",
            "cpu_used_sec",
            "active_time_seconds",
            "compute_time_seconds",
            "written_data_bytes",
            "data_transfer_bytes",
        ],
    );
    has(
        &world.get(&format!("/projects/{id}/operations")).await["operations"][0],
        &[
            "id",
            "project_id",
            "action",
            "status",
            "failures_count",
            "created_at",
            "updated_at",
            "total_duration_ms",
        ],
    );
}

#[tokio::test]
async fn invalid_requests_are_rejected_with_a_code_a_message_and_the_request_id() {
    let world = TestEmulator::start().await;
    let response = world
        .http
        .get(format!("{}/projects", world.emulator.api_url()))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let url = format!("{}/projects/no-such-1", world.emulator.api_url());
    let request = world
        .http
        .get(url)
        .bearer_auth(world.emulator.api_key())
        .header("X-Request-ID", "mine");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-request-id"], "mine");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(
        (body["request_id"].as_str(), body["code"].as_str()),
        (Some("mine"), Some("NOT_FOUND"))
    );
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|message| message.contains("project"))
    );

    for (body, status) in [
        (json!({}), 400),
        (json!({"project": {"pg_version": 9}}), 400),
        (json!({"project": {"region_id": "mars-1"}}), 422),
        (
            json!({"project": {"branch": {"database_name": "template1"}}}),
            422,
        ),
        (
            json!({"project": {"default_endpoint_settings": {"suspend_timeout_seconds": 5}}}),
            400,
        ),
    ] {
        let (got, answer) = world
            .call(Method::POST, "/projects", Some(body.clone()))
            .await;
        assert_eq!(got.as_u16(), status, "{body}: {answer}");
        assert!(
            answer["message"].is_string() && answer["request_id"].is_string(),
            "{answer}"
        );
    }
    assert_eq!(
        world.call(Method::GET, "/projects?limit=401", None).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world.call(Method::GET, "/projects?cursor=x", None).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world.call(Method::GET, "/projects/p/jwks", None).await.0,
        StatusCode::NOT_IMPLEMENTED
    );
    assert_eq!(
        world.call(Method::PUT, "/projects", None).await.0,
        StatusCode::NOT_IMPLEMENTED
    );
    assert!(world.project_names().await.is_empty());
}

#[tokio::test]
async fn a_project_is_locked_while_its_operations_run() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            start_compute_ms: 1_500,
            ..Latency::instant()
        })
    })
    .await;
    let created = world.create("busy").await;
    let path = format!("/projects/{}", created.project.id);
    let endpoint = format!("{path}/endpoints/{}", created.endpoints[0].id);
    let reset = format!(
        "{path}/branches/{}/roles/neondb_owner/reset_password",
        created.branch.id
    );
    for (method, path, body) in [
        (
            Method::PATCH,
            &path,
            Some(json!({"project": {"name": "other"}})),
        ),
        (Method::DELETE, &path, None),
        (
            Method::PATCH,
            &endpoint,
            Some(json!({"endpoint": {"suspend_timeout_seconds": 60}})),
        ),
        (Method::POST, &reset, None),
    ] {
        let (status, body) = world.call(method.clone(), path, body).await;
        assert_eq!(status, StatusCode::LOCKED, "{method} {path}: {body}");
    }
    assert_eq!(
        world.get(&endpoint).await["endpoint"]["current_state"],
        "init"
    );
    world.finished(&created.operations).await;
    assert_eq!(
        world
            .call(
                Method::PATCH,
                &path,
                Some(json!({"project": {"name": "other"}}))
            )
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(world.project_names().await, ["other"]);
}

#[tokio::test]
async fn changes_are_stored_and_update_updated_at() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let path = format!("/projects/{}", created.project.id);
    let settings =
        json!({"quota": {"active_time_seconds": 100}, "allowed_ips": {"ips": ["10.0.0.0/8"]}});
    let change = json!({"project": {"settings": settings, "history_retention_seconds": 60}});
    let (status, updated) = world.call(Method::PATCH, &path, Some(change)).await;
    assert_eq!(status, StatusCode::OK, "{updated}");
    assert_eq!(updated["operations"][0]["action"], "apply_config");
    let got = world.get(&path).await;
    assert_eq!(
        got["project"]["settings"]["quota"]["active_time_seconds"],
        100
    );
    assert_eq!(got["project"]["history_retention_seconds"], 60);
    assert!(got["project"]["updated_at"].as_str() > got["project"]["created_at"].as_str());

    let endpoint = format!("{path}/endpoints/{}", created.endpoints[0].id);
    let change =
        json!({"endpoint": {"autoscaling_limit_min_cu": 1, "autoscaling_limit_max_cu": 4}});
    let (status, updated) = world.call(Method::PATCH, &endpoint, Some(change)).await;
    assert_eq!(status, StatusCode::OK, "{updated}");
    assert_eq!(updated["endpoint"]["autoscaling_limit_max_cu"], 4);
    let after = world.get(&path).await;
    assert!(
        after["project"]["updated_at"].as_str() > got["project"]["updated_at"].as_str(),
        "{after}"
    );
    let (status, body) = world
        .call(
            Method::PATCH,
            &endpoint,
            Some(json!({"endpoint": {"autoscaling_limit_min_cu": 8}})),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}

#[tokio::test]
async fn passwords_that_are_not_stored_are_not_revealed() {
    let world = TestEmulator::start().await;
    let created = world
        .create_as(CreateProject {
            store_passwords: Some(false),
            ..CreateProject::named("one")
        })
        .await;
    let path = format!(
        "/projects/{}/branches/{}/roles/neondb_owner",
        created.project.id, created.branch.id
    );
    let (status, _) = world
        .call(Method::GET, &format!("{path}/reveal_password"), None)
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, body) = world
        .call(Method::POST, &format!("{path}/reset_password"), None)
        .await;
    assert_eq!(status, StatusCode::OK);
    let reset: RoleOperations = serde_json::from_value(body).expect("a reset");
    let new = reset
        .role
        .password
        .expect("a password")
        .expose_secret()
        .to_owned();
    assert_ne!(new, password(&created));
    world.finished(&reset.operations).await;
    assert_eq!(
        world
            .emulator
            .issued_passwords()
            .await
            .expect("passwords")
            .len(),
        2
    );
    connect(&uri(&created).replace(&password(&created), &new))
        .await
        .expect("connects with the new password");
}

#[tokio::test]
async fn the_clock_cannot_be_advanced_beyond_the_maximum() {
    let world = TestEmulator::start().await;
    let url = format!("{}/clock", world.emulator.admin_url());
    let turn = |seconds: u64| {
        let request = world.http.post(&url).bearer_auth(world.emulator.api_key());
        let request = request.json(&json!({"advance_seconds": seconds}));
        async { request.send().await.expect("an answer").status() }
    };
    assert_eq!(turn(u64::MAX).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(turn(3_600).await, StatusCode::OK);
    world.create("one").await;
}

#[tokio::test]
async fn the_response_for_an_unknown_path_names_the_api_prefix() {
    let world = TestEmulator::start().await;
    let url = format!("{}nothing", world.emulator.page_url());
    let answer = world.http.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(answer.text().await.expect("text").contains("/api/v2"));
}
