//! Migrating real databases: what is applied, what is refused, and who waits for whom.

use std::time::{Duration, Instant};

use crate::relay::{Cut, Relay};
use crate::support::{PASSWORD, TestDatabase, execute, limits, set};
use controller::schema::{
    DatabaseTarget, MigrateError, MigrationLimits, SchemaSet, StatementError, migrate,
};
use futures::future::join_all;
use sqlx::Connection as _;
use sqlx::migrate::{Migrate as _, Migrator};

const TWO: [(&str, &str); 2] = [
    ("0001_a.sql", "CREATE TABLE a (n int)"),
    ("0002_b.sql", "CREATE TABLE b (n int)"),
];

fn through(relay: &Relay, database: &TestDatabase) -> DatabaseTarget {
    DatabaseTarget {
        port: relay.port(),
        ..database.target.clone()
    }
}

async fn migrated(database: &TestDatabase, set: &SchemaSet) -> Vec<i64> {
    match migrate(&database.target, set, &limits()).await {
        Ok(migrated) => migrated.applied,
        Err(failure) => panic!("{failure}"),
    }
}

async fn refused(database: &TestDatabase, set: &SchemaSet) -> MigrateError {
    let outcome = migrate(&database.target, set, &limits()).await;
    outcome.expect_err("it should be refused").error
}

