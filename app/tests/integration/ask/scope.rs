//! The documents that a conversation searches.

use std::time::Duration;

use axum::http::StatusCode;

use super::page_fixture::{PageFixture, QUESTION};
use super::support::document;

/// The documents in the line below the conversation's title.
fn searched(html: &str) -> &str {
    let (_, line) = html.split_once("Searching: ").expect("the line");
    line.split_once("</p>").expect("its end").0
}

#[tokio::test]
async fn a_conversation_continues_after_one_of_its_documents_is_deleted() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    let lease = document(&tenant, "Lease", &["The rent is due."]).await;
    let (manual, lease) = (fixture.manual.to_string(), lease.to_string());
    let asked = [
        ("question", QUESTION),
        ("document", &lease),
        ("document", &manual),
    ];
    let thread = fixture.ada.post(&fixture.chat(), &asked).await;
    let thread = thread.location().to_owned();
    sqlx::query("DELETE FROM documents WHERE id = $1")
        .bind(fixture.manual.0)
        .execute(tenant.pool())
        .await
        .unwrap();
    let id = thread.rsplit('/').next().unwrap();
    // The menu lists deleted documents first.
    let again = [
        ("question", QUESTION),
        ("thread", id),
        ("document", ""),
        ("document", &manual),
        ("document", &lease),
    ];
    let asked = fixture.ada.post(&fixture.chat(), &again).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);
    let shown = fixture.ada.get(&thread).await;
    let line = searched(&shown.text);
    assert!(
        line.contains("Lease") && line.contains("Pump manual"),
        "{line}"
    );
}
