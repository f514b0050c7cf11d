//! Who sees a conversation, and what becomes of a deleted one.

use std::time::Duration;

use app::ask::threads::{self, PurgeConversations};
use app::ids::ThreadId;
use app::jobs::Job as _;
use app::web::router::routes;
use app::web::shared::route::{ResponseKind, Route};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::StreamExt as _;
use openai_stub::Fault;
use tokio::time::timeout;

use super::page_fixture::{PageFixture, QUESTION};
use crate::browser::{Answer, Browser};
use crate::fixture::TIMEOUT;

/// The delay between two pieces of an answer, so that it is pending when its page opens.
const PIECE: Duration = Duration::from_millis(150);

/// The routes of one conversation.
fn routes_of_threads() -> Vec<Route> {
    let all = routes().into_iter();
    all.filter(|route| route.path.contains("{thread}"))
        .collect()
}

/// Sends a request to the route for this answer, such as `/w/1/chat/2/messages/3`.
async fn send(browser: &mut Browser, route: &Route, answer: &str) -> Answer {
    let ids: Vec<&str> = answer.split('/').collect();
    let path = route
        .path
        .replace("{workspace}", ids[2])
        .replace("{thread}", ids[4])
        .replace("{message}", ids[6]);
    if route.method == Method::GET {
        browser.get(&path).await
    } else {
        let fields = [("title", "Mine"), ("rating", "good")];
        browser.post(&path, &fields).await
    }
}

/// Sends a request to the route for this answer, and asserts that the response is the same as for a
/// conversation that does not exist.
async fn assert_not_found(browser: &mut Browser, route: &Route, answer: &str) {
    let found = send(browser, route, answer).await;
    if route.policy.response_kind != ResponseKind::EventStream {
        assert_eq!(found.status, StatusCode::NOT_FOUND, "{route:?}");
        return;
    }
    let thread = answer.split('/').nth(4).expect("a thread");
    let nowhere = answer.replace(thread, &ThreadId::random().to_string());
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    assert!(found.text.starts_with("event: done\n"), "{}", found.text);
    assert_eq!(found.text, send(browser, route, &nowhere).await.text);
}

#[tokio::test]
async fn only_its_author_sees_a_conversation_until_it_is_shared() {
    let mut fixture = PageFixture::start(PIECE).await;
    let mut grace = fixture.member("Grace").await;
    let (thread, answer) = fixture.ask().await;
    let id = thread.rsplit('/').next().unwrap();
    let own = fixture.ada.get(&thread).await;
    assert!(own.text.contains("Only you can see"), "{}", own.text);
    let tried = routes_of_threads();
    assert!(tried.len() >= 12, "{tried:?}");
    for route in &tried {
        assert_not_found(&mut grace, route, &answer).await;
    }
    let continued = [("question", "Why?"), ("thread", id)];
    let asked = grace.post(&fixture.chat(), &continued).await;
    assert_eq!(asked.status, StatusCode::NOT_FOUND);
    let lists = |thread: &str| {
        let workspace = &fixture.workspace.id;
        let link = format!("href=\"{thread}\"");
        let search = format!("/w/{workspace}/chat?q=filter");
        ([format!("/w/{workspace}/chat"), search], link)
    };
    let (pages, link) = lists(&thread);
    for page in &pages {
        assert!(!grace.get(page).await.text.contains(&link), "{page}");
        assert!(fixture.ada.get(page).await.text.contains(&link), "{page}");
    }

    // Nothing has changed, and the author can share it.
    let share = fixture.ada.post(&format!("{thread}/share"), &[]).await;
    assert_eq!(share.status, StatusCode::SEE_OTHER, "{}", share.text);
    for page in &pages {
        assert!(grace.get(page).await.text.contains(&link), "{page}");
    }
    let shown = grace.get(&thread).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(
        shown.text.contains("Shared by <bdi>Ada</bdi>"),
        "{}",
        shown.text
    );
    assert!(!shown.text.contains("/unshare\""), "{}", shown.text);
    let asked = grace.post(&fixture.chat(), &continued).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);
    let unshare = format!("{thread}/unshare");
    let denied = grace.post(&unshare, &[]).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{}", denied.text);

    // And make it private again.
    let unshared = fixture.ada.post(&unshare, &[]).await;
    assert_eq!(unshared.status, StatusCode::SEE_OTHER, "{}", unshared.text);
    for route in &tried {
        assert_not_found(&mut grace, route, &answer).await;
    }
}

