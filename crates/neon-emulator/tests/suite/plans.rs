//! What the plans refuse, with the statuses and messages that users of the service published.

use neon_emulator::{Limits, Plan};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::TestEmulator;

async fn start(plan: Plan) -> TestEmulator {
    let limits = Limits {
        plan,
        ..Limits::default()
    };
    TestEmulator::start_with(|emulator| emulator.limits(limits)).await
}

async fn status(world: &TestEmulator, method: Method, path: &str, body: Value) -> u16 {
    world.call(method, path, Some(body)).await.0.as_u16()
}

#[tokio::test]
async fn free_refuses_every_suspend_timeout_and_creates_nothing() {
    let world = start(Plan::Free).await;
    for seconds in [0, -1, 60, 300] {
        let body =
            json!({"project": {"default_endpoint_settings": {"suspend_timeout_seconds": seconds}}});
        let (status, body) = world.call(Method::POST, "/projects", Some(body)).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{seconds}: {body}");
        assert_eq!(
            body["message"],
            "modifying the suspend interval is not permitted on this account"
        );
        assert_eq!(body["code"], "");
    }
    assert!(world.project_names().await.is_empty());

    let created = world.create("one").await;
    let endpoint = format!(
        "/projects/{}/endpoints/{}",
        created.project.id, created.endpoints[0].id
    );
    world.finished(&created.operations).await;
    let in_effect = json!({"endpoint": {"suspend_timeout_seconds": created.endpoints[0].suspend_timeout_seconds}});
    assert_eq!(
        status(&world, Method::PATCH, &endpoint, in_effect).await,
        412
    );
    let branch = json!({"endpoints": [{"type": "read_write", "suspend_timeout_seconds": 300}]});
    let path = format!("/projects/{}/branches", created.project.id);
    assert_eq!(status(&world, Method::POST, &path, branch).await, 412);
    let size = json!({"endpoint": {"autoscaling_limit_max_cu": 1}});
    assert_eq!(status(&world, Method::PATCH, &endpoint, size).await, 200);
}

#[tokio::test]
async fn launch_only_switches_suspension_off_and_on() {
    let world = start(Plan::Launch).await;
    let project = |seconds: i64| json!({"project": {"default_endpoint_settings": {"suspend_timeout_seconds": seconds}}});
    for (seconds, expected) in [(-1, 201), (0, 201), (300, 412), (60, 412)] {
        assert_eq!(
            status(&world, Method::POST, "/projects", project(seconds)).await,
            expected,
            "{seconds}"
        );
    }
}

#[tokio::test]
async fn each_plan_has_its_own_maximum_history_size_and_features() {
    for (plan, history, max_cu, allowed_ips) in [
        (Plan::Free, 21_600, 2, false),
        (Plan::Launch, 604_800, 16, false),
        (Plan::Scale, 2_592_000, 56, true),
    ] {
        let world = start(plan).await;
        let created = world.create("one").await;
        let retention = created.project.history_retention_seconds;
        assert!(
            retention.is_some_and(|seconds| seconds <= history),
            "{plan}"
        );
        let fixed = |size: u32| json!({"project": {"default_endpoint_settings": {"autoscaling_limit_min_cu": size, "autoscaling_limit_max_cu": size}}});
        let history_of = |seconds: u32| json!({"project": {"history_retention_seconds": seconds}});
        let ips = json!({"project": {"settings": {"allowed_ips": {"ips": ["10.0.0.0/8"]}}}});
        for (body, allowed) in [
            (history_of(history), true),
            (history_of(history + 1), false),
            (fixed(max_cu), true),
            (fixed(max_cu + 2), false),
            (ips, allowed_ips),
        ] {
            let expected = if allowed { 201..202 } else { 400..423 };
            let got = status(&world, Method::POST, "/projects", body.clone()).await;
            assert!(expected.contains(&got), "{plan}: {got} for {body}");
        }
        let me = world.get("/users/me").await;
        assert!(
            me["plan"]
                .as_str()
                .is_some_and(|name| name.starts_with(plan.as_str())),
            "{me}"
        );
    }
}

