//! The main database's schema, brought up to date by one process at a time.

use std::time::Duration;

use app::database::{MIGRATION_LOCK, MigrationError, migrate};
use sqlx::{Connection as _, PgConnection};

use crate::site::{empty_database, settings};

#[tokio::test]
async fn processes_that_start_at_once_migrate_once() {
    let url = empty_database().await;
    let settings = settings(&url, &[]).database;
    let (one, two, three) =
        tokio::join!(migrate(&settings), migrate(&settings), migrate(&settings));
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    assert_eq!(usize::try_from(applied).unwrap(), files.count());
}

#[tokio::test]
async fn what_a_newer_version_has_added_is_left_alone() {
    let url = empty_database().await;
    let settings = settings(&url, &[]).database;
    migrate(&settings).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of tomorrow', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    migrate(&settings).await.unwrap();
}

#[tokio::test]
async fn nobody_waits_forever_for_another_that_migrates() {
    let url = empty_database().await;
    let mut settings = settings(&url, &[]).database;
    settings.migration_lock_timeout = Duration::from_millis(200);
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut other)
        .await
        .unwrap();
    let error = migrate(&settings).await.unwrap_err();
    assert!(matches!(error, MigrationError::Locked(_)), "{error}");
    assert!(error.is_transient());
    other.close().await.unwrap();
    migrate(&settings).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_told_as_something_that_passes() {
    let settings = settings("postgres://app@127.0.0.1:9/app", &[]).database;
    let error = migrate(&settings).await.unwrap_err();
    assert!(
        matches!(error, MigrationError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.is_transient());
}
