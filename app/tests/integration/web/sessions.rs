//! Sessions: creation, validity and end.

use axum::http::StatusCode;

use super::site::Site;

#[tokio::test]
async fn signing_in_creates_a_session() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let answer = browser.sign_in("Ada").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("session="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let account = browser.get("/account").await;
    assert_eq!(account.status, StatusCode::OK);
    assert!(account.text.contains("Ada"));
    assert_eq!(account.header("cache-control"), "no-store");
    let stored: Vec<u8> = sqlx::query_scalar("SELECT token_sha256 FROM sessions")
        .fetch_one(&site.app.database)
        .await
        .unwrap();
    let token: app::identity::Token = browser.cookies["session"].parse().unwrap();
    assert_eq!(
        stored,
        token.hash().as_bytes(),
        "the table contains the hash"
    );
}

#[tokio::test]
async fn concurrent_first_sign_ins_create_one_user_and_one_workspace() {
    let site = Site::start().await;
    let (mut one, mut two, mut three) = (site.browser(), site.browser(), site.browser());
    tokio::join!(
        one.sign_in("Ada"),
        two.sign_in(" ada "),
        three.sign_in("ADA")
    );
    assert_eq!(site.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(site.count("SELECT count(*) FROM workspaces").await, 1);
    assert_eq!(site.count("SELECT count(*) FROM sessions").await, 3);
    let workspace = site.workspace_of(site.user("ada").await).await;
    let tenant = site.cluster.tenant(&Site::tenant_name(&workspace.id));
    assert!(tenant.is_some(), "its Tenant was applied");
    let home = one.get("/").await;
    assert_eq!(home.location(), format!("/w/{}", workspace.id));
}

#[tokio::test]
async fn signing_in_again_ends_the_previous_session() {
    let site = Site::start().await;
    let mut browser = site.signed_in("Ada").await;
    let mut old = browser.clone();
    // The sign-in page redirects signed-in users, so send the form with the token of the session.
    let answer = browser.post("/sign-in/local", &[("name", "Ada")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_ne!(old.cookies["session"], browser.cookies["session"]);
    assert_eq!(old.get("/account").await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let site = Site::start().await;
    let mut browser = site.signed_in("Ada").await;
    let mut thief = browser.clone();
    let answer = browser.post("/sign-out", &[]).await;
    assert_eq!(
        (answer.status, answer.location()),
        (StatusCode::SEE_OTHER, "/")
    );
    assert!(!browser.cookies.contains_key("session"));
    let answer = thief.get("/account").await;
    assert_eq!(answer.location(), "/sign-in?return_to=/account");
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_of_the_user_only() {
    let site = Site::start().await;
    let mut here = site.signed_in("Ada").await;
    let mut there = site.signed_in("Ada").await;
    let mut grace = site.signed_in("Grace").await;
    here.post("/sign-out/everywhere", &[]).await;
    assert_eq!(there.get("/account").await.status, StatusCode::SEE_OTHER);
    assert_eq!(grace.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn users_can_end_only_their_own_sessions() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    let mut phone = site.signed_in("Ada").await;
    let mut grace = site.signed_in("Grace").await;
    let page = ada.get("/account").await;
    let path = page
        .text
        .split_once("/account/sessions/")
        .and_then(|(_, rest)| rest.split_once("/end"))
        .map(|(id, _)| format!("/account/sessions/{id}/end"))
        .expect("the other session's form");
    let other_user = grace.post(&path, &[]).await;
    assert_eq!(other_user.status, StatusCode::NOT_FOUND);
    assert_eq!(phone.get("/account").await.status, StatusCode::OK);
    let own = ada.post(&path, &[]).await;
    assert_eq!(own.location(), "/account?notice=session-ended");
    assert_eq!(phone.get("/account").await.status, StatusCode::SEE_OTHER);
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_end_by_age_by_inactivity_and_when_the_account_is_deleted() {
    for change in [
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        "UPDATE sessions SET last_seen_at = now() - interval '169 hours'",
        "UPDATE users SET deleting_since = now()",
    ] {
        let site = Site::start().await;
        let mut browser = site.signed_in("Ada").await;
        assert_eq!(browser.get("/account").await.status, StatusCode::OK);
        site.execute(change).await;
        let answer = browser.get("/account").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{change}");
    }
}

#[tokio::test]
async fn requests_reset_the_idle_timeout_but_not_the_absolute_lifetime() {
    let site = Site::start().await;
    let mut browser = site.signed_in("Ada").await;
    let ends = "SELECT extract(epoch FROM max(expires_at))::bigint FROM sessions";
    let before = site.count(ends).await;
    site.execute("UPDATE sessions SET last_seen_at = now() - interval '100 hours'")
        .await;
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    let idle = "SELECT extract(epoch FROM now() - max(last_seen_at))::bigint FROM sessions";
    assert!(site.count(idle).await < 60);
    assert_eq!(site.count(ends).await, before);
}

#[tokio::test]
async fn an_account_that_is_being_deleted_cannot_sign_in() {
    let site = Site::start().await;
    site.signed_in("Ada").await;
    site.execute("UPDATE users SET deleting_since = now()")
        .await;
    let mut browser = site.browser();
    let page = browser.get("/sign-in").await;
    browser.csrf = page.token();
    let answer = browser.post("/sign-in/local", &[("name", "Ada")]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(!browser.cookies.contains_key("session"));
}

#[tokio::test]
async fn signing_in_returns_to_the_requested_page_of_this_site_only() {
    let site = Site::start().await;
    for (return_to, target) in [
        ("/account", "/account"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let mut browser = site.browser();
        let page = browser.get("/sign-in").await;
        browser.csrf = page.token();
        let fields = [("name", "Ada"), ("return_to", return_to)];
        let answer = browser.post("/sign-in/local", &fields).await;
        assert_eq!(answer.location(), target);
    }
    let mut signed_in = site.signed_in("Ada").await;
    let answer = signed_in
        .get("/sign-in?return_to=https%3A%2F%2Fevil.example")
        .await;
    assert_eq!(answer.location(), "/");
}

#[tokio::test]
async fn expired_sessions_are_deleted() {
    let site = Site::start().await;
    let _kept = site.signed_in("Ada").await;
    site.signed_in("Grace").await;
    site.execute(
        "UPDATE sessions SET expires_at = now() WHERE user_id = (SELECT id FROM users WHERE display_name = 'Grace')",
    )
    .await;
    let swept = app::identity::sessions::sweep(
        &site.app.database,
        site.app.config.sign_in.session_lifetimes(),
    )
    .await;
    assert_eq!(swept.unwrap(), 1);
    assert_eq!(site.count("SELECT count(*) FROM sessions").await, 1);
}