async fn failing_statement(database: &TestDatabase, set: &SchemaSet) -> StatementError {
    match refused(database, set).await {
        MigrateError::Statement(error) => *error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_empty_database_gets_every_migration_and_then_nothing_more() {
    let database = TestDatabase::create().await;
    let set = SchemaSet::built_in().expect("a set");
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
    let ours = SchemaSet::from_directory(folder.path()).expect("a set");
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
        matches!(failure.error, MigrateError::Locked { .. }),
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
    let first = SchemaSet::from_files([TWO[0]]).expect("a set");
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
async fn a_failing_statement_is_named_by_file_line_and_postgres_words() {
    let database = TestDatabase::create().await;
    migrated(&database, &set(&TWO)).await;
    for (sql, line, code, words) in [
        (
            "SELECT 1;\n\nSELECT\n  nonsense;",
            4,
            "42703",
            "\"nonsense\"",
        ),
        (
            "-- ü\nCREATE TABLE c ();\nCREAT TABLE d ();\n",
            3,
            "42601",
            "syntax error",
        ),
        ("CREATE TABLE c (\n", 1, "42601", "syntax error"),
        (
            "SELECT 1;\n-- again\nCREATE TABLE a ();\nSELECT 2",
            3,
            "42P07",
            "already exists",
        ),
        (
            "SELECT 1;\nDO $$ BEGIN\n RAISE 'no' USING HINT = 'try this';\nEND $$;",
            2,
            "P0001",
            "try this",
        ),
        (
            "SELECT 1\n;SELECT 1 / n\nFROM generate_series(0, 1) n",
            2,
            "22012",
            "division by zero",
        ),
        (
            "-- no-transaction\n\nDROP TABLE nowhere",
            3,
            "42P01",
            "nowhere",
        ),
        (
            "CREATE TABLE c ();\nCREATE INDEX CONCURRENTLY c_n ON a (n);",
            2,
            "25001",
            "transaction block",
        ),
    ] {
        let mut files = TWO.to_vec();
        files.push(("0003_c.sql", sql));
        let error = failing_statement(&database, &set(&files)).await;
        assert_eq!(
            (error.line, error.server.code.as_str()),
            (Some(line), code),
            "{sql}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with("0003_c.sql, line ") && text.contains(words),
            "{sql}: {text}"
        );
        // Nothing of the file stays, so mending it is enough.
        assert_eq!(
            database
                .column("SELECT coalesce(to_regclass('c')::text, '-')")
                .await,
            ["-"],
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_failing_file_leaves_those_before_it_and_goes_on_once_mended() {
    let database = TestDatabase::create().await;
    let broken = set(&[
        TWO[0],
        ("0002_b.sql", "CREATE TABLE b (); CREATE TABLE a ()"),
        ("0003_c.sql", "SELECT 1"),
    ]);
    let failure = migrate(&database.target, &broken, &limits())
        .await
        .expect_err("it fails");
    assert_eq!(
        (failure.version, failure.applied.as_slice()),
        (Some(1), [1].as_slice())
    );
    assert!(!failure.error.is_transient());
    let again = migrate(&database.target, &broken, &limits())
        .await
        .expect_err("it fails");
    assert_eq!(
        (again.version, again.applied.as_slice()),
        (Some(1), [].as_slice())
    );
    let mended = set(&[TWO[0], TWO[1], ("0003_c.sql", "SELECT 1")]);
    assert_eq!(migrated(&database, &mended).await, [2, 3]);
}

#[tokio::test]
async fn a_constraint_that_fails_at_the_commit_is_the_files_failure() {
    let database = TestDatabase::create().await;
    let sql = "CREATE TABLE p (n int PRIMARY KEY);\n\
               CREATE TABLE q (n int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO q VALUES (7777)";
    let error = failing_statement(&database, &set(&[("0001_q.sql", sql)])).await;
    assert_eq!((error.line, error.server.code.as_str()), (None, "23503"));
    assert!(
        !error.to_string().contains("7777"),
        "a row's value is shown: {error}"
    );
    assert!(
        database
            .column("SELECT version::text FROM _sqlx_migrations")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn what_an_errors_text_shows_is_no_tenants_row() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE people (mail text); INSERT INTO people VALUES ('x@example.org'), ('x@example.org')").await;
    for sql in [
        "CREATE UNIQUE INDEX people_mail ON people (mail)",
        "ALTER TABLE people ALTER mail TYPE int USING mail::int",
        "ALTER TABLE people ADD CHECK (mail = '')",
    ] {
        let error = failing_statement(&database, &set(&[("0001_a.sql", sql)])).await;
        let text = format!("{error} {error:?}");
        assert!(!text.contains("example.org"), "{sql}: {text}");
    }
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
        matches!(refused(&database, &edited).await, MigrateError::Changed { version: 2, file } if file == "0002_b.sql")
    );
    assert!(matches!(
        refused(&database, &removed).await,
        MigrateError::Missing { version: 1 }
    ));
    let failure = migrate(&database.target, &older, &limits())
        .await
        .expect_err("ahead");
    assert!(
        matches!(
            failure.error,
            MigrateError::Ahead {
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
        matches!(refused(&database, &set).await, MigrateError::Dirty { version: 1, file } if file == "0001_a.sql")
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
        MigrateError::Statement(error) => {
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
        matches!(failure.error, MigrateError::TimedOut { .. }),
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
        matches!(&failure.error, MigrateError::Statement(error) if error.server.code == "55P03"),
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

#[tokio::test]
async fn a_session_ended_by_the_server_is_worth_another_try() {
    let database = TestDatabase::create().await;
    let suicide = set(&[(
        "0001_a.sql",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    )]);
    let error = refused(&database, &suicide).await;
    assert!(matches!(error, MigrateError::Interrupted { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn no_text_of_any_kind_shows_the_password() {
    let database = TestDatabase::create().await;
    let set = set(&TWO);
    let wrong = DatabaseTarget {
        password: format!("{PASSWORD}-wrong").into(),
        ..database.target.clone()
    };
    let absent = DatabaseTarget {
        database: "absent".to_owned(),
        ..database.target.clone()
    };
    let abroad = DatabaseTarget {
        host: "192.0.2.1".to_owned(),
        ..database.target.clone()
    };
    let unsendable = DatabaseTarget {
        password: format!("{PASSWORD}\u{7}").into(),
        ..database.target.clone()
    };
    for (target, variant) in [
        (&wrong, "Authentication"),
        (&absent, "DatabaseMissing"),
        (&abroad, "PlaintextRefused"),
        (&unsendable, ""),
    ] {
        let started = Instant::now();
        let failure = migrate(target, &set, &limits()).await.expect_err("refused");
        let text = format!("{failure} {failure:?} {target:?}");
        assert!(
            format!("{:?}", failure.error).starts_with(variant),
            "{text}"
        );
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(!failure.error.is_transient(), "{text}");
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "what no time mends is said at once: {text}"
        );
    }
}
