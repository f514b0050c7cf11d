//! Locks between concurrent migrations, and the timeouts of waiting for them.

use std::time::Duration;

use controller::migrations::{MigrationError, MigrationLimits, MigrationSet, migrate};
use futures::future::join_all;
use sqlx::Connection as _;
use sqlx::migrate::Migrate as _;

use crate::relay::{Interruption, Relay};
use crate::support::{TWO_MIGRATIONS, TestDatabase, execute, limits, migrate_ok, set, through};

#[tokio::test]
async fn of_many_concurrent_migrations_one_runs_and_the_others_wait() {
    let database = TestDatabase::create().await;
    let set = set(&[
        ("0001_a.sql", "CREATE TABLE a (n int); SELECT pg_sleep(0.2)"),
        TWO_MIGRATIONS[1],
    ]);
    let (set, target, limits) = (&set, &database.target, &limits());
    let outcomes = join_all((0..6).map(|_| migrate(target, set, limits))).await;
    let mut applied: Vec<i64> = outcomes
        .into_iter()
        .flat_map(|outcome| outcome.expect("the migration succeeds").applied)
        .collect();
    applied.sort_unstable();
    assert_eq!(applied, [1, 2]);
}

#[tokio::test]
async fn waiting_for_a_lock_that_sqlx_holds_times_out() {
    let database = TestDatabase::create().await;
    let mut other = database.connect().await;
    other.lock().await.expect("locked through sqlx");
    let limits = MigrationLimits {
        lock_timeout: Duration::from_millis(200),
        ..limits()
    };
    let failure = migrate(&database.target, &set(&TWO_MIGRATIONS), &limits)
        .await
        .expect_err("the database is locked");
    assert!(
        matches!(failure.error, MigrationError::Locked { .. }),
        "{failure}"
    );
    assert!(failure.error.is_transient());
    other.unlock().await.expect("unlocked");
    migrate(&database.target, &set(&TWO_MIGRATIONS), &limits)
        .await
        .expect("the migration succeeds");
}

#[tokio::test]
async fn waiting_for_the_lock_does_not_block_create_index_concurrently() {
    let database = TestDatabase::create().await;
    let set = set(&[
        TWO_MIGRATIONS[0],
        (
            "0002_index.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
        ("0003_b.sql", "CREATE TABLE b (n int)"),
    ]);
    let first = MigrationSet::from_files([TWO_MIGRATIONS[0]]).expect("the set is valid");
    migrate_ok(&database, &first).await;
    // An open transaction delays the start of the index build, so that the second migration waits
    // before the build checks for snapshots that are older than its own.
    let mut writer = database.connect().await;
    execute(&mut writer, "BEGIN; INSERT INTO a VALUES (1)").await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenant-controller' AND datname = current_database()";
    let limits = limits();
    let (one, two) = tokio::join!(migrate(&database.target, &set, &limits), async {
        database
            .wait_for("SELECT FROM pg_stat_activity WHERE wait_event = 'virtualxid' AND datname = current_database()")
            .await;
        let second = migrate(&database.target, &set, &limits);
        let release = async {
            database
                .wait_for(&format!("SELECT FROM ({sessions}) s WHERE count = 3"))
                .await;
            execute(&mut writer, "COMMIT").await;
        };
        tokio::join!(second, release).0
    });
    assert_eq!(one.expect("the first migration succeeds").applied, [2, 3]);
    assert!(
        two.expect("the second migration succeeds")
            .applied
            .is_empty()
    );
}

#[tokio::test]
async fn a_slow_statement_times_out() {
    let database = TestDatabase::create().await;
    let limits = MigrationLimits {
        statement_timeout: Duration::from_millis(300),
        ..limits()
    };
    let set = set(&[(
        "0001_slow.sql",
        "SELECT pg_sleep(0.2);\nSELECT pg_sleep(0.2);\nSELECT pg_sleep(60)",
    )]);
    let failure = migrate(&database.target, &set, &limits)
        .await
        .expect_err("the statement times out");
    match failure.error {
        // The timeout applies to each statement: the first two take longer than that together.
        MigrationError::Statement(error) => {
            assert_eq!((error.line, error.server.code.as_str()), (Some(3), "57014"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_times_out_when_the_server_stops_responding() {
    let database = TestDatabase::create().await;
    // The fourth message contains the first file; its response is held back.
    let relay = Relay::start(database.target.port, Interruption::HoldResponse(4)).await;
    let limits = MigrationLimits {
        file_timeout: Duration::from_millis(300),
        ..limits()
    };
    let failure = migrate(&through(&relay, &database), &set(&TWO_MIGRATIONS), &limits)
        .await
        .expect_err("the file times out");
    assert!(
        matches!(failure.error, MigrationError::TimedOut { .. }),
        "{failure}"
    );
    assert!(failure.error.is_transient());
}

#[tokio::test]
async fn a_locked_table_fails_early_and_succeeds_later() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE a (n int)").await;
    let mut reader = database.connect().await;
    execute(&mut reader, "BEGIN; SELECT * FROM a").await;
    let limits = MigrationLimits {
        table_lock_timeout: Duration::from_millis(100),
        ..limits()
    };
    let set = set(&[("0001_a.sql", "ALTER TABLE a ADD m int")]);
    let failure = migrate(&database.target, &set, &limits)
        .await
        .expect_err("the table is locked");
    assert!(
        matches!(&failure.error, MigrationError::Statement(error) if error.server.code == "55P03"),
        "{failure}"
    );
    assert!(failure.error.is_transient());
    reader.close().await.expect("closed");
    migrate(&database.target, &set, &limits)
        .await
        .expect("the migration succeeds");
}

#[tokio::test]
async fn dropping_the_future_releases_the_lock_while_a_statement_runs() {
    let database = TestDatabase::create().await;
    let slow = set(&[("0001_slow.sql", "SELECT pg_sleep(600)")]);
    let running = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    let limits = limits();
    tokio::select! {
        outcome = migrate(&database.target, &slow, &limits) => panic!("{outcome:?}"),
        () = database.wait_for(running) => {}
    }
    // The statement sleeps for longer than this waits for the lock.
    assert_eq!(migrate_ok(&database, &set(&TWO_MIGRATIONS)).await, [1, 2]);
}
