//! The state: recovery and purging of projects, restarts, large accounts, and outages of PostgreSQL.

use crate::api::names;
use crate::common::{TestEmulator, connect, connection_error, password, uri};
use local_servers::postgres::Server;
use neon_client::model::{CreateProject, ProjectPage, RecoveredProject};
use neon_emulator::{Emulator, Latency, Limits};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_deleted_project_can_be_recovered_until_it_is_purged() {
    let world = TestEmulator::start().await;
    let created = world.create("gone").await;
    let path = format!("/projects/{}", created.project.id);
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.0,
        StatusCode::OK
    );
    assert_eq!(
        world.call(Method::GET, &path, None).await.0,
        StatusCode::NOT_FOUND
    );
    let page: ProjectPage = serde_json::from_value(world.get("/projects").await).expect("a page");
    assert!(page.projects.is_empty());
    let page: ProjectPage =
        serde_json::from_value(world.get("/projects?recoverable=true").await).expect("a page");
    assert_eq!(names(&page), ["gone"]);
    assert!(page.projects[0].deleted_at.is_some() && page.projects[0].recoverable_until.is_some());

    let (status, body) = world
        .call(Method::POST, &format!("{path}/recover"), None)
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let recovered: RecoveredProject = serde_json::from_value(body).expect("a recovered project");
    assert_eq!(recovered.branches[0].id, created.branch.id);
    assert_eq!(world.call(Method::GET, &path, None).await.0, StatusCode::OK);
    assert_eq!(
        world
            .call(Method::POST, &format!("{path}/recover"), None)
            .await
            .0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_unrecoverable_project_is_purged_with_its_database_and_role() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.limits(Limits {
            recoverable_seconds: 0,
            ..Limits::default()
        })
    })
    .await;
    let created = world.create("gone").await;
    connect(&uri(&created)).await.expect("connects");
    let mut admin = connect(world.postgres.uri()).await.expect("connects");
    let count = "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'db_' || $1 || '%')
                 + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role_' || $1 || '%')";
    let branch = created.branch.id.as_str();
    let both: i64 = sqlx::query_scalar(count)
        .bind(branch)
        .fetch_one(&mut admin)
        .await
        .expect("counts");
    assert_eq!(
        both, 2,
        "the first connection created a database and a role"
    );
    let path = format!("/projects/{}", created.project.id);
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.0,
        StatusCode::OK
    );
    assert_eq!(world.emulator.purge().await.expect("purges"), 1);
    let left: i64 = sqlx::query_scalar(count)
        .bind(branch)
        .fetch_one(&mut admin)
        .await
        .expect("counts");
    assert_eq!(left, 0);
    assert!(world.project_names().await.is_empty());
    assert_eq!(
        world
            .call(Method::POST, &format!("{path}/recover"), None)
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.emulator.issued_passwords().await.expect("passwords"),
        [password(&created)]
    );
}

#[tokio::test]
async fn creating_a_project_above_the_limit_fails_with_its_own_code() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.limits(Limits {
            projects: Some(1),
            ..Limits::default()
        })
    })
    .await;
    let created = world.create("one").await;
    let (status, body) = world
        .call(Method::POST, "/projects", Some(json!({"project": {}})))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["code"], "PROJECTS_LIMIT_EXCEEDED");
    world
        .call(
            Method::DELETE,
            &format!("/projects/{}", created.project.id),
            None,
        )
        .await;
    world.create("two").await;
}

#[tokio::test]
async fn a_restart_keeps_the_state() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            apply_config_ms: 60_000,
            ..Latency::instant()
        })
    })
    .await;
    let created = world.create("kept").await;
    let ca = world.emulator.ca_pem().to_owned();
    let path = format!("/projects/{}", created.project.id);
    let settings = json!({"project": {"settings": {"quota": {"active_time_seconds": 100}}}});
    assert_eq!(
        world.call(Method::PATCH, &path, Some(settings)).await.0,
        StatusCode::OK
    );
    let before = world.get(&path).await;

    let world = world.restart().await;
    assert_eq!(
        world.emulator.ca_pem(),
        ca,
        "clients do not have to trust another CA"
    );
    let mut after = world.get(&path).await;
    for moving in [
        "active_time_seconds",
        "compute_time_seconds",
        "cpu_used_sec",
    ] {
        let used = |body: &Value| body["project"][moving].as_i64();
        assert!(used(&after) >= used(&before), "{moving}: {after}");
        after["project"][moving] = before["project"][moving].clone();
    }
    assert_eq!(after, before);
    let operations = world.get(&format!("{path}/operations")).await;
    assert_eq!(
        operations["operations"][0]["status"], "running",
        "{operations}"
    );
    let (status, _) = world.call(Method::DELETE, &path, None).await;
    assert_eq!(
        status,
        StatusCode::LOCKED,
        "the lock of the running operation is kept"
    );
    let uri = world
        .get(&format!(
            "{path}/connection_uri?database_name=neondb&role_name=neondb_owner"
        ))
        .await;
    connect(uri["uri"].as_str().expect("text"))
        .await
        .expect("connects");
}

