//! The dashboard at `/`: its contents and its access control.

use std::net::Ipv4Addr;

use neon_client::model::CreateProject;
use neon_emulator::Latency;
use neon_emulator::faults::Fault;
use reqwest::header::{CONTENT_SECURITY_POLICY, HOST};
use reqwest::{Method, Response, StatusCode};

use crate::common::{TestEmulator, connect, password, uri};

async fn get(world: &TestEmulator, path: &str) -> Response {
    let url = world.emulator.page_url();
    let request = world
        .http
        .get(format!("{}{path}", url.trim_end_matches('/')));
    request.send().await.expect("an answer")
}

async fn page(world: &TestEmulator) -> String {
    let response = get(world, "/").await;
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.expect("a page")
}

#[tokio::test]
async fn an_empty_emulator_shows_how_to_create_the_first_project() {
    let world = TestEmulator::start().await;
    let page = page(&world).await;
    for words in [
        "No projects yet.",
        &format!("{}/projects", world.emulator.api_url()),
        "$NEON_API_KEY",
        "No requests yet.",
        "No faults are armed.",
    ] {
        assert!(
            page.contains(words),
            "the page does not contain {words:?}: {page}"
        );
    }
    assert!(!page.contains(world.emulator.api_key()));
}

#[tokio::test]
async fn projects_computes_operations_requests_and_faults_are_shown() {
    let world = TestEmulator::start().await;
    let created = world.create("shown here").await;
    let fault: Fault = "getProject:503:times=1".parse().expect("a fault");
    world.emulator.faults().add(fault);
    let path = format!("/projects/{}", created.project.id);
    assert_eq!(world.call(Method::GET, &path, None).await.0, 503);
    let page = page(&world).await;
    for words in [
        "shown here",
        created.project.id.as_str(),
        created.endpoints[0].id.as_str(),
        "start_compute",
        "createProject",
        "201",
        "getProject",
        "503",
        "fault 503",
        "getProject:503:times=1",
    ] {
        assert!(
            page.contains(words),
            "the page does not contain {words:?}: {page}"
        );
    }
    let parts = get(&world, "/_page/parts")
        .await
        .text()
        .await
        .expect("parts");
    assert!(parts.contains("shown here") && !parts.contains("<html"));
}

#[tokio::test]
async fn a_request_whose_connection_was_dropped_is_shown_as_such() {
    let world = TestEmulator::start().await;
    let fault: Fault = "listProjects:answer-lost".parse().expect("a fault");
    world.emulator.faults().add(fault);
    assert!(
        world
            .try_call(Method::GET, "/projects", None)
            .await
            .is_err()
    );
    let page = page(&world).await;
    assert!(page.contains(">dropped</span>") && page.contains("fault answer-lost"));
}

fn figure(page: &str, name: &str) -> String {
    let value = page.split(&format!("<dt>{name}</dt><dd>")).nth(1);
    let value = value.and_then(|rest| rest.split('<').next());
    value.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn totals_include_what_is_not_shown() {
    const PROJECTS: usize = 52;
    let latency = Latency {
        create_timeline_ms: 3_600_000,
        ..Latency::instant()
    };
    let world = TestEmulator::start_with(|emulator| emulator.latency(latency)).await;
    let names = (0..PROJECTS).map(|number| format!("seeded {number}"));
    let template = CreateProject::default();
    let seeded = world.emulator.seed_projects(&template, names);
    let seeded = seeded.await.expect("projects");
    let oldest = connect(&seeded[0].uri).await.expect("connects");
    for number in 0..11 {
        world.create(&format!("made {number}")).await;
    }
    let page = page(&world).await;
    assert_eq!(figure(&page, "Projects"), "63");
    assert_eq!(figure(&page, "Connections"), "1");
    assert_eq!(figure(&page, "Running operations"), "22");
    assert!(
        !figure(&page, "Active computes (shown)").is_empty(),
        "{page}"
    );
    drop(oldest);
}

#[tokio::test]
async fn an_emulator_that_listens_on_all_addresses_reports_a_connectable_one() {
    let everywhere = (Ipv4Addr::UNSPECIFIED, 0).into();
    let world = TestEmulator::start_with(|emulator| emulator.api_listen(everywhere)).await;
    assert!(
        world.emulator.api_url().starts_with("http://127.0.0.1:"),
        "{}",
        world.emulator.api_url()
    );
    let request = world.http.get(world.emulator.page_url());
    let request = request.basic_auth("anybody", Some(world.emulator.api_key()));
    let response = request.send().await.expect("an answer");
    let page = response.text().await.expect("a page");
    assert!(page.contains(&world.emulator.api_url()), "{page}");
    assert!(!page.contains("0.0.0.0"), "{page}");
}

#[tokio::test]
async fn names_are_escaped() {
    let world = TestEmulator::start().await;
    let name = "<script>alert('one')</script>\"'&";
    world.create(name).await;
    let page = page(&world).await;
    assert!(page.contains("&lt;script&gt;alert('one')&lt;/script&gt;&quot;'&amp;"));
    assert!(!page.contains("<script>"));
}

#[tokio::test]
async fn the_page_contains_no_secrets() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    connect(&uri(&created)).await.expect("connects");
    let path = format!(
        "/projects/{}/branches/{}/roles/neondb_owner/reveal_password",
        created.project.id, created.branch.id
    );
    world.get(&path).await;
    let secret = password(&created);
    // The same applies to secrets that a client sent by mistake.
    world
        .call(
            Method::GET,
            &format!("/no-such-route/{secret}?key={secret}"),
            None,
        )
        .await;
    world
        .call(Method::GET, &format!("/projects/{secret}"), None)
        .await;
    let mut shown = String::new();
    for path in ["/", "/_page/parts", "/_page/script.js", "/_page/style.css"] {
        shown += &get(&world, path).await.text().await.expect("text");
    }
    assert!(shown.contains("getProjectBranchRolePassword"));
    for secret in [secret.as_str(), world.emulator.api_key(), "postgresql://"] {
        assert!(!shown.contains(secret), "{secret} is on the page");
    }
}

#[tokio::test]
async fn requests_for_a_foreign_host_name_require_a_key() {
    let world = TestEmulator::start().await;
    world.create("hidden").await;
    let ask = |path: &str, key: Option<&str>| {
        let url = format!("{}{path}", world.emulator.page_url());
        let mut request = world.http.get(url).header(HOST, "rebound.example.test");
        if let Some(key) = key {
            request = request.basic_auth("anybody", Some(key));
        }
        async { request.send().await.expect("an answer") }
    };
    for path in ["", "_page/parts"] {
        for key in [None, Some("wrong")] {
            let response = ask(path, key).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
            assert!(!response.text().await.expect("text").contains("hidden"));
        }
        let response = ask(path, Some(world.emulator.api_key())).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(response.text().await.expect("text").contains("hidden"));
    }
}

#[tokio::test]
async fn the_content_security_policy_allows_only_the_pages_own_files() {
    let world = TestEmulator::start().await;
    let response = get(&world, "/").await;
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    assert_eq!(
        response.headers()["cross-origin-resource-policy"],
        "same-origin"
    );
    let page = response.text().await.expect("a page");
    assert!(!page.contains(" style=") && !page.contains(" onclick="));
    for path in ["/_page/script.js", "/_page/style.css"] {
        assert!(page.contains(path));
        assert_eq!(get(&world, path).await.status(), StatusCode::OK);
    }
}
