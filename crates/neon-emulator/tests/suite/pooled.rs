//! Pooled connections: what a pooler in transaction mode would break is rejected; everything else
//! works as on a direct connection.

use std::str::FromStr as _;

use neon_client::model::CreatedProject;
use sqlx::postgres::{PgConnectOptions, PgPoolCopyExt as _};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Executor, PgConnection, Row as _};

use crate::common::{TestEmulator, connect, connection_error, uri};

const SQLSTATE_NOT_SUPPORTED: &str = "0A000";
const SQLSTATE_TRANSACTION_FAILED: &str = "25P02";

/// Statements that need a session, with the beginning of the expected error message.
const SESSION_STATEMENTS: [(&str, &str); 12] = [
    ("LISTEN jobs", "LISTEN "),
    ("SET search_path TO public", "SET search_path "),
    ("RESET statement_timeout", "RESET statement_timeout "),
    ("PREPARE one AS SELECT 1", "PREPARE "),
    ("EXECUTE one", "EXECUTE "),
    ("DEALLOCATE one", "DEALLOCATE "),
    ("LOAD 'auto_explain'", "LOAD "),
    ("CREATE TEMP TABLE mine (id int)", "CREATE TEMPORARY TABLE "),
    (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "DECLARE ... WITH HOLD ",
    ),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_lock() "),
    ("SELECT pg_try_advisory_lock(1)", "pg_try_advisory_lock() "),
    (
        "SELECT set_config('app.tenant', 'x', false)",
        "set_config(app.tenant, .., false) ",
    ),
];

fn pooled_uri(created: &CreatedProject) -> String {
    let endpoint = created.endpoints[0].id.as_str();
    uri(created).replace(endpoint, &format!("{endpoint}-pooler"))
}

async fn pooled(created: &CreatedProject) -> PgConnection {
    connect(&pooled_uri(created)).await.expect("connects")
}

/// SQLSTATE, message and hint of an error.
fn db_error<T>(result: Result<T, sqlx::Error>) -> (String, String, String) {
    let error = result.err().expect("the statement is rejected");
    let error = error.as_database_error().expect("by the server");
    let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    (
        error.code().to_owned(),
        error.message().to_owned(),
        error.hint().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn statements_that_need_a_session_are_rejected_and_the_connection_stays_usable() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = pooled(&created).await;
    for (sql, named) in SESSION_STATEMENTS {
        // With the simple and with the extended query protocol.
        let simple = connection.execute(sqlx::raw_sql(sql)).await;
        let extended = sqlx::query(sql).execute(&mut connection).await;
        for rejection in [db_error(simple), db_error(extended)] {
            let (code, message, hint) = rejection;
            assert_eq!(code, SQLSTATE_NOT_SUPPORTED, "{sql}: {message}");
            assert!(message.starts_with(named), "{sql}: {message}");
            assert!(hint.contains("without \"-pooler\""), "{sql}: {hint}");
        }
        let alive: i32 = sqlx::query_scalar("SELECT $1 + 1")
            .bind(1)
            .fetch_one(&mut connection)
            .await
            .expect("the connection is still usable");
        assert_eq!(alive, 2);
    }
}

#[tokio::test]
async fn a_direct_connection_accepts_all_statements() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    let needs_a_library = "LOAD 'auto_explain'";
    for (sql, _) in SESSION_STATEMENTS {
        // The database owner may not load libraries on a direct connection either.
        if sql != needs_a_library {
            let done = connection.execute(sqlx::raw_sql(sql)).await;
            done.unwrap_or_else(|error| refused_directly(sql, &error));
        }
    }
}

#[expect(clippy::panic, reason = "the test ends here")]
fn refused_directly(sql: &str, error: &sqlx::Error) -> sqlx::postgres::PgQueryResult {
    panic!("{sql} was rejected on a direct connection: {error}")
}

