//! Databases whose owner makes reading or migrating them dangerous. Each is refused or migrated
//! within limits, and nothing that it contains appears in an error.

use std::time::Duration;

use controller::migrations::{MigrationError, MigrationLimits, migrate};
use sqlx::Connection as _;

use crate::support::{
    TWO_MIGRATIONS, TestDatabase, execute, limits, migrate_err, migrate_ok, returns, set,
};

/// In every text that a hostile database can return.
const MARKER: &str = "anna@example.org";
/// sqlx's table with another definition of its columns.
const COLUMNS: &str = "version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(), \
                       success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL";

/// Limits that end a wait early.
fn short() -> MigrationLimits {
    MigrationLimits {
        connect_timeout: Duration::from_millis(700),
        connect_total_timeout: Duration::from_secs(2),
        table_lock_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_secs(1),
        query_timeout: Duration::from_secs(3),
        ..limits()
    }
}

#[tokio::test]
async fn a_migrations_table_that_sqlx_did_not_create_is_not_read() {
    let slow = "CREATE FUNCTION slow() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN 1; END $$;\
                CREATE FUNCTION slow_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;";
    let altered = |change: &str| format!("CREATE TABLE _sqlx_migrations ({COLUMNS}); {change}");
    for sql in [
        "CREATE VIEW _sqlx_migrations AS SELECT slow() AS version, true AS success, ''::bytea AS checksum".to_owned(),
        "CREATE MATERIALIZED VIEW _sqlx_migrations AS SELECT 1::bigint AS version".to_owned(),
        "CREATE SEQUENCE _sqlx_migrations".to_owned(),
        "CREATE TYPE _sqlx_migrations AS (version bigint)".to_owned(),
        format!("CREATE TABLE _sqlx_migrations ({COLUMNS}) PARTITION BY RANGE (version)"),
        format!("CREATE TABLE parent ({COLUMNS}); CREATE TABLE _sqlx_migrations () INHERITS (parent)"),
        altered("CREATE TABLE child () INHERITS (_sqlx_migrations)"),
        altered("ALTER TABLE _sqlx_migrations ENABLE ROW LEVEL SECURITY; ALTER TABLE _sqlx_migrations FORCE ROW LEVEL SECURITY; \
                 CREATE POLICY p ON _sqlx_migrations USING (slow() = 1)"),
        altered("CREATE TRIGGER t BEFORE INSERT ON _sqlx_migrations FOR EACH ROW EXECUTE FUNCTION slow_trigger()"),
        altered("CREATE RULE r AS ON INSERT TO _sqlx_migrations DO INSTEAD SELECT slow()"),
        altered("ALTER TABLE _sqlx_migrations ADD CHECK (slow() = version)"),
        altered("CREATE FUNCTION one(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT $1'; \
                 CREATE INDEX ON _sqlx_migrations (one(version))"),
        altered("ALTER TABLE _sqlx_migrations DROP COLUMN checksum; \
                 ALTER TABLE _sqlx_migrations ADD checksum bytea GENERATED ALWAYS AS ('\\x00') STORED"),
        altered("ALTER TABLE _sqlx_migrations ADD extra bigint DEFAULT slow()"),
        altered("ALTER TABLE _sqlx_migrations ALTER checksum TYPE text USING ''"),
        altered("ALTER TABLE _sqlx_migrations ALTER success TYPE int USING 1"),
        altered("CREATE DOMAIN d AS bigint CHECK (value > 0); ALTER TABLE _sqlx_migrations ALTER version TYPE d"),
        altered("ALTER TABLE _sqlx_migrations ALTER checksum DROP NOT NULL; INSERT INTO _sqlx_migrations VALUES (1, '', now(), true, NULL, 0)"),
        altered("ALTER TABLE _sqlx_migrations DROP CONSTRAINT _sqlx_migrations_pkey"),
        altered("INSERT INTO _sqlx_migrations SELECT n, '', now(), true, '', 0 FROM generate_series(1, 10001) n"),
        altered("INSERT INTO _sqlx_migrations VALUES (1, '', now(), true, decode(repeat('00', 65), 'hex'), 0)"),
        altered("INSERT INTO _sqlx_migrations VALUES (1, '', now(), true, decode(repeat('00', 100000000), 'hex'), 0)"),
    ] {
        let database = TestDatabase::create().await;
        database.run(&format!("{slow} {sql}")).await;
        let (set, limits) = (set(&TWO_MIGRATIONS), limits());
        let failure = returns(&sql, migrate(&database.target, &set, &limits))
            .await
            .expect_err(&sql);
        let MigrationError::InvalidMigrationsTable { .. } = failure.error else {
            panic!("{sql}: {failure:?}");
        };
        assert!(!failure.error.is_transient(), "{sql}");
        let changed = "SELECT coalesce(to_regclass('a')::text, '-')";
        assert_eq!(database.column(changed).await, ["-"], "{sql}");
    }
}

