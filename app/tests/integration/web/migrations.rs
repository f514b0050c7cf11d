//! Migrations of the main database.

use std::time::Duration;

use app::database::{MIGRATION_LOCK, MigrationError, migrate, migrate_within};
use sqlx::{Connection as _, PgConnection};

use super::site::settings;
use crate::postgres::empty_database;

#[tokio::test]
async fn concurrent_processes_apply_each_migration_once() {
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
async fn migrations_of_a_newer_version_are_ignored() {
    let url = empty_database().await;
    let settings = settings(&url, &[]).database;
    migrate(&settings).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'newer version', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    migrate(&settings).await.unwrap();
}

#[tokio::test]
async fn the_wait_for_the_migration_lock_is_limited() {
    let url = empty_database().await;
    let settings = settings(&url, &[]).database;
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut other)
        .await
        .unwrap();
    let error = migrate_within(&settings, Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(error, MigrationError::Locked(_)), "{error}");
    assert!(error.is_transient());
    other.close().await.unwrap();
    migrate(&settings).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_database_is_a_transient_error() {
    let settings = settings("postgres://app@127.0.0.1:9/app", &[]).database;
    let error = migrate(&settings).await.unwrap_err();
    assert!(
        matches!(error, MigrationError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.is_transient());
}
