//! Statements with `CONCURRENTLY` that were interrupted run again, leave no invalid index, and are
//! recognized if they took effect.

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

/// Migrates, and loses the message that records the second file. The one before runs it.
async fn migrate_without_record(first: &'static str, second: &'static str) -> TestDatabase {
    let set = set_of(first, second);
    let database = TestDatabase::create().await;
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
    database
}

fn set_of(first: &'static str, second: &'static str) -> MigrationSet {
    MigrationSet::from_files([("0001_t.sql", first), ("0002_later.sql", second)]).expect("a set")
}

#[tokio::test]
async fn an_index_that_was_built_but_not_recorded_is_recorded() {
    let later = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email)";
    let database = migrate_without_record(FIRST.1, later).await;
    assert_eq!(database.column(INDEXES).await, ["t_email true"]);
    let id = "SELECT 't_email'::regclass::oid::text";
    let built = database.column(id).await;
    assert_eq!(migrate_ok(&database, &set_of(FIRST.1, later)).await, [2]);
    assert_eq!(database.column(INDEXES).await, ["t_email true"]);
    assert_eq!(database.column(id).await, built, "not built again");
}

const PARTITIONED: &str = "CREATE TABLE t (id int) PARTITION BY RANGE (id);\n\
                           CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (9);\n\
                           INSERT INTO t VALUES (1);\nCREATE INDEX t_id ON t_1 (id);\n";
/// The partitions of the table, and whether they are half detached.
const PARTITIONS: &str = "SELECT relname || ' ' || inhdetachpending FROM pg_inherits JOIN pg_class ON oid = inhrelid \
                          WHERE inhparent = 't'::regclass";

#[tokio::test]
async fn what_was_removed_but_not_recorded_is_recorded() {
    for later in [
        "-- no-transaction\nDROP INDEX CONCURRENTLY t_id",
        "-- no-transaction\nDROP INDEX CONCURRENTLY public.\"t_id\" RESTRICT;\n",
        "-- no-transaction\nALTER TABLE t DETACH PARTITION t_1 CONCURRENTLY",
        "-- no-transaction\nALTER TABLE ONLY public.t DETACH PARTITION public.t_1 CONCURRENTLY;",
    ] {
        let database = migrate_without_record(PARTITIONED, later).await;
        let set = set_of(PARTITIONED, later);
        assert_eq!(migrate_ok(&database, &set).await, [2], "{later}");
        assert!(migrate_ok(&database, &set).await.is_empty(), "{later}");
    }
}

#[tokio::test]
async fn a_half_detached_partition_is_detached() {
    let later = "-- no-transaction\nALTER TABLE t DETACH PARTITION t_1 CONCURRENTLY";
    let first = MigrationSet::from_files([("0001_t.sql", PARTITIONED)]).expect("a set");
    let database = TestDatabase::create().await;
    migrate_ok(&database, &first).await;
    let mut limits = limits();
    limits.table_lock_timeout = std::time::Duration::from_millis(300);
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN; SELECT FROM t").await;
    let set = set_of(PARTITIONED, later);
    migrate(&database.target, &set, &limits)
        .await
        .expect_err("the table is in use");
    execute(&mut other, "COMMIT").await;
    assert_eq!(database.column(PARTITIONS).await, ["t_1 true"]);
    assert_eq!(migrate_ok(&database, &set).await, [2]);
    assert!(database.column(PARTITIONS).await.is_empty());
    assert_eq!(database.column("SELECT id::text FROM t_1").await, ["1"]);
}

