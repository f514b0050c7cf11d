//! Users have no access to other users' workspaces, and always get the same response.

use anyhow::{Context as _, Result, ensure};
use app::web::router;
use app::web::shared::route::{Access, ResponseKind};
use reqwest::{Method, StatusCode};
use test_support::{Site, sample_files, timeouts};

super::tests_on![super::UNDISTURBED:
    every_workspace_route_is_hidden_from_members_of_other_workspaces,
    pages_of_a_workspace_require_a_sign_in,
    a_form_without_a_valid_csrf_token_is_rejected,
];

/// Requests every route of a workspace as a member of another one, with valid ids.
async fn every_workspace_route_is_hidden_from_members_of_other_workspaces(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.sign_up("Victim").await?;
    let document = ada
        .upload(
            &workspace,
            "voles.pdf",
            &sample_files::document_about("voles", 1),
        )
        .await?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let thread = ada.ask(&workspace, "voles?", timeouts::ANSWER).await?;
    let thread_id = thread
        .path()
        .rsplit('/')
        .next()
        .context("the path has no thread id")?
        .to_owned();
    let message = site
        .query_tenant_database(&workspace, "select max(id::text) from messages")
        .await?;
    ada.get(&format!("/w/{workspace}/members")).await?;
    ada.post(
        &format!("/w/{workspace}/members/invitations"),
        &[("role", "member")],
    )
    .await?;
    let text = |query: &'static str| {
        sqlx::query_scalar::<_, String>(query)
            .bind(&workspace)
            .fetch_one(site.database())
    };
    let invitation = text("select id::text from invitations where workspace_id = $1").await?;
    let member = text("select user_id::text from members where workspace_id = $1").await?;
    let (mallory, own) = site.sign_up("Mallory").await?;
    mallory.get(&format!("/w/{own}/documents")).await?;
    let before = snapshot(site, &workspace).await?;

    let ids = [
        ("document", document.as_str()),
        ("thread", &thread_id),
        ("message", &message),
        ("invitation", &invitation),
        ("user", &member),
        ("member", &member),
    ];
    let mut requested = 0;
    for route in router::routes() {
        if !matches!(route.policy.access, Access::Member | Access::Owner) {
            continue;
        }
        let filled = ids.iter().fold(route.path.to_owned(), |path, (name, id)| {
            path.replace(&format!("{{{name}}}"), id)
        });
        // Also combines the ids with the attacker's own workspace: an id is valid only in its
        // workspace.
        for owner in [&workspace, &own] {
            let path = filled.replace("{workspace}", owner);
            ensure!(
                !path.contains('{'),
                "{path} contains an id that this test does not know"
            );
            if owner == &own && path == route.path.replace("{workspace}", &own) {
                continue; // a page of the attacker's own workspace
            }
            let status = response_status(&mallory, &route.method, &path).await?;
            // In the attacker's own workspace, an event ends the stream of any other message.
            let is_stream = route.policy.response_kind == ResponseKind::EventStream;
            let expected = if owner == &own && is_stream {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            ensure!(
                status == expected,
                "{} {path} returned {status} to another user",
                route.method
            );
            requested += 1;
        }
    }
    ensure!(requested > 30, "only {requested} routes were requested");
    ensure!(
        snapshot(site, &workspace).await? == before,
        "another user changed the workspace"
    );
    Ok(())
}

/// The status of the response to a request whose body would be valid for a member.
async fn response_status(
    client: &local_stack::http_client::AppClient,
    method: &Method,
    path: &str,
) -> Result<StatusCode> {
    if *method == Method::GET {
        return Ok(client.fetch(method.clone(), path).await?.status());
    }
    if path.ends_with("/complete") || path.ends_with("/documents") {
        let body = serde_json::json!({
            "name": "x.pdf", "byte_count": 10, "media_type": "application/pdf",
            "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        });
        return Ok(client.post_json(path, &body).await?.0);
    }
    let fields = [
        ("title", "x"),
        ("name", "x"),
        ("question", "x"),
        ("role", "member"),
        ("confirm", "x"),
    ];
    Ok(client.post(path, &fields).await?.status())
}

/// All data that the attacker could have changed.
async fn snapshot(site: &Site, workspace: &str) -> Result<String> {
    let main: String = sqlx::query_scalar(
        "select string_agg(row::text, E'\\n' order by row::text) from (
            select to_jsonb(documents) - 'updated_at' as row from documents where workspace_id = $1
            union all select to_jsonb(members) - 'last_seen_at' from members where workspace_id = $1
            union all select to_jsonb(invitations) from invitations where workspace_id = $1
            union all select to_jsonb(workspaces) from workspaces where id = $1) as everything",
    )
    .bind(workspace)
    .fetch_one(site.database())
    .await?;
    let tenant = site
        .query_tenant_database(
            workspace,
            "select (select count(*) from chunks), (select count(*) from messages), (select count(*) from threads)",
        )
        .await?;
    Ok(format!("{main}\n{tenant}"))
}

async fn pages_of_a_workspace_require_a_sign_in(site: &Site) -> Result<()> {
    let (_, workspace) = site.sign_up("Owner").await?;
    let visitor = site.client()?;
    let page = visitor.get(&format!("/w/{workspace}/documents")).await?;
    ensure!(page.path() == "/sign-in", "{}", page.path());
    let events = visitor
        .subscribe(&format!("/w/{workspace}/documents/events"))
        .await;
    ensure!(
        events.is_err(),
        "the event stream is open without a sign-in"
    );
    Ok(())
}

async fn a_form_without_a_valid_csrf_token_is_rejected(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Forged").await?;
    let path = format!("/w/{workspace}/settings/name");
    let form = "name=forged";
    let send = |token: Option<&'static str>, origin: Option<&'static str>| {
        let mut request = ada
            .request(Method::POST, &path)
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(token) = token {
            request = request.header("x-csrf-token", token);
        }
        if let Some(origin) = origin {
            request = request
                .header("sec-fetch-site", "cross-site")
                .header("origin", origin);
        }
        request.body(form).send()
    };
    for (token, origin) in [
        (None, None),
        (Some("made-up"), None),
        (None, Some("https://evil.example")),
    ] {
        let response = send(token, origin).await?;
        ensure!(
            response.status() == StatusCode::FORBIDDEN,
            "{token:?} {origin:?}: {}",
            response.status()
        );
    }
    let forged = site
        .count("select count(*) from workspaces where name = 'forged'")
        .await?;
    ensure!(forged == 0, "the name was changed");
    Ok(())
}
