//! What users do with an answer: rate it, copy it, start it again.

use std::time::Duration;

use app::ids::MessageId;
use axum::http::StatusCode;
use openai_stub::{Fault, Route};

use super::page_fixture::{PageFixture, QUESTION};
use super::support::revert_to_oldest_schema;

/// The attributes of a button that shows the rating.
const PRESSED: &str = " answer\" aria-pressed=\"true\"";

#[tokio::test]
async fn an_answer_can_be_rated_copied_and_started_again() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let [streamed, reloaded] = fixture.streamed_and_reloaded(QUESTION).await;
    let url = reloaded
        .split_once("data-copy-url=\"")
        .and_then(|(_, rest)| rest.split_once("/text\""))
        .expect("a button that copies")
        .0
        .to_owned();
    for shown in [&streamed, &reloaded] {
        for tool in ["/text?citations=no", "/regenerate", "/rating"] {
            assert!(shown.contains(&format!("{url}{tool}")), "{tool} in {shown}");
        }
    }
    let copied = fixture.ada.get(&format!("{url}/text")).await;
    assert_eq!(copied.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        copied
            .text
            .ends_with("[1]\n\nSources:\n[1] Pump manual, pages 1\u{2013}2"),
        "{}",
        copied.text
    );
    let plain = fixture.ada.get(&format!("{url}/text?citations=no")).await;
    assert!(
        plain.text.ends_with("after floods.") && !plain.text.contains('['),
        "{}",
        plain.text
    );

    let mut page = fixture.ada.clone().with("hx-request", "true");
    for (rating, pressed) in [("good", 1), ("bad", 1), ("none", 0)] {
        let form = page
            .post(&format!("{url}/rating"), &[("rating", rating)])
            .await;
        assert_eq!(form.status, StatusCode::OK, "{}", form.text);
        let shown = fixture.ada.get(thread_of(&url)).await;
        for html in [&form.text, &shown.text] {
            assert_eq!(html.matches(PRESSED).count(), pressed, "{rating}: {html}");
        }
    }
    page.post(&format!("{url}/rating"), &[("rating", "bad")])
        .await;
    fixture.stub.fail_next(
        Route::Chat,
        Fault::Answer("After **500** hours [1].".to_owned()),
    );
    let again = page.post(&format!("{url}/regenerate"), &[]).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    let stream = fixture.ada.get(&format!("{url}/events")).await;
    assert!(
        stream.text.contains("After <strong>500</strong> hours"),
        "{}",
        stream.text
    );
    let shown = fixture.ada.get(thread_of(&url)).await;
    assert!(
        !shown.text.contains(PRESSED),
        "the rating was of another text"
    );
    assert_eq!(
        shown
            .text
            .matches("<article class=\"message question")
            .count(),
        1
    );
    assert_eq!(fixture.stub.counts().chat_requests, 2);
    for action in ["regenerate", "rating", "stop"] {
        let message = MessageId::random();
        let lost = page
            .post(
                &format!("{}/messages/{message}/{action}", thread_of(&url)),
                &[],
            )
            .await;
        assert_eq!(lost.status, StatusCode::NOT_FOUND, "{action}");
    }
}

#[tokio::test]
async fn conversations_work_before_their_tenant_is_migrated() {
    let mut fixture = PageFixture::start(Duration::from_millis(150)).await;
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    revert_to_oldest_schema(&tenant).await;
    drop(tenant);
    let (thread, answer) = fixture.ask().await;
    let mut page = fixture.ada.clone().with("hx-request", "true");
    let stopped = page.post(&format!("{answer}/stop"), &[]).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT, "{}", stopped.text);
    let end = fixture.ada.get(&format!("{answer}/events")).await;
    let reloaded = fixture.ada.get(&thread).await;
    for shown in [&end.text, &reloaded.text] {
        assert!(
            shown.contains("stopped this answer") && !shown.contains("/rating"),
            "{shown}"
        );
    }
    let rated = page
        .post(&format!("{answer}/rating"), &[("rating", "good")])
        .await;
    assert_eq!(
        rated.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        rated.text
    );
    // All members see it, so nothing says that it is private, and nothing can be changed.
    let mut grace = fixture.member("Grace").await;
    let shown = grace.get(&thread).await;
    assert_eq!(shown.status, StatusCode::OK);
    for missing in ["Only you can see", "/share\"", "/pin\""] {
        assert!(!reloaded.text.contains(missing), "{missing}");
    }
    for action in ["share", "pin", "unpin"] {
        let changed = fixture.ada.post(&format!("{thread}/{action}"), &[]).await;
        assert_eq!(changed.status, StatusCode::SERVICE_UNAVAILABLE, "{action}");
    }
    let id = thread.rsplit('/').next().unwrap();
    let manual = fixture.manual.to_string();
    let fields = [("question", "Why?"), ("thread", id), ("document", &manual)];
    let asked = fixture.ada.post(&fixture.chat(), &fields).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);
    // Its deletion cannot be undone.
    let deleted = fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert!(
        deleted.location().ends_with("?notice=thread-deleted"),
        "{}",
        deleted.location()
    );
    assert_eq!(grace.get(&thread).await.status, StatusCode::NOT_FOUND);
}

/// The URL of the conversation of an answer.
fn thread_of(answer: &str) -> &str {
    answer.split_once("/messages/").expect("an answer").0
}