#[tokio::test]
async fn a_rejection_fails_the_current_transaction() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = pooled(&created).await;
    connection
        .execute("CREATE TABLE kept (id int)")
        .await
        .expect("creates");
    for extended in [false, true] {
        let mut transaction = connection.begin().await.expect("begins");
        transaction
            .execute("INSERT INTO kept VALUES (1)")
            .await
            .expect("inserts");
        let rejection = if extended {
            sqlx::query("LISTEN jobs").execute(&mut *transaction).await
        } else {
            transaction.execute(sqlx::raw_sql("LISTEN jobs")).await
        };
        assert_eq!(db_error(rejection).0, SQLSTATE_NOT_SUPPORTED);
        let next = sqlx::query("SELECT 1").execute(&mut *transaction).await;
        assert_eq!(db_error(next).0, SQLSTATE_TRANSACTION_FAILED);
        // In a failed transaction, a rejected statement gets PostgreSQL's own error, like any other
        // statement.
        let next = transaction.execute(sqlx::raw_sql("LISTEN jobs")).await;
        assert_eq!(db_error(next).0, SQLSTATE_TRANSACTION_FAILED);
        transaction.rollback().await.expect("rolls back");
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM kept")
            .fetch_one(&mut connection)
            .await
            .expect("the connection is still usable");
        assert_eq!(kept, 0);
    }
}

#[tokio::test]
async fn no_statement_of_a_message_with_a_rejected_statement_is_executed() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = pooled(&created).await;
    let several = "CREATE TABLE made (id int); COMMIT; LISTEN jobs";
    let rejection = connection.execute(sqlx::raw_sql(several)).await;
    assert_eq!(db_error(rejection).0, SQLSTATE_NOT_SUPPORTED);
    let made: bool = sqlx::query_scalar("SELECT to_regclass('made') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .expect("answers");
    assert!(!made);
}

#[tokio::test]
async fn what_a_pooler_supports_works() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = pooled(&created).await;
    for sql in [
        "SET TIME ZONE 'Europe/Berlin'",
        "SET application_name = 'LISTEN'",
        "SET IntervalStyle = iso_8601",
        "RESET ALL",
        "NOTIFY jobs",
        "UNLISTEN *",
        "SELECT pg_advisory_unlock_all()",
        "BEGIN; CREATE TEMP TABLE mine (id int) ON COMMIT DROP; SET LOCAL search_path TO public; COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; COMMIT",
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "DO $$ BEGIN PERFORM 'LISTEN jobs'; END $$",
    ] {
        let done = connection.execute(sqlx::raw_sql(sql)).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }
    let mut connection = pooled(&created).await;
    let mut transaction = connection.begin().await.expect("begins");
    let set: String = sqlx::query_scalar("SELECT set_config('app.tenant', $1, true)")
        .bind("mine")
        .fetch_one(&mut *transaction)
        .await
        .expect("sets");
    assert_eq!(set, "mine");
    sqlx::query("SELECT pg_advisory_xact_lock(1)")
        .execute(&mut *transaction)
        .await
        .expect("locks");
    transaction.commit().await.expect("commits");
}

#[tokio::test]
async fn strings_are_parsed_according_to_the_session_setting() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = pooled(&created).await;
    // With backslash escapes, the string continues after the quote.
    let text = r"SELECT 'a\'; LISTEN jobs; --'";
    let rejection = connection.execute(sqlx::raw_sql(text)).await;
    assert_eq!(db_error(rejection).0, SQLSTATE_NOT_SUPPORTED);
    connection
        .execute(sqlx::raw_sql("SET standard_conforming_strings = off"))
        .await
        .expect("sets");
    let row = connection.fetch_one(sqlx::raw_sql(text)).await;
    let read: String = row.expect("it is one string").get(0);
    assert_eq!(read, "a'; LISTEN jobs; --");
    // After the reset, backslashes are not escapes any more.
    connection
        .execute(sqlx::raw_sql("RESET standard_conforming_strings"))
        .await
        .expect("resets");
    let rejection = connection.execute(sqlx::raw_sql(text)).await;
    assert_eq!(db_error(rejection).0, SQLSTATE_NOT_SUPPORTED);
}

