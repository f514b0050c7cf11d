use proptest::prelude::*;

use super::*;

fn dependency(sql: &str) -> Option<String> {
    first_session_dependency(sql.as_bytes(), false).map(|dependency| dependency.0)
}

/// Statements with the expected phrase of the error.
const SESSION_STATEMENTS: [(&str, &str); 52] = [
    ("LISTEN jobs", "LISTEN"),
    ("listen \"Jobs\"", "LISTEN"),
    ("LOAD 'auto_explain'", "LOAD"),
    ("PREPARE one AS SELECT 1", "PREPARE"),
    ("prepare transactions as select 1", "PREPARE"),
    ("EXECUTE one(1)", "EXECUTE"),
    ("DEALLOCATE one", "DEALLOCATE"),
    ("DEALLOCATE PREPARE one", "DEALLOCATE"),
    ("SET search_path = a, b", "SET search_path"),
    (
        "SET SESSION statement_timeout TO '5s'",
        "SET statement_timeout",
    ),
    ("set app.tenant to 'x'", "SET app.tenant"),
    ("SET \"app\".\"tenant\" TO 'x'", "SET app.tenant"),
    ("SET SCHEMA 'x'", "SET search_path"),
    ("SET ROLE other", "SET ROLE"),
    (
        "SET SESSION AUTHORIZATION other",
        "SET SESSION AUTHORIZATION",
    ),
    (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS",
    ),
    ("SET SEED TO 0.5", "SET SEED"),
    ("SET \"a'b\" TO 1", "SET"),
    ("RESET statement_timeout", "RESET statement_timeout"),
    ("RESET ROLE", "RESET ROLE"),
    ("RESET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION"),
    (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "DECLARE ... WITH HOLD",
    ),
    (
        "DECLARE c NO SCROLL CURSOR /* a */ WITH\nHOLD FOR SELECT 1",
        "DECLARE ... WITH HOLD",
    ),
    (
        "CREATE TEMP TABLE t (id int)",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE LOCAL TEMPORARY TABLE t (id int)",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE TEMP TABLE IF NOT EXISTS t (id int) ON COMMIT DELETE ROWS",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE TEMP TABLE t ON COMMIT PRESERVE ROWS AS SELECT 'ON COMMIT DROP'",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE TABLE pg_temp.t (id int)",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE TABLE IF NOT EXISTS \"pg_temp\".t (id int)",
        "CREATE TEMPORARY TABLE without ON COMMIT DROP",
    ),
    (
        "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
        "CREATE TEMPORARY",
    ),
    ("CREATE TEMP SEQUENCE s", "CREATE TEMPORARY"),
    ("SELECT 1 AS a INTO TEMP t", "SELECT INTO TEMPORARY"),
    (
        "SELECT 1 AS a INTO TEMPORARY TABLE t FROM u",
        "SELECT INTO TEMPORARY",
    ),
    (
        "SELECT 1 AS a INTO LOCAL TEMP \"t\"",
        "SELECT INTO TEMPORARY",
    ),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_lock()"),
    ("SELECT PG_ADVISORY_LOCK (1, 2)", "pg_advisory_lock()"),
    (
        "SELECT pg_catalog.pg_try_advisory_lock(1)",
        "pg_try_advisory_lock()",
    ),
    (
        "SELECT \"pg_catalog\".\"pg_advisory_lock\"(1)",
        "pg_advisory_lock()",
    ),
    (
        "(SELECT pg_advisory_lock_shared(1))",
        "pg_advisory_lock_shared()",
    ),
    (
        "WITH l AS (SELECT pg_try_advisory_lock_shared(id) FROM t) SELECT * FROM l",
        "pg_try_advisory_lock_shared()",
    ),
    ("SELECT pg_advisory_unlock(1)", "pg_advisory_unlock()"),
    ("UPDATE t SET a = pg_advisory_lock(1)", "pg_advisory_lock()"),
    (
        "COPY (SELECT pg_advisory_lock(1)) TO STDOUT",
        "pg_advisory_lock()",
    ),
    (
        "EXPLAIN ANALYZE SELECT pg_advisory_lock(1)",
        "pg_advisory_lock()",
    ),
    (
        "CREATE TABLE t AS SELECT pg_advisory_lock(1)",
        "pg_advisory_lock()",
    ),
    (
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "set_config(search_path, .., false)",
    ),
    (
        "SELECT set_config('app.tenant'::text, $1, 'f')",
        "set_config(app.tenant, .., false)",
    ),
    (
        "SELECT set_config($1, coalesce($2, 'a, b'), FALSE::bool)",
        "set_config(.., .., false)",
    ),
    ("SELECT 1; LISTEN jobs", "LISTEN"),
    ("SELECT ';'; /* ; */ ;; LISTEN jobs;", "LISTEN"),
    (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; LISTEN jobs",
        "LISTEN",
    ),
    ("BEGIN; SET search_path TO a; COMMIT", "SET search_path"),
];

