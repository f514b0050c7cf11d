//! The list of conversations and its search in a workspace with many of them.

use std::time::Duration;

use app::ask::threads;
use axum::http::StatusCode;
use test_support::wait::until_true;

use super::page_fixture::PageFixture;
use super::support::ChatFixture;

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

#[tokio::test]
async fn the_list_reads_the_newest_conversations_from_the_index() {
    let fixture = ChatFixture::start().await;
    let pool = fixture.database.pool();
    sqlx::raw_sql(
        "INSERT INTO threads (id, title, created_by, is_shared, updated_at)
         SELECT gen_random_uuid(), n::text, gen_random_uuid(), true, now() - n * interval '1 minute' FROM generate_series(1, 5000) n",
    )
    .execute(pool)
    .await
    .unwrap();
    // The oldest one.
    sqlx::query("UPDATE threads SET pinned_by = ARRAY[$1] WHERE title = '5000'")
        .bind(fixture.user.0)
        .execute(pool)
        .await
        .unwrap();
    sqlx::raw_sql("ANALYZE threads")
        .execute(pool)
        .await
        .unwrap();
    let listed = threads::list(pool, fixture.user).await.unwrap();
    assert_eq!(i64::try_from(listed.len()), Ok(threads::MAX_LISTED_THREADS));
    let titles: Vec<&str> = listed.iter().map(|thread| thread.title.as_str()).collect();
    assert_eq!(titles[..3], ["5000", "1", "2"]);
    assert_eq!(titles.last(), Some(&"99"));
    // The server counts scans some time after they end.
    until_true("a scan of the index", || async {
        threads::list(pool, fixture.user).await.unwrap();
        sqlx::query_scalar(
            "SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'threads_newest'",
        )
        .fetch_one(pool)
        .await
        .unwrap()
    })
    .await;
}
