//! Failing migrations: the error, the state of the database, and what no message may contain.

use controller::migrations::{DatabaseTarget, MigrationError, migrate};

use crate::support::{
    PASSWORD, TWO_MIGRATIONS, TestDatabase, limits, migrate_err, migrate_ok, patient, returns, set,
    statement_error,
};

#[tokio::test]
async fn a_failed_statement_is_reported_with_file_line_and_postgres_error() {
    let database = TestDatabase::create().await;
    migrate_ok(&database, &set(&TWO_MIGRATIONS)).await;
    for (sql, line, code, expected) in [
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
            "raise exception",
        ),
        (
            "SELECT 1\n;SELECT 1 / n\nFROM generate_series(0, 1) n",
            2,
            "22012",
            "division by zero",
        ),
        (
            "DO $$ BEGIN RAISE 'no server' USING ERRCODE = '08001'; END $$;",
            1,
            "08001",
            "no server",
        ),
        (
            "SET client_encoding = 'LATIN1';\nDROP TABLE größe;",
            2,
            "42P01",
            "undefined table",
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
        let mut files = TWO_MIGRATIONS.to_vec();
        files.push(("0003_c.sql", sql));
        let error = statement_error(&database, &set(&files)).await;
        assert_eq!(
            (error.line, error.server.code.as_str()),
            (Some(line), code),
            "{sql}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with("0003_c.sql, line ") && text.contains(expected),
            "{sql}: {text}"
        );
        // The file was rolled back, so correcting it is enough.
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
async fn a_failure_between_files_that_were_applied_earlier_reports_what_the_database_has() {
    let database = TestDatabase::create().await;
    let last = ("0005_e.sql", "CREATE TABLE e ()");
    migrate_ok(&database, &set(&[TWO_MIGRATIONS[0], last])).await;
    let broken = set(&[
        TWO_MIGRATIONS[0],
        TWO_MIGRATIONS[1],
        ("0003_c.sql", "CREATE TABLE a ()"),
        last,
    ]);
    let failure = migrate(&database.target, &broken, &limits())
        .await
        .expect_err("the migration fails");
    assert_eq!(
        (failure.version, failure.applied.as_slice()),
        (Some(5), [2].as_slice())
    );
    assert_eq!(failure.digest, broken.digest_of(&[1, 2, 5]));
    assert_ne!(failure.digest.as_deref(), Some(broken.digest()));
}

#[tokio::test]
async fn files_before_a_failing_one_stay_applied_and_a_corrected_file_continues() {
    let database = TestDatabase::create().await;
    let broken = set(&[
        TWO_MIGRATIONS[0],
        ("0002_b.sql", "CREATE TABLE b (); CREATE TABLE a ()"),
        ("0003_c.sql", "SELECT 1"),
    ]);
    let failure = migrate(&database.target, &broken, &limits())
        .await
        .expect_err("the migration fails");
    assert_eq!(
        (failure.version, failure.applied.as_slice()),
        (Some(1), [1].as_slice())
    );
    assert!(!failure.error.is_transient());
    let again = migrate(&database.target, &broken, &limits())
        .await
        .expect_err("the migration fails");
    assert_eq!(
        (again.version, again.applied.as_slice()),
        (Some(1), [].as_slice())
    );
    let corrected = set(&[
        TWO_MIGRATIONS[0],
        TWO_MIGRATIONS[1],
        ("0003_c.sql", "SELECT 1"),
    ]);
    assert_eq!(migrate_ok(&database, &corrected).await, [2, 3]);
}

#[tokio::test]
async fn a_deferred_constraint_that_fails_at_commit_is_an_error_of_the_file() {
    let database = TestDatabase::create().await;
    let sql = "CREATE TABLE p (n int PRIMARY KEY);\n\
               CREATE TABLE q (n int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO q VALUES (7777)";
    let error = statement_error(&database, &set(&[("0001_q.sql", sql)])).await;
    assert_eq!((error.line, error.server.code.as_str()), (None, "23503"));
    assert!(
        !error.to_string().contains("7777"),
        "the error contains a value of a row: {error}"
    );
    assert!(
        database
            .column("SELECT version::text FROM _sqlx_migrations")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn errors_do_not_contain_values_of_a_tenants_rows() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE people (mail text); INSERT INTO people VALUES ('x@example.org'), ('x@example.org')").await;
    for sql in [
        "CREATE UNIQUE INDEX people_mail ON people (mail)",
        "ALTER TABLE people ALTER mail TYPE int USING mail::int",
        "ALTER TABLE people ADD CHECK (mail = '')",
    ] {
        let error = statement_error(&database, &set(&[("0001_a.sql", sql)])).await;
        let text = format!("{error} {error:?}");
        assert!(!text.contains("example.org"), "{sql}: {text}");
    }
}

#[tokio::test]
async fn a_session_that_the_server_terminates_is_a_transient_error() {
    let database = TestDatabase::create().await;
    let terminating = set(&[(
        "0001_a.sql",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    )]);
    let error = migrate_err(&database, &terminating).await;
    assert!(
        matches!(error, MigrationError::Interrupted { .. }),
        "{error}"
    );
    assert!(error.is_transient());
}

#[tokio::test]
async fn no_message_contains_the_password() {
    let database = TestDatabase::create().await;
    let set = set(&TWO_MIGRATIONS);
    let wrong_password = DatabaseTarget {
        password: format!("{PASSWORD}-wrong").into(),
        ..database.target.clone()
    };
    let missing_database = DatabaseTarget {
        database: "missing".to_owned(),
        ..database.target.clone()
    };
    let remote_plaintext = DatabaseTarget {
        host: "192.0.2.1".to_owned(),
        ..database.target.clone()
    };
    let invalid_password = DatabaseTarget {
        password: format!("{PASSWORD}\u{7}").into(),
        ..database.target.clone()
    };
    for (target, variant) in [
        (&wrong_password, "Authentication"),
        (&missing_database, "DatabaseMissing"),
        (&remote_plaintext, "PlaintextRefused"),
        (&invalid_password, ""),
    ] {
        // A permanent error is not retried.
        let failure = returns(variant, migrate(target, &set, &patient()))
            .await
            .expect_err("the migration fails");
        let text = format!("{failure} {failure:?} {target:?}");
        assert!(
            format!("{:?}", failure.error).starts_with(variant),
            "{text}"
        );
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(!failure.error.is_transient(), "{text}");
    }
}
