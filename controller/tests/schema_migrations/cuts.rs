//! A migration that is interrupted at any message, in any way, and then repeated has the same
//! result as an uninterrupted one.

use std::collections::BTreeMap;

use crate::relay::{Interruption, Relay};
use crate::support::{TestDatabase, limits, set, through};
use controller::migrations::{MigrationSet, migrate};

/// More messages than a run sends. A run that reaches this number does not terminate.
const MAX_MESSAGES: usize = 40;

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

/// Everything that the migrations changed in the database.
async fn snapshot(database: &TestDatabase) -> BTreeMap<&'static str, Vec<String>> {
    let mut snapshot = BTreeMap::new();
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
        snapshot.insert(name, database.column(sql).await);
    }
    snapshot
}

async fn run_uninterrupted() -> (usize, BTreeMap<&'static str, Vec<String>>) {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.target.port, Interruption::Never).await;
    migrate(&through(&relay, &database), &migrations(), &limits())
        .await
        .expect("the migration succeeds");
    (relay.messages(), snapshot(&database).await)
}

async fn interrupt_at_every_message(interruption_at: impl Fn(usize) -> Interruption) {
    let (messages, expected) = run_uninterrupted().await;
    assert!((9..MAX_MESSAGES).contains(&messages), "{messages} messages");
    let database = TestDatabase::create().await;
    for number in 1..=messages {
        let interruption = interruption_at(number);
        database
            .run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
        let relay = Relay::start(database.target.port, interruption).await;
        let target = through(&relay, &database);
        let run = tokio::spawn(async move { migrate(&target, &migrations(), &limits()).await });
        if interruption == Interruption::HoldResponse(number) {
            // Abort the task while the server executes the message, or after it has.
            relay.response_held().await;
            run.abort();
            assert!(run.await.expect_err("the task was aborted").is_cancelled());
        } else {
            let failure = run
                .await
                .expect("the task does not panic")
                .expect_err("the run is interrupted");
            assert!(failure.error.is_transient(), "{interruption:?}: {failure}");
            if let Some(version) = failure.version {
                // The reported version has been applied.
                let recorded =
                    format!("SELECT success::text FROM _sqlx_migrations WHERE version = {version}");
                assert_eq!(
                    database.column(&recorded).await,
                    ["true"],
                    "{interruption:?}"
                );
            }
        }
        let report = migrate(&database.target, &migrations(), &limits()).await;
        let report = report.unwrap_or_else(|failure| panic!("{interruption:?}: {failure}"));
        assert_eq!(report.version, 4, "{interruption:?}");
        assert_eq!(snapshot(&database).await, expected, "{interruption:?}");
    }
}

#[tokio::test]
async fn a_run_whose_request_is_lost_can_be_repeated() {
    interrupt_at_every_message(Interruption::BeforeSent).await;
}

#[tokio::test]
async fn a_run_that_is_interrupted_while_the_server_works_can_be_repeated() {
    interrupt_at_every_message(Interruption::WhenSent).await;
}

#[tokio::test]
async fn a_run_whose_response_is_lost_can_be_repeated() {
    interrupt_at_every_message(Interruption::WhenDone).await;
}

#[tokio::test]
async fn a_run_that_is_aborted_can_be_repeated() {
    interrupt_at_every_message(Interruption::HoldResponse).await;
}
