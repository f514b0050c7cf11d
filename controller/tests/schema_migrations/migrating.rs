//! Which migrations a database gets, how many messages that takes, and which databases stay
//! unchanged.

use controller::migrations::{
    MigrationError, MigrationSet, Migrator as _, PostgresMigrator, migrate,
};
use sqlx::migrate::{Migrate as _, Migrator};

use crate::relay::{Interruption, Relay};
use crate::support::{
    TWO_MIGRATIONS, TestDatabase, limits, migrate_err, migrate_ok, set, statement_error, through,
};

#[tokio::test]
async fn an_empty_database_gets_every_migration_once() {
    let database = TestDatabase::create().await;
    let set = MigrationSet::built_in().expect("the set is valid");
    let first = migrate(&database.target, &set, &limits())
        .await
        .expect("the migration succeeds");
    assert_eq!(first.version, set.target_version());
    assert_eq!(first.digest, set.digest());
    assert_eq!(first.applied.len(), set.migrations().len());
    let second = migrate(&database.target, &set, &limits())
        .await
        .expect("the migration succeeds");
    assert!(second.applied.is_empty());
    assert_eq!(
        (second.version, second.digest),
        (first.version, first.digest)
    );
}

#[tokio::test]
async fn a_migration_finds_out_whether_other_clients_are_connected() {
    let (database, other) = (TestDatabase::create().await, TestDatabase::create().await);
    // The server notices the end of a connection a moment later.
    let no_client = format!(
        "select 1 where not exists (select from pg_stat_activity where datname = '{}')",
        database.target.database
    );
    let migrator = PostgresMigrator(limits());
    let unused = async |files: &[(&'static str, &'static str)], check_use| {
        let set = MigrationSet::from_files(files.iter().copied()).expect("the set is valid");
        let connected = migrator.connect(&database.target).await.expect("connected");
        let report = connected.migrate(&set, check_use).await;
        report.expect("the migration succeeds").unused
    };
    let files = [
        ("1_a.sql", "create table a ()"),
        ("2_b.sql", "create table b ()"),
        ("3_c.sql", "create table c ()"),
        (
            "4_d.sql",
            "set search_path = public; create view pg_stat_activity as select 1",
        ),
        ("5_e.sql", "create table e ()"),
    ];
    assert!(!unused(&files[..1], false).await, "not asked for");
    other.wait_for(&no_client).await;
    assert!(unused(&files[..2], true).await, "no other client");
    assert!(!unused(&files[..2], true).await, "nothing was applied");
    let client = database.connect().await;
    assert!(!unused(&files[..3], true).await, "another client");
    assert!(
        !unused(&files[..4], true).await,
        "a view does not hide the client"
    );
    drop(client);
    other.wait_for(&no_client).await;
    assert!(unused(&files, true).await, "no other client any more");
}

#[tokio::test]
async fn the_migrations_table_equals_the_one_that_sqlx_writes() {
    let folder = tempfile::tempdir().expect("created a directory");
    for (name, sql) in [
        ("0_baseline.sql", "CREATE TABLE zero (n int);"),
        ("0001_first_things.sql", "CREATE TABLE a (n int); -- done"),
        (
            "0002_bare.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
    ] {
        std::fs::write(folder.path().join(name), sql).expect("written");
    }
    let sqlx = Migrator::new(folder.path())
        .await
        .expect("sqlx reads the directory");
    let ours = MigrationSet::from_directory(folder.path()).expect("the set is valid");
    let (by_us, by_sqlx) = (TestDatabase::create().await, TestDatabase::create().await);
    migrate_ok(&by_us, &ours).await;
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
    // Each accepts the other's table.
    sqlx.run(&mut by_us.connect().await)
        .await
        .expect("sqlx finds nothing to do");
    assert!(migrate_ok(&by_sqlx, &ours).await.is_empty());
}

#[tokio::test]
async fn an_up_to_date_database_takes_one_message_and_no_lock() {
    let database = TestDatabase::create().await;
    migrate_ok(&database, &set(&TWO_MIGRATIONS)).await;
    let mut other = database.connect().await;
    other.lock().await.expect("locked through sqlx");
    let relay = Relay::start(database.target.port, Interruption::Never).await;
    let result = migrate(
        &through(&relay, &database),
        &set(&TWO_MIGRATIONS),
        &limits(),
    )
    .await
    .expect("the migration succeeds");
    assert!(result.applied.is_empty());
    assert_eq!(relay.messages(), 1);
}

#[tokio::test]
async fn an_empty_database_takes_few_messages_per_file() {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.target.port, Interruption::Never).await;
    migrate(
        &through(&relay, &database),
        &set(&TWO_MIGRATIONS),
        &limits(),
    )
    .await
    .expect("the migration succeeds");
    // Reading the state, the lock, the table; the first file in a session of its own; reading the
    // state again; the second file.
    assert_eq!(relay.messages(), 3 + 3 + 1 + 2);
}

