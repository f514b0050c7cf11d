//! Deletions in the browser: repeated requests and receipts.

use app::events;
use app::ids::DeletionId;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt as _;
use tokio::time::timeout;

use super::site::Site;
use crate::browser::{Answer, Browser};
use crate::fixture::TIMEOUT;

const CONFIRM: (&str, &str) = ("confirm", "delete my account");

/// Sends the form of the account page. `workspaces` are those that it lists.
async fn delete_account(browser: &mut Browser, workspaces: &str) -> Answer {
    let fields = [CONFIRM, ("workspaces", workspaces)];
    browser.post("/account/delete", &fields).await
}

/// The workspaces that the account page lists.
async fn listed_workspaces(browser: &mut Browser) -> String {
    let page = browser.get("/account").await;
    let value = page.after("name=\"workspaces\" value=\"");
    value.expect("the field").to_owned()
}

#[tokio::test]
async fn a_repeated_workspace_deletion_redirects_the_same_session_to_its_receipt() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    let mut stranger = site.signed_in("stranger").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let mut other_browser = site.signed_in("ada").await;
    let path = format!("/w/{}/settings/delete", workspace.id);
    let form = [("confirm", workspace.name.as_str())];
    let first = ada.post(&path, &form).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    assert!(first.location().starts_with("/receipts/"));
    let second = ada.post(&path, &form).await;
    assert_eq!(second.status, StatusCode::SEE_OTHER, "{}", second.text);
    assert_eq!(second.location(), first.location());
    for browser in [&mut stranger, &mut other_browser] {
        let answer = browser.post(&path, &form).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    // Other requests for the workspace are not redirected.
    let page = ada.get(&format!("/w/{}/settings", workspace.id)).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    // Also after the row of the workspace is deleted.
    site.execute("DELETE FROM workspaces WHERE state = 'deleting'")
        .await;
    let third = ada.post(&path, &form).await;
    assert_eq!(third.location(), first.location());
    assert_eq!(ada.get(third.location()).await.status, StatusCode::OK);
    assert_eq!(site.count("SELECT count(*) FROM deletions").await, 1);
}

#[tokio::test]
async fn a_repeated_account_deletion_redirects_to_the_receipt_without_a_session() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    // The second request is sent before the first response has removed the cookie.
    let mut second_click = ada.clone();
    let workspaces = listed_workspaces(&mut ada).await;
    let unlisted = delete_account(&mut ada, "").await;
    assert!(
        unlisted.text.contains("Nothing was deleted."),
        "{}",
        unlisted.text
    );
    let first = delete_account(&mut ada, &workspaces).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    let second = delete_account(&mut second_click, &workspaces).await;
    assert_eq!(second.location(), first.location());
    let page = second_click.get("/account").await;
    assert!(
        page.location().starts_with("/sign-in"),
        "the session has ended"
    );
    let anonymous = delete_account(&mut site.browser(), &workspaces).await;
    assert!(anonymous.location().starts_with("/sign-in"));
}

/// Reads the stream until it contains `part`.
async fn read_until(stream: &mut BodyDataStream, text: &mut String, part: &str) {
    let reading = async {
        while !text.contains(part) {
            let chunk = stream.next().await.expect("more data").expect("a chunk");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let result = timeout(TIMEOUT, reading).await;
    assert!(result.is_ok(), "no `{part}` in {text}");
}

async fn follow(browser: &mut Browser, receipt: &str) -> BodyDataStream {
    let request = Request::get(format!("{receipt}/events"))
        .body(Body::empty())
        .expect("a request");
    let answer = browser.send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().into_data_stream()
}

#[tokio::test]
async fn a_receipt_follows_its_deletion_without_a_session() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    let workspaces = listed_workspaces(&mut ada).await;
    let receipt = delete_account(&mut ada, &workspaces).await;
    let receipt = receipt.location().to_owned();
    let mut reader = site.browser();
    let page = reader.get(&receipt).await;
    assert!(
        page.text
            .contains(&format!("sse-connect=\"{receipt}/events\""))
    );
    let mut stream = follow(&mut reader, &receipt).await;
    let mut text = String::new();
    read_until(&mut stream, &mut text, "event: deletion").await;
    assert_eq!(site.app.streams.open(), 1);
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM deletions")
        .fetch_one(&site.app.database)
        .await
        .unwrap();
    for (change, part) in [
        (
            "UPDATE deletions SET progress = jsonb_set(progress, '{blocked_on}', '\"It waits.\"')",
            "It waits.",
        ),
        (
            "UPDATE deletions SET finished_at = now(), progress = progress || '{\"step\": \"finished\", \"blocked_on\": null}'",
            "event: ended",
        ),
    ] {
        site.execute(change).await;
        events::publish_deletion(&site.app.database, DeletionId(id))
            .await
            .unwrap();
        read_until(&mut stream, &mut text, part).await;
    }
    read_until(&mut stream, &mut text, "Deletion receipt").await;
    let rest = timeout(TIMEOUT, stream.next())
        .await
        .expect("the end in time");
    assert!(rest.is_none(), "no event after the end");
    drop(stream);
    assert_eq!(site.app.streams.open(), 0);
    let nothing = reader.get("/receipts/AAAA/events").await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}