#[tokio::test]
async fn a_history_above_the_maximum_names_both_values() {
    let world = start(Plan::Free).await;
    let body = json!({"project": {"history_retention_seconds": 86_400}});
    let (status, body) = world.call(Method::POST, "/projects", Some(body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["message"],
        "requested history retention seconds exceeds allowed maximum; \
         requested_history_retention_seconds:\"86400\", max:\"21600\""
    );
}

#[tokio::test]
async fn free_has_no_protected_branches_and_scale_has_five() {
    let world = start(Plan::Free).await;
    let project = world.create("one").await.project.id;
    let path = format!("/projects/{project}/branches");
    let protected = || json!({"branch": {"protected": true}});
    let (status, body) = world.call(Method::POST, &path, Some(protected())).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (422, Some("BRANCHES_PROTECTED_LIMIT_EXCEEDED"))
    );

    let world = start(Plan::Scale).await;
    let project = world.create("one").await.project.id;
    let path = format!("/projects/{project}/branches");
    for _ in 0..5 {
        let (status, body) = world.call(Method::POST, &path, Some(protected())).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    let (status, _) = world.call(Method::POST, &path, Some(protected())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_free_account_has_at_most_100_projects() {
    let world = start(Plan::Free).await;
    let names = json!({"names": (0..100).map(|i| format!("seeded {i}")).collect::<Vec<_>>()});
    let url = format!("{}/projects", world.emulator.admin_url());
    let seeded = world
        .http
        .post(url)
        .bearer_auth(world.emulator.api_key())
        .json(&names)
        .send()
        .await
        .expect("an answer");
    assert_eq!(seeded.status(), StatusCode::CREATED);
    let (status, body) = world
        .call(Method::POST, "/projects", Some(json!({"project": {}})))
        .await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (422, Some("PROJECTS_LIMIT_EXCEEDED"))
    );
}

#[tokio::test]
async fn an_organization_has_its_own_plan_which_outlives_a_restart() {
    const KEY: &str = "napi_blue";
    let world = TestEmulator::start_with(|emulator| {
        let blue = format!("{KEY}@org-blue-1");
        emulator.api_keys([neon_emulator::DEFAULT_API_KEY, &blue])
    })
    .await;
    let create = async |key: &str| {
        let body = json!({"project": {"history_retention_seconds": 86_400}});
        let url = format!("{}/projects", world.emulator.api_url());
        let request = world.http.post(url).bearer_auth(key).json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(create(KEY).await, 201);
    let url = format!("{}/plans", world.emulator.admin_url());
    let plan = |name: &str| {
        let body = json!({"org_id": "org-blue-1", "plan": name});
        world.http.post(&url).bearer_auth(KEY).json(&body).send()
    };
    let unknown = plan("gold").await.expect("an answer");
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    let changed = plan("free").await.expect("an answer");
    let changed: Value = changed.json().await.expect("JSON");
    assert_eq!(
        changed,
        json!({"account": "scale", "organizations": [{"org_id": "org-blue-1", "plan": "free"}]})
    );
    assert_eq!(create(KEY).await, 400);
    assert_eq!(create(neon_emulator::DEFAULT_API_KEY).await, 201);

    let world = world.restart().await;
    let organization = world.get("/organizations/org-blue-1").await;
    assert_eq!(organization["plan"], "free_v3");
    assert_eq!(world.get("/users/me").await["plan"], "scale_v3");
}

#[tokio::test]
async fn the_key_of_an_organization_reads_the_plan_of_its_organization_only() {
    let world = TestEmulator::start_with(|emulator| {
        let limits = Limits {
            plan: Plan::Free,
            ..Limits::default()
        };
        emulator
            .limits(limits)
            .api_keys(["napi_a", "napi_b@org-blue-1"])
    })
    .await;
    let get = async |key: &str, path: &str| {
        let url = format!("{}{path}", world.emulator.api_url());
        let response = world.http.get(url).bearer_auth(key).send().await;
        let response = response.expect("a response");
        let status = response.status();
        (status, response.json::<Value>().await.expect("JSON"))
    };
    let (status, organization) = get("napi_b", "/organizations/org-blue-1").await;
    assert_eq!(status, StatusCode::OK, "{organization}");
    assert_eq!(organization["plan"], "free_v3");
    let (status, _) = get("napi_b", "/organizations/org-red-2").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = get("napi_b", "/users/me").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, user) = get("napi_a", "/users/me").await;
    assert_eq!(status, StatusCode::OK, "{user}");
    assert_eq!(user["projects_limit"], 100);
}