#[tokio::test]
async fn what_does_not_exist_is_not_taken_for_removed() {
    for later in [
        "-- no-transaction\nDROP INDEX CONCURRENTLY missing",
        "-- no-transaction\nALTER TABLE t DETACH PARTITION missing CONCURRENTLY",
    ] {
        let database = TestDatabase::create().await;
        for _ in 0..2 {
            let error = migrate(&database.target, &set_of(PARTITIONED, later), &limits())
                .await
                .expect_err("there is nothing to remove")
                .error;
            assert!(matches!(&error, MigrationError::Statement(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn any_other_statement_that_was_not_recorded_fails_with_the_way_out() {
    let first = "CREATE TYPE mood AS ENUM ('happy')";
    let later = "-- no-transaction\nALTER TYPE mood ADD VALUE 'sad'";
    let database = migrate_without_record(first, later).await;
    let set = set_of(first, later);
    let error = migrate(&database.target, &set, &limits())
        .await
        .expect_err("the value exists")
        .error;
    assert!(
        matches!(&error, MigrationError::Repeated { version: 2, .. }),
        "{error}"
    );
    // As the message says.
    database
        .run("UPDATE public._sqlx_migrations SET success = true WHERE version = 2")
        .await;
    assert!(migrate_ok(&database, &set).await.is_empty());
}

#[tokio::test]
async fn an_index_of_another_content_of_the_file_is_not_taken_for_the_files() {
    let other = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (id)";
    let database = migrate_without_record(FIRST.1, other).await;
    let later = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email)";
    assert_name_is_taken(&database, later).await;
}

#[tokio::test]
async fn an_index_that_appears_after_a_failure_is_not_taken_for_the_files() {
    let failing = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (missing)";
    let database = TestDatabase::create().await;
    migrate(&database.target, &set_of(FIRST.1, failing), &limits())
        .await
        .expect_err("the column does not exist");
    database.run("CREATE INDEX t_email ON t (id)").await;
    let corrected = "-- no-transaction\nCREATE INDEX CONCURRENTLY t_email ON t (email)";
    assert_name_is_taken(&database, corrected).await;
}

/// Asserts that the second file fails, without the advice to record it as applied.
async fn assert_name_is_taken(database: &TestDatabase, later: &'static str) {
    for _ in 0..2 {
        let error = migrate(&database.target, &set_of(FIRST.1, later), &limits())
            .await
            .expect_err("the name is taken")
            .error;
        assert!(
            matches!(&error, MigrationError::Statement(error) if error.server.code == "42P07"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_statement_that_was_rejected_fails_again_without_advice() {
    let set = set_of(
        "CREATE TYPE mood AS ENUM ('happy', 'sad')",
        "-- no-transaction\nALTER TYPE mood ADD VALUE 'sad'",
    );
    let database = TestDatabase::create().await;
    for _ in 0..3 {
        let error = migrate(&database.target, &set, &limits())
            .await
            .expect_err("the value exists")
            .error;
        assert!(matches!(&error, MigrationError::Statement(_)), "{error}");
    }
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

#[tokio::test]
async fn an_invalid_index_of_somebody_else_is_kept() {
    let database = TestDatabase::create().await;
    let first = MigrationSet::from_files([FIRST]).expect("a set");
    migrate_ok(&database, &first).await;
    database.run("CREATE INDEX t_id_idx ON t (id)").await;
    execute(
        &mut database.connect_as_root().await,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_id_idx'::regclass",
    )
    .await;
    let later = "-- no-transaction\nCREATE INDEX CONCURRENTLY ON t (email)";
    assert_eq!(migrate_ok(&database, &set_of(FIRST.1, later)).await, [2]);
    assert_eq!(
        database.column(INDEXES).await,
        ["t_email_idx true", "t_id_idx false"]
    );
}

#[tokio::test]
async fn a_statement_that_failed_can_be_replaced_by_a_file_in_a_transaction() {
    let failing = "-- no-transaction\nCREATE INDEX CONCURRENTLY ON t (missing)";
    let database = TestDatabase::create().await;
    migrate(&database.target, &set_of(FIRST.1, failing), &limits())
        .await
        .expect_err("the column does not exist");
    let corrected = "CREATE INDEX ON t (email)";
    assert_eq!(
        migrate_ok(&database, &set_of(FIRST.1, corrected)).await,
        [2]
    );
    assert_eq!(database.column(INDEXES).await, ["t_email_idx true"]);
}
