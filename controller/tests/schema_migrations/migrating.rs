//! What a database gets, what it costs, and which databases are left alone.

use controller::migrations::{MigrationError, MigrationSet, migrate};
use sqlx::migrate::{Migrate as _, Migrator};

use crate::relay::{Cut, Relay};
use crate::support::{
    TWO, TestDatabase, failing_statement, limits, migrated, refused, set, through,
};

#[tokio::test]
async fn an_empty_database_gets_every_migration_and_then_nothing_more() {
    let database = TestDatabase::create().await;
    let set = MigrationSet::built_in().expect("a set");
    let first = migrate(&database.target, &set, &limits())
        .await
        .expect("migrated");
    assert_eq!(first.version, set.target_version());
    assert_eq!(first.digest, set.digest());
    assert_eq!(first.applied.len(), set.migrations().len());
    let second = migrate(&database.target, &set, &limits())
        .await
        .expect("migrated");
    assert!(second.applied.is_empty());
    assert_eq!(
        (second.version, second.digest),
        (first.version, first.digest)
    );
}

#[tokio::test]
async fn the_table_is_the_one_that_sqlx_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, sql) in [
        ("0001_first_things.sql", "CREATE TABLE a (n int); -- done"),
        (
            "0002_bare.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
    ] {
        std::fs::write(folder.path().join(name), sql).expect("written");
    }
    let sqlx = Migrator::new(folder.path()).await.expect("a migrator");
    let ours = MigrationSet::from_directory(folder.path()).expect("a set");
    let (by_us, by_sqlx) = (TestDatabase::create().await, TestDatabase::create().await);
    migrated(&by_us, &ours).await;
    sqlx.run(&mut by_sqlx.connect().await)
        .await
        .expect("sqlx migrates");

    for sql in [
        "SELECT version || '|' || description || '|' || success || '|' || checksum::text FROM _sqlx_migrations ORDER BY version",
        "SELECT (column_name, data_type, is_nullable, column_default)::text FROM information_schema.columns \
         WHERE table_name = '_sqlx_migrations' ORDER BY ordinal_position",
        "SELECT indexdef FROM pg_indexes WHERE tablename = '_sqlx_migrations'",
    ] {
        assert_eq!(by_us.column(sql).await, by_sqlx.column(sql).await);
    }
    let times = by_us
        .column("SELECT execution_time::text FROM _sqlx_migrations")
        .await;
    assert!(
        times
            .iter()
            .all(|time| (1..60_000_000_000_i64).contains(&time.parse().expect("a number"))),
        "{times:?}"
    );
    // And each takes the other's work for its own.
    sqlx.run(&mut by_us.connect().await)
        .await
        .expect("sqlx finds nothing to do");
    assert!(migrated(&by_sqlx, &ours).await.is_empty());
}

#[tokio::test]
async fn a_database_that_is_up_to_date_costs_one_message_and_no_lock() {
    let database = TestDatabase::create().await;
    migrated(&database, &set(&TWO)).await;
    let mut other = database.connect().await;
    other.lock().await.expect("somebody holds the lock");
    let relay = Relay::start(database.target.port, Cut::Never).await;
    let outcome = migrate(&through(&relay, &database), &set(&TWO), &limits())
        .await
        .expect("migrated");
    assert!(outcome.applied.is_empty());
    assert_eq!(relay.messages(), 1);
}

#[tokio::test]
async fn an_empty_database_costs_a_message_for_each_file_and_three_more() {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.target.port, Cut::Never).await;
    migrate(&through(&relay, &database), &set(&TWO), &limits())
        .await
        .expect("migrated");
    assert_eq!(relay.messages(), 3 + TWO.len());
}

#[tokio::test]
async fn a_database_that_does_not_fit_the_set_is_left_as_it_is() {
    let database = TestDatabase::create().await;
    migrated(&database, &set(&TWO)).await;
    let edited = set(&[
        TWO[0],
        ("0002_b.sql", "CREATE TABLE b (n bigint)"),
        ("0003_c.sql", "CREATE TABLE c ()"),
    ]);
    let removed = set(&[TWO[1], ("0003_c.sql", "CREATE TABLE c ()")]);
    let older = set(&TWO[..1]);
    assert!(
        matches!(refused(&database, &edited).await, MigrationError::Changed { version: 2, file } if file == "0002_b.sql")
    );
    assert!(matches!(
        refused(&database, &removed).await,
        MigrationError::Missing { version: 1 }
    ));
    let failure = migrate(&database.target, &older, &limits())
        .await
        .expect_err("ahead");
    assert!(
        matches!(
            failure.error,
            MigrationError::Ahead {
                version: 2,
                target: 1
            }
        ),
        "{failure}"
    );
    assert_eq!(failure.version, Some(2));
    assert_eq!(
        database
            .column("SELECT coalesce(to_regclass('c')::text, '-')")
            .await,
        ["-"]
    );
    assert!(migrated(&database, &set(&TWO)).await.is_empty());
}

#[tokio::test]
async fn an_unfinished_row_is_run_again_where_that_is_safe() {
    let database = TestDatabase::create().await;
    let set = set(&[
        TWO[0],
        (
            "0002_bare.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
    ]);
    migrated(&database, &set).await;
    database
        .run("UPDATE _sqlx_migrations SET success = false WHERE version = 2")
        .await;
    assert_eq!(migrated(&database, &set).await, [2]);
    database
        .run("UPDATE _sqlx_migrations SET success = false WHERE version = 1")
        .await;
    assert!(
        matches!(refused(&database, &set).await, MigrationError::Dirty { version: 1, file } if file == "0001_a.sql")
    );
}

#[tokio::test]
async fn an_index_that_was_left_invalid_is_built_anew() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1)")
        .await;
    let set = set(&[(
        "0001_index.sql",
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
    )]);
    let valid = "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'a_n'::regclass";
    assert_eq!(
        failing_statement(&database, &set).await.server.code,
        "23505"
    );
    assert_eq!(database.column(valid).await, ["false"]);
    database
        .run("DELETE FROM a WHERE ctid <> (SELECT min(ctid) FROM a)")
        .await;
    assert_eq!(migrated(&database, &set).await, [1]);
    assert_eq!(database.column(valid).await, ["true"]);
}

#[tokio::test]
async fn what_one_file_sets_does_not_reach_the_next() {
    let database = TestDatabase::create().await;
    let set = set(&[
        (
            "0001_a.sql",
            "CREATE SCHEMA away; SET search_path = away; SET statement_timeout = 300; CREATE TABLE a ()",
        ),
        ("0002_b.sql", "SELECT pg_sleep(0.4); CREATE TABLE b ()"),
        (
            "0003_c.sql",
            "-- no-transaction\nCREATE TABLE IF NOT EXISTS c ()",
        ),
    ]);
    assert_eq!(migrated(&database, &set).await, [1, 2, 3]);
    let tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename IN ('a', 'b', 'c') ORDER BY tablename";
    assert_eq!(
        database.column(tables).await,
        ["away.a", "public.b", "public.c"]
    );
}