#[tokio::test]
async fn strings_are_parsed_according_to_startup_options_from_the_first_statement() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let endpoint = format!("{}-pooler", created.endpoints[0].id);
    let text = r"SELECT 'a\'; LISTEN jobs; --'";
    for off in ["off", "false", "0"] {
        let option = format!("{endpoint}%20-c%20standard_conforming_strings%3D{off}");
        let uri = pooled_uri(&created).replace(&endpoint, &option);
        let mut connection = connect(&uri).await.expect("connects");
        let row = connection.fetch_one(sqlx::raw_sql(text)).await;
        let read: String = row.expect("it is one string").get(0);
        assert_eq!(read, "a'; LISTEN jobs; --", "{off}");
    }
}

#[tokio::test]
async fn a_connection_with_a_cut_fault_is_still_inspected() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let fault = "data-plane:cut-connection:after=2"
        .parse()
        .expect("a fault");
    world.emulator.faults().add(fault).expect("armed");
    let options = PgConnectOptions::from_str(&pooled_uri(&created)).expect("a URI");
    let mut connection = options
        .application_name("cut")
        .connect()
        .await
        .expect("connects");
    let rejection = connection.execute(sqlx::raw_sql("LISTEN jobs")).await;
    assert_eq!(db_error(rejection).0, SQLSTATE_NOT_SUPPORTED);
    let one = connection.execute(sqlx::raw_sql("SELECT 1")).await;
    one.expect("the second message is relayed");
    let cut = connection.execute(sqlx::raw_sql("SELECT 1")).await;
    let cut = cut.expect_err("the third is not");
    assert!(cut.as_database_error().is_none(), "{cut}");
}

#[tokio::test]
async fn long_messages_are_relayed_completely_in_both_directions() {
    const ROWS: usize = 20_000;
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let pool = sqlx::PgPool::connect(&pooled_uri(&created))
        .await
        .expect("connects");
    pool.execute("CREATE TABLE lines (text text)")
        .await
        .expect("creates");
    let mut copy = pool
        .copy_in_raw("COPY lines FROM STDIN")
        .await
        .expect("begins");
    let line = "LISTEN jobs; SET a = b\n".repeat(ROWS);
    copy.send(line.as_bytes()).await.expect("sends");
    assert_eq!(
        copy.finish().await.expect("ends"),
        u64::try_from(ROWS).expect("few")
    );
    let read: Vec<String> = sqlx::query_scalar("SELECT text FROM lines")
        .fetch_all(&pool)
        .await
        .expect("reads");
    assert_eq!(read.len(), ROWS);
    assert!(read.iter().all(|text| text == "LISTEN jobs; SET a = b"));
    let long = "x".repeat(3_000_000);
    let echoed: String = sqlx::query_scalar("SELECT $1::text")
        .bind(&long)
        .fetch_one(&pool)
        .await
        .expect("echoes");
    assert!(echoed == long);
    let statement = format!("SELECT length('{long}')");
    let length: i32 = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&pool)
        .await
        .expect("a long statement");
    assert_eq!(length, 3_000_000);
}

#[tokio::test]
async fn unsupported_startup_parameters_are_rejected() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let with = |option: &str| {
        let endpoint = format!("{}-pooler", created.endpoints[0].id);
        pooled_uri(&created).replace(&endpoint, &format!("{endpoint}%20{option}"))
    };
    assert_eq!(
        connection_error(&with("-c%20search_path%3Da")).await,
        (
            "08P01".to_owned(),
            "unsupported startup parameter in options: search_path".to_owned()
        )
    );
    connect(&with("-c%20TimeZone%3DUTC"))
        .await
        .expect("a tracked setting is accepted");
    let direct = with("-c%20search_path%3Da").replace("-pooler", "");
    let mut direct = connect(&direct)
        .await
        .expect("a direct connection accepts it");
    let path: String = sqlx::query_scalar("SHOW search_path")
        .fetch_one(&mut direct)
        .await
        .expect("answers");
    assert_eq!(path, "a");
}
