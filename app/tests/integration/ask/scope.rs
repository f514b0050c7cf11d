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

/// The fields of the form's menu of documents, as a browser submits them.
fn menu(html: &str) -> Vec<(String, String)> {
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    html.split("<input ")
        .skip(1)
        .map(|rest| rest.split('>').next().expect("a tag"))
        .filter(|tag| !tag.contains("checkbox") || tag.contains(" checked"))
        .filter_map(|tag| Some((value(tag, "name")?, value(tag, "value")?)))
        .filter(|(name, _)| name == "document" || name == "shown")
        .collect()
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

#[tokio::test]
async fn a_question_keeps_the_documents_that_another_member_has_chosen() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let mut grace = fixture.member("Grace").await.with("hx-request", "true");
    let asked = [("question", QUESTION), ("document", "")];
    let thread = fixture.ada.post(&fixture.chat(), &asked).await;
    let thread = thread.location().to_owned();
    let id = thread.rsplit('/').next().unwrap();
    fixture.ada.post(&format!("{thread}/share"), &[]).await;
    let page_of_grace = grace.get(&thread).await;
    let manual = fixture.manual.to_string();
    let chosen = [
        ("question", QUESTION),
        ("thread", id),
        ("document", &manual),
    ];
    let asked = fixture.ada.post(&fixture.chat(), &chosen).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);

    let mut ask = async |menu: &[(String, String)]| {
        let menu = menu
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = [("question", QUESTION), ("thread", id)]
            .into_iter()
            .chain(menu)
            .collect();
        grace.post(&fixture.chat(), &fields).await
    };
    let kept = ask(&menu(&page_of_grace.text)).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
    assert!(
        searched(&kept.text).contains("Pump manual"),
        "{}",
        kept.text
    );
    // The response also updates the menu, from which she then removes the document.
    let mut fields = menu(&kept.text);
    assert!(
        fields.contains(&("document".to_owned(), manual.clone())),
        "{fields:?}"
    );
    fields.retain(|(name, value)| name != "document" || value.is_empty());
    let changed = ask(&fields).await;
    assert!(
        searched(&changed.text).contains("all documents"),
        "{}",
        changed.text
    );
}