#[tokio::test]
async fn a_database_that_does_not_match_the_set_is_not_changed() {
    let database = TestDatabase::create().await;
    migrate_ok(&database, &set(&TWO_MIGRATIONS)).await;
    let edited = set(&[
        TWO_MIGRATIONS[0],
        ("0002_b.sql", "CREATE TABLE b (n bigint)"),
        ("0003_c.sql", "CREATE TABLE c ()"),
    ]);
    let removed = set(&[TWO_MIGRATIONS[1], ("0003_c.sql", "CREATE TABLE c ()")]);
    let older = set(&TWO_MIGRATIONS[..1]);
    assert!(
        matches!(migrate_err(&database, &edited).await, MigrationError::Changed { version: 2, file, .. } if file == "0002_b.sql")
    );
    assert!(matches!(
        migrate_err(&database, &removed).await,
        MigrationError::Missing { version: 1 }
    ));
    let failure = migrate(&database.target, &older, &limits())
        .await
        .expect_err("the database is ahead");
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
    assert!(
        migrate_ok(&database, &set(&TWO_MIGRATIONS))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn an_unfinished_migration_is_repeated_only_outside_a_transaction() {
    let database = TestDatabase::create().await;
    let set = set(&[
        TWO_MIGRATIONS[0],
        (
            "0002_bare.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
        ),
    ]);
    migrate_ok(&database, &set).await;
    database
        .run("UPDATE _sqlx_migrations SET success = false WHERE version = 2")
        .await;
    assert_eq!(migrate_ok(&database, &set).await, [2]);
    database
        .run("UPDATE _sqlx_migrations SET success = false WHERE version = 1")
        .await;
    assert!(
        matches!(migrate_err(&database, &set).await, MigrationError::Dirty { version: 1, file } if file == "0001_a.sql")
    );
}

#[tokio::test]
async fn an_invalid_index_is_rebuilt() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1)")
        .await;
    let set = set(&[(
        "0001_index.sql",
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_n ON a (n)",
    )]);
    let valid = "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'a_n'::regclass";
    assert_eq!(statement_error(&database, &set).await.server.code, "23505");
    assert_eq!(database.column(valid).await, ["false"]);
    database
        .run("DELETE FROM a WHERE ctid <> (SELECT min(ctid) FROM a)")
        .await;
    assert_eq!(migrate_ok(&database, &set).await, [1]);
    assert_eq!(database.column(valid).await, ["true"]);
}

#[tokio::test]
async fn settings_of_one_file_do_not_affect_the_next() {
    let database = TestDatabase::create().await;
    let set = set(&[
        (
            "0001_a.sql",
            "CREATE SCHEMA other; SET search_path = other; SET statement_timeout = 300; CREATE TABLE a ()",
        ),
        ("0002_b.sql", "SELECT pg_sleep(0.4); CREATE TABLE b ()"),
        (
            "0003_c.sql",
            "-- no-transaction\nCREATE TABLE IF NOT EXISTS c ()",
        ),
    ]);
    assert_eq!(migrate_ok(&database, &set).await, [1, 2, 3]);
    let tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename IN ('a', 'b', 'c') ORDER BY tablename";
    assert_eq!(
        database.column(tables).await,
        ["other.a", "public.b", "public.c"]
    );
}
