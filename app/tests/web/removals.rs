//! Removals as browsers see them: asked for twice, and followed to their end.

use app::events;
use app::ids::DeletionId;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::browser::Browser;
use crate::site::{SOON, Site};

const ACCOUNT: &[(&str, &str)] = &[("confirm", "delete my account")];

#[tokio::test]
async fn who_asks_twice_for_a_workspace_s_removal_is_led_to_the_same_receipt_and_nobody_else_is() {
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
    // A page of the workspace is no request for its removal.
    let page = ada.get(&format!("/w/{}/settings", workspace.id)).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    // Long after, when not even the row is left.
    site.execute("DELETE FROM workspaces WHERE state = 'deleting'")
        .await;
    let late = ada.post(&path, &form).await;
    assert_eq!(late.location(), first.location());
    assert_eq!(ada.get(late.location()).await.status, StatusCode::OK);
    assert_eq!(site.count("SELECT count(*) FROM deletions").await, 1);
}

#[tokio::test]
async fn who_asks_twice_for_their_account_s_removal_is_led_to_the_receipt_though_signed_out() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    // The second click is sent before the answer to the first has taken the cookie away.
    let mut second_click = ada.clone();
    let first = ada.post("/account/delete", ACCOUNT).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    let second = second_click.post("/account/delete", ACCOUNT).await;
    assert_eq!(second.location(), first.location());
    let page = second_click.get("/account").await;
    assert!(
        page.location().starts_with("/sign-in"),
        "it lets in nowhere"
    );
    let nobody = site.browser().post("/account/delete", ACCOUNT).await;
    assert!(nobody.location().starts_with("/sign-in"));
}

/// The stream's text, until `part` has come.
async fn until(stream: &mut BodyDataStream, told: &mut String, part: &str) {
    let coming = async {
        while !told.contains(part) {
            let chunk = stream.next().await.expect("more of it").expect("a chunk");
            told.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let came = timeout(SOON, coming).await;
    assert!(came.is_ok(), "no `{part}` in {told}");
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
async fn a_receipt_follows_its_removal_to_the_end_without_anybody_signed_in() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    let receipt = ada.post("/account/delete", ACCOUNT).await;
    let receipt = receipt.location().to_owned();
    let mut visitor = site.browser();
    let page = visitor.get(&receipt).await;
    assert!(
        page.text
            .contains(&format!("sse-connect=\"{receipt}/events\""))
    );
    let mut stream = follow(&mut visitor, &receipt).await;
    let mut told = String::new();
    until(&mut stream, &mut told, "event: removal").await;
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
        until(&mut stream, &mut told, part).await;
    }
    until(&mut stream, &mut told, "Receipt of removal").await;
    let rest = timeout(SOON, stream.next()).await.expect("its end in time");
    assert!(rest.is_none(), "nothing comes after the end");
    drop(stream);
    assert_eq!(site.app.streams.open(), 0);
    let nothing = visitor.get("/receipts/AAAA/events").await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}
