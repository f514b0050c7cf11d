//! Migrations that fail: what is said, what stays, and what is never shown.

use std::time::{Duration, Instant};

use controller::migrations::{DatabaseTarget, MigrationError, migrate};

use crate::support::{
    PASSWORD, TWO, TestDatabase, failing_statement, limits, migrated, refused, set,
};

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
async fn a_session_ended_by_the_server_is_worth_another_try() {
    let database = TestDatabase::create().await;
    let suicide = set(&[(
        "0001_a.sql",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    )]);
    let error = refused(&database, &suicide).await;
    assert!(
        matches!(error, MigrationError::Interrupted { .. }),
        "{error}"
    );
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