#[tokio::test]
async fn making_a_conversation_private_ends_the_streams_of_other_members() {
    let mut fixture = PageFixture::start(PIECE).await;
    let mut grace = fixture.member("Grace").await;
    let text = "The filter must be changed every 500 hours. ".repeat(50);
    let chat = openai_stub::Route::Chat;
    fixture.stub.fail_next(chat, Fault::Answer(text));
    let (thread, answer) = fixture.ask().await;
    fixture.ada.post(&format!("{thread}/share"), &[]).await;
    let events = Request::get(format!("{answer}/events")).body(Body::empty());
    let stream = grace.send(events.unwrap()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let mut stream = stream.into_body().into_data_stream();
    let mut seen = String::new();
    let mut read = async |until: Option<&str>| {
        while until.is_none_or(|part| !seen.contains(part)) {
            let Some(chunk) = timeout(TIMEOUT, stream.next()).await.expect("in time") else {
                break;
            };
            seen.push_str(&String::from_utf8_lossy(&chunk.expect("a chunk")));
        }
        seen.clone()
    };
    assert!(read(Some("event: text")).await.contains("event: text"));
    let unshared = fixture.ada.post(&format!("{thread}/unshare"), &[]).await;
    assert_eq!(unshared.status, StatusCode::SEE_OTHER, "{}", unshared.text);
    // The next check is due.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let all = read(None).await;
    assert!(!all.contains("event: done"), "{all}");
}

#[tokio::test]
async fn an_owner_does_not_see_private_conversations_of_members() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let mut grace = fixture.member("Grace").await;
    let fields = [("question", QUESTION), ("document", "")];
    let asked = grace.post(&fixture.chat(), &fields).await;
    let thread = asked.location().to_owned();
    assert_eq!(fixture.ada.get(&thread).await.status, StatusCode::NOT_FOUND);
    let deleted = fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert_eq!(deleted.status, StatusCode::NOT_FOUND);
    assert_eq!(grace.get(&thread).await.status, StatusCode::OK);
}

#[tokio::test]
async fn conversations_from_before_the_migration_stay_visible_to_all_members() {
    let fixture = PageFixture::start(Duration::ZERO).await;
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    super::support::revert_to_oldest_schema(&tenant).await;
    let insert = "INSERT INTO threads (id, title, created_by) VALUES (gen_random_uuid(), 'Old', gen_random_uuid())";
    sqlx::raw_sql(insert).execute(tenant.pool()).await.unwrap();
    for migration in [
        include_str!("../../../../tenant-migrations/0003_feedback.sql"),
        include_str!("../../../../tenant-migrations/0004_conversations.sql"),
    ] {
        sqlx::raw_sql(migration)
            .execute(tenant.pool())
            .await
            .unwrap();
    }
    sqlx::raw_sql(insert).execute(tenant.pool()).await.unwrap();
    let seen = threads::list(&tenant, app::ids::UserId::random())
        .await
        .unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_deletion_can_be_undone_for_some_seconds_and_is_final_afterwards() {
    let mut fixture = PageFixture::start(PIECE).await;
    let (thread, answer) = fixture.ask().await;
    let id = thread.rsplit('/').next().unwrap();
    let deleted = fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert_eq!(
        deleted.location(),
        format!("{}?deleted={id}", fixture.chat())
    );
    for route in routes_of_threads() {
        if !route.path.ends_with("/restore") {
            assert_not_found(&mut fixture.ada, &route, &answer).await;
        }
    }
    let restore = format!("{thread}/restore");
    let offered = fixture.ada.get(deleted.location()).await;
    assert!(offered.text.contains(&restore), "{}", offered.text);
    let mut grace = fixture.member("Grace").await;
    let other = grace.get(deleted.location()).await;
    assert!(!other.text.contains(&restore), "{}", other.text);
    assert_eq!(
        grace.post(&restore, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    let restored = fixture.ada.post(&restore, &[]).await;
    assert_eq!(restored.status, StatusCode::SEE_OTHER, "{}", restored.text);
    assert_eq!(fixture.ada.get(&thread).await.status, StatusCode::OK);

    // The job does not depend on the browser.
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert_eq!(threads::purge_deleted(&tenant).await.unwrap(), 0);
    sqlx::query("UPDATE threads SET deleted_at = deleted_at - interval '16 seconds'")
        .execute(tenant.pool())
        .await
        .unwrap();
    assert_eq!(
        fixture.ada.post(&restore, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    let (key, seconds): (String, f64) = sqlx::query_as(
        "SELECT key, extract(epoch FROM run_at - now())::float8 FROM jobs WHERE kind = 'purge_conversations'",
    )
    .fetch_one(&fixture.app.database)
    .await
    .unwrap();
    let workspace = fixture.workspace.id.clone();
    assert_eq!(key, PurgeConversations { workspace }.key());
    assert!(
        seconds <= PurgeConversations::DELAY.as_secs_f64(),
        "{seconds}"
    );
    assert_eq!(threads::purge_deleted(&tenant).await.unwrap(), 1);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messages")
        .fetch_one(tenant.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_pinned_conversation_is_listed_first_for_the_user_who_pinned_it() {
    let mut fixture = PageFixture::start(PIECE).await;
    let mut grace = fixture.member("Grace").await;
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (thread, _) = fixture.ask().await;
        fixture.ada.post(&format!("{thread}/share"), &[]).await;
        threads.push(thread);
    }
    let chat = fixture.chat();
    let pin = fixture.ada.post(&format!("{}/pin", threads[0]), &[]).await;
    assert_eq!(pin.status, StatusCode::SEE_OTHER, "{}", pin.text);
    let is_first = |page: &Answer, thread: &str| {
        let at = |thread: &str| page.text.find(&format!("href=\"{thread}\"")).unwrap();
        at(thread) == at(&threads[0]).min(at(&threads[1]))
    };
    assert!(is_first(&fixture.ada.get(&chat).await, &threads[0]));
    assert!(is_first(&grace.get(&chat).await, &threads[1]));
    fixture
        .ada
        .post(&format!("{}/unpin", threads[0]), &[])
        .await;
    assert!(is_first(&fixture.ada.get(&chat).await, &threads[1]));
}