const ACCEPTED: [&str; 55] = [
    "",
    ";",
    "-- LISTEN jobs",
    "SELECT 'LISTEN jobs; SET a = b'",
    "SELECT $$; LISTEN jobs; $$",
    "SELECT 1 AS listen",
    "SELECT \"pg_advisory_lock\" FROM t",
    "SELECT 'pg_advisory_lock(1)'",
    "NOTIFY jobs, 'LISTEN'",
    "UNLISTEN *",
    "CLOSE ALL",
    "SET LOCAL search_path = a",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET CONSTRAINTS ALL DEFERRED",
    "SET client_encoding TO 'UTF8'",
    "SET SESSION \"TimeZone\" TO 'UTC'",
    "SET TIME ZONE 'UTC'",
    "SET SESSION TIME ZONE 'UTC'",
    "SET NAMES 'UTF8'",
    "SET datestyle = ISO",
    "SET intervalstyle = iso_8601",
    "SET standard_conforming_strings = on",
    "SET application_name = 'SET search_path'",
    "RESET application_name",
    "RESET ALL",
    "RESET TIME ZONE",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "DEALLOCATE PREPARE ALL",
    "PREPARE TRANSACTION 'one'",
    "UPDATE t SET listen = 1",
    "ALTER ROLE neondb_owner SET search_path = a",
    "ALTER TABLE t SET SCHEMA other",
    "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
    "DECLARE hold CURSOR FOR WITH hold AS (SELECT 1) SELECT * FROM hold",
    "CREATE TEMP TABLE t (id int) ON COMMIT DROP",
    "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
    "CREATE TABLE temp (id int)",
    "CREATE TABLE t (listen int, temp int)",
    "INSERT INTO temp SELECT 1",
    "INSERT INTO temp (a) VALUES (1)",
    "SELECT 1 AS a INTO temp FROM t",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT mine.pg_advisory_lock(1)",
    "SELECT \"PG_ADVISORY_LOCK\"(1)",
    "DROP FUNCTION pg_advisory_lock(bigint)",
    "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO other",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT pg_advisory_lock(1); SET; END",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS 'SELECT 1'",
    "CREATE VIEW v AS SELECT pg_advisory_lock(1)",
    "SELECT set_config('search_path', 'a', true)",
    "SELECT set_config('search_path', 'a', $1)",
    "SELECT set_config('TimeZone', 'UTC', false)",
    "SELECT set_config('a', 'false', true), false",
];

#[test]
fn statements_that_need_a_session_are_rejected_by_name() {
    for (sql, what) in SESSION_STATEMENTS {
        assert_eq!(dependency(sql).as_deref(), Some(what), "{sql}");
    }
}

#[test]
fn other_statements_are_accepted() {
    for sql in ACCEPTED {
        assert_eq!(dependency(sql), None, "{sql}");
    }
}

/// Whitespace and comments, which may appear between any two tokens.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(" ".to_owned()),
        Just("\n\t".to_owned()),
        Just("/* ' \" $$ ; /* LISTEN */ */".to_owned()),
        Just(" -- ' \" $$ ; LISTEN x\n".to_owned()),
    ]
}

/// The text in each kind of quotes and comments.
fn quoted(text: &str) -> [String; 5] {
    [
        format!("SELECT '{}'", text.replace('\'', "''")),
        format!(
            "SELECT E'{}'",
            text.replace('\\', "\\\\").replace('\'', "\\'")
        ),
        format!("SELECT 1 AS \"{}\"", text.replace('"', "\"\"")),
        format!("SELECT $tag${}$tag$", text.replace('$', "")),
        format!("/* {} */ SELECT 1", text.replace('*', "")),
    ]
}

proptest! {
    #[test]
    fn a_statement_is_found_whatever_surrounds_it(
        (sql, what) in prop::sample::select(SESSION_STATEMENTS.to_vec()),
        accepted in prop::collection::vec(prop::sample::select(ACCEPTED.to_vec()), 0..4),
        before in gap(),
        after in gap(),
    ) {
        // The newline ends a comment in the last statement.
        let others: String = accepted.iter().flat_map(|sql| [sql, "\n;"]).collect();
        let sql = format!("{others}{before}{sql}{after};{others}");
        prop_assert_eq!(dependency(&sql), Some(what.to_owned()), "{}", sql);
    }

    #[test]
    fn a_statement_within_quotes_is_ignored(
        (sql, _) in prop::sample::select(SESSION_STATEMENTS.to_vec()),
        text in "\\PC{0,20}",
    ) {
        for sql in quoted(&format!("{text}; {sql}; {text}")) {
            prop_assert_eq!(dependency(&sql), None, "{}", sql);
        }
    }

    #[test]
    fn accepted_statements_are_accepted_together(
        accepted in prop::collection::vec(prop::sample::select(ACCEPTED.to_vec()), 0..6),
        gap in gap(),
    ) {
        let sql: String = accepted.iter().flat_map(|sql| [gap.as_str(), sql, "\n;"]).collect();
        prop_assert_eq!(dependency(&sql), None, "{}", sql);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(sql in prop::collection::vec(any::<u8>(), 0..300), backslash_escapes: bool) {
        let _ = first_session_dependency(&sql, backslash_escapes);
    }
}
