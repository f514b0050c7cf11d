//! Who waits for whom, and for how long.

use std::time::{Duration, Instant};

use controller::migrations::{MigrationError, MigrationLimits, MigrationSet, migrate};
use futures::future::join_all;
use sqlx::Connection as _;
use sqlx::migrate::Migrate as _;

use crate::relay::{Cut, Relay};
use crate::support::{TWO, TestDatabase, execute, limits, migrated, set, through};

#[tokio::test]
async fn of_many_migrators_at_once_one_works_and_the_others_wait() {
    let database = TestDatabase::create().await;
    let set = set(&[
        ("0001_a.sql", "CREATE TABLE a (n int); SELECT pg_sleep(0.2)"),
        TWO[1],
    ]);
    let (set, target, limits) = (&set, &database.target, &limits());
    let outcomes = join_all((0..6).map(|_| migrate(target, set, limits))).await;
    let mut applied: Vec<i64> = outcomes
        .into_iter()
        .flat_map(|outcome| outcome.expect("migrated").applied)
        .collect();
    applied.sort_unstable();
    assert_eq!(applied, [1, 2]);
}

#[tokio::test]
async fn the_wait_for_sqlx_holding_the_lock_has_a_limit() {
    let database = TestDatabase::create().await;
    let mut other = database.connect().await;
    other.lock().await.expect("sqlx's own lock");
    let limits = MigrationLimits {
        lock_timeout: Duration::from_millis(200),
        ..limits()
    };
    let failure = migrate(&database.target, &set(&TWO), &limits)
        .await
        .expect_err("locked");
    assert!(
        matches!(failure.error, MigrationError::Locked { .. }),
        "{failure}"
    );
    assert!(failure.error.is_transient());
    other.unlock().await.expect("unlocked");
    migrate(&database.target, &set(&TWO), &limits)
        .await
        .expect("migrated");
}

#[tokio::test]
async fn waiting_for_the_lock_does_not_stop_an_index_that_is_built_concurrently() {
    let database = TestDatabase::create().await;
    let set = set(&[
        TWO[0],
        (
            "0002_index.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
        ("0003_b.sql", "CREATE TABLE b (n int)"),
    ]);
    let first = MigrationSet::from_files([TWO[0]]).expect("a set");
    migrated(&database, &first).await;
    // A writer holds the build up at its beginning, so that the second migrator waits before the build looks for snapshots
    // that are older than its own.
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
                .wait_for(&format!("SELECT FROM ({sessions}) s WHERE count = 2"))
                .await;
            execute(&mut writer, "COMMIT").await;
        };
        tokio::join!(second, release).0
    });
    assert_eq!(one.expect("the builder").applied, [2, 3]);
    assert!(two.expect("the waiter").applied.is_empty());
}

#[tokio::test]
async fn a_statement_has_a_limit() {
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
        .expect_err("too slow");
    match failure.error {
        // The limit is each statement's own: the two before it took longer together.
        MigrationError::Statement(error) => {
            assert_eq!((error.line, error.server.code.as_str()), (Some(3), "57014"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_has_a_limit_even_if_the_server_falls_silent() {
    let database = TestDatabase::create().await;
    // The fourth message is the first file; its answer never comes.
    let relay = Relay::start(database.target.port, Cut::HoldAnswer(4)).await;
    let limits = MigrationLimits {
        file_timeout: Duration::from_millis(300),
        ..limits()
    };
    let failure = migrate(&through(&relay, &database), &set(&TWO), &limits)
        .await
        .expect_err("silence");
    assert!(
        matches!(failure.error, MigrationError::TimedOut { .. }),
        "{failure}"
    );
    assert!(failure.error.is_transient());
}

#[tokio::test]
async fn a_table_in_use_is_given_up_on_soon_and_later_succeeds() {
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
        .expect_err("in use");
    assert!(
        matches!(&failure.error, MigrationError::Statement(error) if error.server.code == "55P03"),
        "{failure}"
    );
    assert!(failure.error.is_transient());
    reader.close().await.expect("closed");
    migrate(&database.target, &set, &limits)
        .await
        .expect("migrated");
}

#[tokio::test]
async fn dropping_the_future_frees_the_lock_though_a_statement_runs() {
    let database = TestDatabase::create().await;
    let slow = set(&[("0001_slow.sql", "SELECT pg_sleep(600)")]);
    let running = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    let limits = limits();
    tokio::select! {
        outcome = migrate(&database.target, &slow, &limits) => panic!("{outcome:?}"),
        () = database.wait_for(running) => {}
    }
    let started = Instant::now();
    assert_eq!(migrated(&database, &set(&TWO)).await, [1, 2]);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
