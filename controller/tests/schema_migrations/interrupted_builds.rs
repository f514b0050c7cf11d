//! Statements with `CONCURRENTLY` that were interrupted run again, and leave no invalid index.

use controller::migrations::{MigrationError, MigrationSet, migrate};

use crate::relay::{Interruption, Relay};
use crate::support::{TestDatabase, execute, limits, migrate_ok, through};

const FIRST: (&str, &str) = (
    "0001_t.sql",
    "CREATE TABLE t (id int, email text);\nINSERT INTO t SELECT n, 'm' || n FROM generate_series(1, 100) n;\n",
);

/// The indexes of the table, and whether they are valid.
const INDEXES: &str = "SELECT relname || ' ' || indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid \
                       WHERE indrelid = 't'::regclass ORDER BY 1";

/// Migrates while another transaction has the table open, several times, and once more afterwards.
async fn migrate_beside_a_transaction(prepare: &str, sql: &'static str) -> TestDatabase {
    let database = TestDatabase::create().await;
    migrate_ok(
        &database,
        &MigrationSet::from_files([FIRST]).expect("a set"),
    )
    .await;
    database.run(prepare).await;
    let set = MigrationSet::from_files([FIRST, ("0002_later.sql", sql)]).expect("a set");
    let mut limits = limits();
    limits.table_lock_timeout = std::time::Duration::from_millis(300);
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN; INSERT INTO t VALUES (0, 'open')").await;
    for _ in 0..3 {
        let error = migrate(&database.target, &set, &limits)
            .await
            .expect_err("the table is in use")
            .error;
        assert!(error.is_transient(), "{sql}: {error}");
    }
    execute(&mut other, "COMMIT").await;
    assert_eq!(migrate_ok(&database, &set).await, [2], "{sql}");
    assert!(migrate_ok(&database, &set).await.is_empty(), "{sql}");
    database
}

#[tokio::test]
async fn an_index_is_built_after_builds_that_failed() {
    for (sql, name) in [
        (
            "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email);\n",
            "t_email",
        ),
        (
            "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"T e\" ON public.t (id, email)",
            "T e",
        ),
        (
            "-- no-transaction\nCREATE INDEX CONCURRENTLY ON t (email)",
            "t_email_idx",
        ),
    ] {
        let database = migrate_beside_a_transaction("SELECT 1", sql).await;
        assert_eq!(
            database.column(INDEXES).await,
            [format!("{name} true")],
            "{sql}"
        );
    }
}

#[tokio::test]
async fn rebuilding_indexes_leaves_no_invalid_ones() {
    for sql in [
        "-- no-transaction\nREINDEX INDEX CONCURRENTLY t_email;\n",
        "-- no-transaction\nREINDEX (CONCURRENTLY) TABLE t",
        "-- no-transaction\nREINDEX SCHEMA CONCURRENTLY public",
    ] {
        let database = migrate_beside_a_transaction("CREATE INDEX t_email ON t (email)", sql).await;
        assert_eq!(database.column(INDEXES).await, ["t_email true"], "{sql}");
    }
}

#[tokio::test]
async fn an_index_that_was_built_but_not_recorded_is_recorded() {
    let set = MigrationSet::from_files([
        FIRST,
        (
            "0002_later.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email)",
        ),
    ])
    .expect("a set");
    let database = TestDatabase::create().await;
    // The number of messages of an uninterrupted run: the last records the file, the one before
    // builds the index.
    let messages = {
        let database = TestDatabase::create().await;
        let relay = Relay::start(database.target.port, Interruption::Never).await;
        migrate(&through(&relay, &database), &set, &limits())
            .await
            .expect("the migration succeeds");
        relay.messages()
    };
    let relay = Relay::start(database.target.port, Interruption::BeforeSent(messages)).await;
    let failure = migrate(&through(&relay, &database), &set, &limits())
        .await
        .expect_err("the row is lost");
    assert!(failure.error.is_transient(), "{failure}");
    assert_eq!(database.column(INDEXES).await, ["t_email true"]);
    assert_eq!(migrate_ok(&database, &set).await, [2]);
    assert_eq!(database.column(INDEXES).await, ["t_email true"]);
}

#[tokio::test]
async fn an_index_of_somebody_else_is_not_taken_for_the_files() {
    let database = TestDatabase::create().await;
    let first = MigrationSet::from_files([FIRST]).expect("a set");
    migrate_ok(&database, &first).await;
    database.run("CREATE INDEX t_email ON t (id)").await;
    let set = MigrationSet::from_files([
        FIRST,
        (
            "0002_later.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email)",
        ),
    ])
    .expect("a set");
    for _ in 0..2 {
        let error = migrate(&database.target, &set, &limits())
            .await
            .expect_err("the name is taken")
            .error;
        assert!(
            matches!(&error, MigrationError::Statement(error) if error.server.code == "42P07"),
            "{error}"
        );
    }
}
