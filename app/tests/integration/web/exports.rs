//! Exports whose reader loses access while they run.

use std::time::Duration;

use app::domain::Role;
use app::workspaces::members;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{Request, StatusCode};
use futures::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::matrix::give_database;
use super::site::Site;
use crate::browser::Browser;
use crate::emulator::Emulated;
use crate::fixture::TIMEOUT;

/// The archive has some 200 blocks, which a slow reader takes 20 seconds to read.
const MESSAGES: i32 = 200;
const HASHES_PER_MESSAGE: i32 = 2_000;
const READ_INTERVAL: Duration = Duration::from_millis(100);

/// Starts an export and reads its first block.
async fn start(browser: &mut Browser, path: &str) -> BodyDataStream {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = browser.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut blocks = response.into_body().into_data_stream();
    let first = blocks.next().await.expect("a block");
    assert!(!first.expect("no error").is_empty());
    blocks
}

#[tokio::test]
async fn an_export_ends_when_its_reader_loses_access() {
    let site = Site::with(&["--rate-limit-expensive=1000/1m,1000/1m"]).await;
    let _ada = site.signed_in("ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let emulator = Emulated::start().await;
    give_database(&site, &emulator, &workspace).await;
    let tenant = site.app.pools.get(&workspace).await.expect("a database");
    sqlx::query(
        "WITH thread AS (INSERT INTO threads (id, title, created_by, is_shared) VALUES (gen_random_uuid(), 'Long', gen_random_uuid(), true) RETURNING id)
         INSERT INTO messages (id, thread_id, ordinal, author, state, text)
         SELECT gen_random_uuid(), thread.id, ordinal, 'person', 'complete',
                (SELECT string_agg(encode(sha256((ordinal || ':' || hash)::bytea), 'base64'), '') FROM generate_series(1, $2) hash)
         FROM thread, generate_series(0, $1) ordinal",
    )
    .bind(MESSAGES)
    .bind(HASHES_PER_MESSAGE)
    .execute(tenant.pool())
    .await
    .expect("a conversation");
    let path = format!("/w/{}/export", workspace.id);

    // An uninterrupted export is complete.
    let mut bob = site.signed_in("bob").await;
    let user = site.user("bob").await;
    site.join(user, &workspace.id, Role::Member).await;
    let mut whole = start(&mut bob, &path).await;
    while let Some(block) = whole.next().await {
        block.expect("a complete archive");
    }

    for removes in [false, true] {
        let mut blocks = start(&mut bob, &path).await;
        if removes {
            members::remove(&site.app.database, &workspace.id, user)
                .await
                .expect("removed");
        } else {
            site.execute("DELETE FROM sessions").await;
        }
        let slow = async {
            loop {
                match blocks.next().await {
                    Some(Ok(_)) => sleep(READ_INTERVAL).await,
                    end => return end,
                }
            }
        };
        let end = timeout(TIMEOUT, slow).await.expect("an end");
        assert!(matches!(end, Some(Err(_))), "the archive is cut off");
        bob = site.signed_in("bob").await;
    }
}

#[tokio::test]
async fn an_export_contains_the_conversations_that_its_reader_sees_with_their_ratings() {
    let site = Site::start().await;
    let mut ada = site.signed_in("ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let emulator = Emulated::start().await;
    give_database(&site, &emulator, &workspace).await;
    let tenant = site.app.pools.get(&workspace).await.expect("a database");
    sqlx::raw_sql(
        "WITH private AS (INSERT INTO threads (id, title, created_by) VALUES (gen_random_uuid(), 'Of another member', gen_random_uuid())),
              deleted AS (INSERT INTO threads (id, title, created_by, is_shared, deleted_at)
                          VALUES (gen_random_uuid(), 'Just deleted', gen_random_uuid(), true, now())),
              thread AS (INSERT INTO threads (id, title, created_by, is_shared) VALUES (gen_random_uuid(), 'Rated', gen_random_uuid(), true) RETURNING id),
              answer AS (INSERT INTO messages (id, thread_id, ordinal, author, state, text)
                         SELECT gen_random_uuid(), id, 1, 'model', 'complete', 'It is due.' FROM thread RETURNING id)
         INSERT INTO message_feedback (message_id, user_id, rating) SELECT id, gen_random_uuid(), 'bad' FROM answer",
    )
    .execute(tenant.pool())
    .await
    .expect("a conversation");
    let export = format!("/w/{}/export", workspace.id);
    let rated = exported(&mut ada, &export).await;
    assert!(
        rated.contains("It is due.") && rated.contains("\"rating\":\"bad\""),
        "{rated}"
    );
    assert!(
        !rated.contains("Of another member") && !rated.contains("Just deleted"),
        "{rated}"
    );
    // Before its tenant is migrated, an export has no ratings.
    sqlx::raw_sql("DROP TABLE message_feedback")
        .execute(tenant.pool())
        .await
        .expect("the schema");
    let older = exported(&mut ada, &export).await;
    assert!(
        older.contains("It is due.") && older.contains("\"ratings\":[]"),
        "{older}"
    );
}

/// The archive as text. Its files are not compressed.
async fn exported(browser: &mut Browser, path: &str) -> String {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = browser.send(request).await;
    let archive = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a complete archive");
    String::from_utf8_lossy(&archive).into_owned()
}
