//! The list of conversations and its search in a workspace with many of them.

use std::time::Duration;

use axum::http::StatusCode;

use super::page_fixture::PageFixture;

#[tokio::test]
async fn a_search_that_takes_too_long_is_canceled() {
    let fixture = PageFixture::start(Duration::ZERO).await;
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    let mut blocking = tenant.pool().begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *blocking)
        .await
        .unwrap();
    let mut script = fixture.ada.clone().with("accept", "application/json");
    let search = format!("{}?q=filter", fixture.chat());
    let canceled = script.get(&search).await;
    assert_eq!(canceled.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        canceled.text.contains("\"search_timeout\""),
        "{}",
        canceled.text
    );
    blocking.rollback().await.unwrap();
    assert_eq!(script.get(&search).await.status, StatusCode::OK);
}