#[tokio::test]
async fn ten_thousand_projects_are_listed_in_pages_without_gaps() {
    let world = TestEmulator::start().await;
    let names = (0..10_000).map(|number| format!("seed-{number:05}"));
    let seeded = world
        .emulator
        .seed_projects(&CreateProject::default(), names)
        .await
        .expect("seeds");
    assert_eq!(seeded.len(), 10_000);
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let path = cursor.map_or_else(
            || "/projects?limit=400".to_owned(),
            |at| format!("/projects?limit=400&cursor={at}"),
        );
        let page: ProjectPage = serde_json::from_value(world.get(&path).await).expect("a page");
        seen.extend(page.projects.iter().map(|project| project.name.clone()));
        match page.pagination {
            Some(next) if !page.projects.is_empty() => cursor = Some(next.cursor),
            _ => break,
        }
    }
    let expected: Vec<String> = (0..10_000)
        .map(|number| format!("seed-{number:05}"))
        .collect();
    assert_eq!(seen, expected);
    let found: ProjectPage =
        serde_json::from_value(world.get("/projects?search=SEED-0999&limit=20").await)
            .expect("a page");
    assert_eq!(found.projects.len(), 10);

    let one = &seeded[4_321];
    assert_eq!(one.name, "seed-04321");
    let got = world.get(&format!("/projects/{}", one.id)).await;
    assert_eq!(got["project"]["updated_at"], one.updated_at.to_string());
    connect(&one.uri)
        .await
        .expect("a seeded project can be connected to");
}

#[tokio::test]
async fn an_emulator_without_a_key_does_not_start() {
    let world = TestEmulator::start().await;
    let none: [String; 0] = [];
    let emulator = Emulator::builder()
        .postgres(world.postgres.uri())
        .api_keys(none);
    assert!(emulator.start().await.is_err());
}

#[tokio::test]
async fn calls_fail_with_a_retryable_error_while_postgres_is_down_and_succeed_afterwards() {
    let folder = crate::common::folder_for_all();
    let data = folder.path().join("pg");
    let postgres = Server::builder()
        .data_dir(&data)
        .start()
        .await
        .expect("starts");
    let port = postgres.port();
    let world = TestEmulator::start().await;
    let emulator = Emulator::builder()
        .postgres(postgres.uri())
        .start()
        .await
        .expect("starts");
    let world = TestEmulator { emulator, ..world };
    let created = world.create("kept").await;
    connect(&uri(&created)).await.expect("connects");

    postgres.stop().await;
    let (status, body) = world
        .call(
            Method::POST,
            "/projects",
            Some(json!({"project": {"name": "not created"}})),
        )
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(
        world.call(Method::GET, "/projects", None).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(connection_error(&uri(&created)).await.0, "57P03");

    let _again = Server::builder()
        .data_dir(&data)
        .port(port)
        .start()
        .await
        .expect("starts again");
    assert_eq!(world.project_names().await, ["kept"]);
    connect(&uri(&created)).await.expect("connects again");
}

#[tokio::test]
async fn deleting_a_deleted_project_succeeds_with_empty_fields_until_it_is_purged() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let path = format!("/projects/{}", created.project.id);
    let delete = async || world.call(Method::DELETE, &path, None).await;
    let (status, body) = delete().await;
    assert_eq!(
        (status, body["project"]["name"].as_str()),
        (StatusCode::OK, Some("one"))
    );
    let (status, body) = delete().await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["project"]["id"], created.project.id.as_str());
    assert_eq!(body["project"]["name"], "");
    // The client does not depend on the fields.
    let neon = neon_client::Neon::builder()
        .api_key(world.emulator.api_key().to_owned().into())
        .base_url(world.emulator.api_url().parse().expect("a URL"))
        .build()
        .expect("a client");
    let again = neon.projects().delete(&created.project.id).send().await;
    again.expect("deletes");

    let week = std::time::Duration::from_hours(8 * 24);
    world.emulator.advance_clock(week).await.expect("advances");
    assert_eq!(delete().await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_project_with_a_protected_branch_is_not_deleted() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let path = format!("/projects/{}", created.project.id);
    let branch = format!("{path}/branches/{}", created.branch.id);
    let protect = async |protected: bool| {
        let body = json!({"branch": {"protected": protected}});
        let (status, body) = world.call(Method::PATCH, &branch, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    };
    protect(true).await;
    let (status, body) = world.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let message = body["message"].as_str().expect("a message");
    assert!(message.contains("branch is still protected"), "{message}");
    protect(false).await;
    let (status, body) = world.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}