#[tokio::test]
async fn columns_that_are_not_read_may_have_any_size() {
    let database = TestDatabase::create().await;
    let set = set(&TWO_MIGRATIONS);
    migrate_ok(&database, &set).await;
    database
        .run("UPDATE _sqlx_migrations SET description = repeat('x', 100000000)")
        .await;
    assert!(migrate_ok(&database, &set).await.is_empty());
}

#[tokio::test]
async fn a_database_that_is_slow_ends_within_the_limits() {
    let sleep = "CREATE FUNCTION public.sleep() RETURNS event_trigger LANGUAGE plpgsql AS \
                 $$ BEGIN IF session_user <> 'postgres' THEN PERFORM pg_sleep(3600); END IF; END $$;";
    for (as_owner, as_root) in [
        (
            "CREATE TABLE a (n int)",
            format!(
                "{sleep} CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION public.sleep()"
            ),
        ),
        (
            "CREATE TABLE a (n int)",
            format!(
                "{sleep} CREATE EVENT TRIGGER e ON login EXECUTE FUNCTION public.sleep(); ALTER EVENT TRIGGER e ENABLE ALWAYS"
            ),
        ),
        (
            "CREATE TABLE a (n int); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$; \
             CREATE CONSTRAINT TRIGGER t AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION slow()",
            "SELECT 1".to_owned(),
        ),
    ] {
        let database = TestDatabase::create().await;
        database.run(as_owner).await;
        let mut root = database.connect_as_root().await;
        execute(&mut root, &as_root).await;
        root.close().await.expect("closed");
        let set = set(&[("0001_a.sql", "INSERT INTO a VALUES (1); CREATE TABLE b ()")]);
        let failure = returns(&as_root, migrate(&database.target, &set, &short()))
            .await
            .expect_err("a limit ends the migration");
        assert!(
            failure.error.ran_into_time_limit(),
            "{as_root}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_lock_on_the_migrations_table_ends_within_the_limits() {
    let database = TestDatabase::create().await;
    let set = set(&TWO_MIGRATIONS);
    migrate_ok(&database, &set).await;
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN; LOCK TABLE _sqlx_migrations").await;
    let failure = migrate(&database.target, &set, &short())
        .await
        .expect_err("the table is locked");
    assert!(failure.error.is_transient(), "{failure:?}");
    assert!(failure.error.ran_into_time_limit(), "{failure:?}");
}

#[tokio::test]
async fn no_error_contains_what_the_database_contains() {
    let rows = format!(
        "CREATE TABLE person (id int, mail text); INSERT INTO person VALUES (1, '{MARKER} & cancer &'), (2, '{MARKER}'), (3, '{MARKER}')"
    );
    for sql in [
        "ALTER TABLE person ALTER mail TYPE tsquery USING to_tsquery(mail)",
        "ALTER TABLE person ALTER mail TYPE regclass USING mail::regclass",
        "ALTER TABLE person ALTER mail TYPE regtype USING mail::regtype",
        "ALTER TABLE person ALTER mail TYPE regproc USING mail::regproc",
        "ALTER TABLE person ALTER mail TYPE regrole USING mail::regrole",
        "ALTER TABLE person ALTER mail TYPE regnamespace USING mail::regnamespace",
        "ALTER TABLE person ALTER mail TYPE regconfig USING mail::regconfig",
        "ALTER TABLE person ALTER mail TYPE jsonb USING mail::jsonb",
        "ALTER TABLE person ALTER mail TYPE jsonpath USING mail::jsonpath",
        "ALTER TABLE person ALTER mail TYPE xml USING mail::xml",
        "ALTER TABLE person ALTER mail TYPE timestamptz USING mail::timestamptz",
        "ALTER TABLE person ALTER mail TYPE inet USING mail::inet",
        "SELECT set_config(mail, 'a', false) FROM person",
        "SELECT current_setting(mail) FROM person",
        "SELECT nextval(mail::regclass) FROM person",
        "SELECT now() AT TIME ZONE mail FROM person",
        "SELECT pg_notify(mail, '') FROM (SELECT repeat(mail, 50) AS mail FROM person) p",
        "SELECT encode('', mail) FROM person",
        "SELECT '' ~ ('(' || mail) FROM person",
        "CREATE UNIQUE INDEX person_mail ON person (mail)",
        "ALTER TABLE person ADD CONSTRAINT c CHECK (mail = '')",
        "ALTER TABLE person ADD CONSTRAINT e EXCLUDE (mail WITH =)",
        "DO $$ BEGIN RAISE '%', (SELECT mail FROM person LIMIT 1); END $$",
        "DO $$ BEGIN RAISE '%', (SELECT mail FROM person LIMIT 1) USING ERRCODE = '42P07', HINT = (SELECT mail FROM person LIMIT 1), \
         DETAIL = (SELECT mail FROM person LIMIT 1); END $$",
        "DO $$ BEGIN RAISE '%', (SELECT repeat(mail, 1000000) FROM person LIMIT 1) USING ERRCODE = '42P07'; END $$",
        "DO $$ BEGIN EXECUTE (SELECT mail FROM person LIMIT 1); END $$",
        "DO $$ BEGIN ASSERT false, (SELECT mail FROM person LIMIT 1); END $$",
        "CREATE FUNCTION f(text) RETURNS regclass LANGUAGE sql AS 'SELECT $1::regclass'; SELECT f(mail) FROM person",
        "DO $$ BEGIN FOR i IN 1..3 LOOP RAISE WARNING '%', (SELECT mail FROM person LIMIT 1); END LOOP; PERFORM 1/0; END $$",
    ] {
        let database = TestDatabase::create().await;
        database.run(&rows).await;
        let error = migrate_err(&database, &set(&[("0001_a.sql", sql)])).await;
        let text = format!("{error} {error:?}");
        assert!(!text.contains("anna"), "{sql}: {text}");
        assert!(text.contains("0001_a.sql, line 1"), "{sql}: {text}");
    }
}

#[tokio::test]
async fn a_very_long_error_does_not_end_the_connection() {
    let database = TestDatabase::create().await;
    let sql = "SELECT 1;\nDO $$ BEGIN RAISE '%', repeat('x', 50000000); END $$";
    let error = migrate_err(&database, &set(&[("0001_a.sql", sql)])).await;
    let MigrationError::Statement(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!((error.line, error.server.code.as_str()), (Some(2), "P0001"));
}

#[tokio::test]
async fn rows_and_notices_of_a_file_are_not_kept() {
    let database = TestDatabase::create().await;
    let sql = "SELECT repeat('x', 50000000);\n\
               DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE WARNING '%', repeat('x', 100000); END LOOP; END $$";
    assert_eq!(
        migrate_ok(&database, &set(&[("0001_a.sql", sql)])).await,
        [1]
    );
}

#[tokio::test]
async fn objects_that_shadow_those_of_postgres_are_not_used() {
    let database = TestDatabase::create().await;
    let set = set(&TWO_MIGRATIONS);
    database
        .run(
            "CREATE FUNCTION public.fails() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION public.cat(bigint, text) RETURNS text LANGUAGE sql AS 'SELECT fails()';
             CREATE OPERATOR public.|| (LEFTARG = bigint, RIGHTARG = text, FUNCTION = public.cat);
             CREATE FUNCTION public.same(bigint, integer) RETURNS boolean LANGUAGE sql AS 'SELECT fails() IS NULL';
             CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = public.same);
             CREATE FUNCTION public.format(text, name, oid, boolean) RETURNS text LANGUAGE sql AS 'SELECT fails()';
             CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT fails()';
             CREATE TABLE public.pg_class (oid oid, relname name);
             CREATE TABLE public.pg_settings (name text);
             CREATE DOMAIN public.text AS integer; CREATE DOMAIN public.oid AS bigint",
        )
        .await;
    assert_eq!(migrate_ok(&database, &set).await, [1, 2]);
    assert!(migrate_ok(&database, &set).await.is_empty());
}
