//! A migration that is cut off after any message, in any way, and begun again ends as if nothing had happened.

use std::collections::BTreeMap;

use crate::relay::{Cut, Relay};
use crate::support::{TestDatabase, limits, set, through};
use controller::migrations::{MigrationSet, migrate};

/// More messages than a run has; a loop that gets there runs away.
const MESSAGES_MAX: usize = 40;

fn migrations() -> MigrationSet {
    set(&[
        (
            "0001_a.sql",
            "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);",
        ),
        (
            "0002_b.sql",
            "ALTER TABLE a ADD b int;\nUPDATE a SET b = coalesce(b, 0) + 1;",
        ),
        (
            "0003_index.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
        (
            "0004_c.sql",
            "INSERT INTO a VALUES (2);\nCREATE TABLE c (n int PRIMARY KEY);\n",
        ),
    ])
}

/// All that the migrations have done to the database.
async fn traces(database: &TestDatabase) -> BTreeMap<&'static str, Vec<String>> {
    let mut traces = BTreeMap::new();
    for (name, sql) in [
        (
            "migrations",
            "SELECT version || description || success || checksum::text FROM _sqlx_migrations ORDER BY version",
        ),
        ("rows", "SELECT a::text FROM a ORDER BY n, b"),
        (
            "relations",
            "SELECT relname::text || relkind::text || coalesce(indisvalid, true) FROM pg_class LEFT JOIN pg_index ON indexrelid = oid \
             WHERE relnamespace = 'public'::regnamespace ORDER BY relname",
        ),
    ] {
        traces.insert(name, database.column(sql).await);
    }
    traces
}

async fn uninterrupted() -> (usize, BTreeMap<&'static str, Vec<String>>) {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.target.port, Cut::Never).await;
    migrate(&through(&relay, &database), &migrations(), &limits())
        .await
        .expect("migrated");
    (relay.messages(), traces(&database).await)
}

async fn cut_off_everywhere(cut_at: impl Fn(usize) -> Cut) {
    let (messages, expected) = uninterrupted().await;
    assert!((9..MESSAGES_MAX).contains(&messages), "{messages} messages");
    let database = TestDatabase::create().await;
    for number in 1..=messages {
        let cut = cut_at(number);
        database
            .run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
        let relay = Relay::start(database.target.port, cut).await;
        let target = through(&relay, &database);
        let run = tokio::spawn(async move { migrate(&target, &migrations(), &limits()).await });
        if cut == Cut::HoldAnswer(number) {
            // The task is killed while the server is at work, or has done it.
            relay.held().await;
            run.abort();
            assert!(run.await.expect_err("killed").is_cancelled());
        } else {
            let failure = run.await.expect("no panic").expect_err("cut off");
            assert!(failure.error.is_transient(), "{cut:?}: {failure}");
            if let Some(version) = failure.version {
                // What is said to be there is there.
                let recorded =
                    format!("SELECT success::text FROM _sqlx_migrations WHERE version = {version}");
                assert_eq!(database.column(&recorded).await, ["true"], "{cut:?}");
            }
        }
        let migrated = migrate(&database.target, &migrations(), &limits()).await;
        let migrated = migrated.unwrap_or_else(|failure| panic!("{cut:?}: {failure}"));
        assert_eq!(migrated.version, 4, "{cut:?}");
        assert_eq!(traces(&database).await, expected, "{cut:?}");
    }
}

#[tokio::test]
async fn a_run_whose_message_is_lost_can_be_repeated() {
    cut_off_everywhere(Cut::BeforeSent).await;
}

#[tokio::test]
async fn a_run_that_is_cut_off_while_the_server_works_can_be_repeated() {
    cut_off_everywhere(Cut::WhenSent).await;
}

#[tokio::test]
async fn a_run_whose_answer_is_lost_can_be_repeated() {
    cut_off_everywhere(Cut::WhenDone).await;
}

#[tokio::test]
async fn a_run_that_is_killed_can_be_repeated() {
    cut_off_everywhere(Cut::HoldAnswer).await;
}
