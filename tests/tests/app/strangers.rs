//! What strangers get: nothing, and always the same.

use anyhow::{Context as _, Result, ensure};
use app::web::router;
use app::web::shared::route::Access;
use reqwest::{Method, StatusCode};
use tests::{Site, files, limits};

super::tests_on![super::QUIET:
    every_route_of_the_table_is_closed_to_strangers,
    nobody_gets_a_page_of_a_workspace_without_signing_in,
    a_form_without_the_token_of_the_session_changes_nothing,
];

/// A member of another workspace, with every id that there is.
async fn every_route_of_the_table_is_closed_to_strangers(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Victim").await?;
    let document = ada
        .upload(&workspace, "voles.pdf", &files::about("voles", 1))
        .await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let thread = ada.ask(&workspace, "voles?", limits::ANSWER).await?;
    let thread_id = thread
        .path()
        .rsplit('/')
        .next()
        .context("no thread")?
        .to_owned();
    let message = site
        .in_tenant(&workspace, "select max(id::text) from messages")
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
    let (mallory, own) = site.newcomer("Mallory").await?;
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
    let mut tried = 0;
    for route in router::routes() {
        if !matches!(route.policy.access, Access::Member | Access::Owner) {
            continue;
        }
        let filled = ids.iter().fold(route.path.to_owned(), |path, (name, id)| {
            path.replace(&format!("{{{name}}}"), id)
        });
        // Her own ids under the stranger's workspace too: an id counts within its workspace alone.
        for whose in [&workspace, &own] {
            let path = filled.replace("{workspace}", whose);
            ensure!(
                !path.contains('{'),
                "{path}: an id that this test does not know"
            );
            if whose == &own && path == route.path.replace("{workspace}", &own) {
                continue; // the stranger's own page
            }
            let status = status(&mallory, &route.method, &path).await?;
            ensure!(
                status == StatusCode::NOT_FOUND,
                "{} {path} answers {status} to a stranger",
                route.method
            );
            tried += 1;
        }
    }
    ensure!(tried > 30, "only {tried} routes were tried");
    ensure!(
        snapshot(site, &workspace).await? == before,
        "a stranger changed something"
    );
    Ok(())
}

/// What a request is answered, with a body that would do if the ids did.
async fn status(
    visitor: &xtask::visitor::Visitor,
    method: &Method,
    path: &str,
) -> Result<StatusCode> {
    if *method == Method::GET {
        return Ok(visitor.answer(method.clone(), path).await?.status());
    }
    if path.ends_with("/complete") || path.ends_with("/documents") {
        let body = serde_json::json!({
            "name": "x.pdf", "byte_count": 10, "media_type": "application/pdf",
            "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        });
        return Ok(visitor.fetch(path, &body).await?.0);
    }
    let fields = [
        ("title", "x"),
        ("name", "x"),
        ("question", "x"),
        ("role", "member"),
        ("confirm", "x"),
    ];
    Ok(visitor.post(path, &fields).await?.status())
}

/// Everything that a stranger could have changed.
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
        .in_tenant(
            workspace,
            "select (select count(*) from chunks), (select count(*) from messages), (select count(*) from threads)",
        )
        .await?;
    Ok(format!("{main}\n{tenant}"))
}

async fn nobody_gets_a_page_of_a_workspace_without_signing_in(site: &Site) -> Result<()> {
    let (_, workspace) = site.newcomer("Owner").await?;
    let stranger = site.visitor()?;
    let page = stranger.get(&format!("/w/{workspace}/documents")).await?;
    ensure!(page.path() == "/sign-in", "{}", page.path());
    let events = stranger
        .events(&format!("/w/{workspace}/documents/events"))
        .await;
    ensure!(events.is_err(), "a stranger listens");
    Ok(())
}

async fn a_form_without_the_token_of_the_session_changes_nothing(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Forged").await?;
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
        let answer = send(token, origin).await?;
        ensure!(
            answer.status() == StatusCode::FORBIDDEN,
            "{token:?} {origin:?}: {}",
            answer.status()
        );
    }
    let forged = site
        .count("select count(*) from workspaces where name = 'forged'")
        .await?;
    ensure!(forged == 0, "the name was changed");
    Ok(())
}
