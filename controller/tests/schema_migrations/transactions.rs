//! Whatever the controller accepts as a migration, the server runs within its transaction.

use controller::migrations::{MigrationError, MigrationSet, MigrationSetError, migrate};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::relay::{Interruption, Relay};
use crate::support::{TestDatabase, execute, limits, set, through};

/// The message that commits the only file of a new database.
const COMMIT_MESSAGE: usize = 5;

#[test]
fn files_that_would_commit_are_rejected() {
    for (sql, line) in [
        (
            "CREATE TABLE half (id int);\n-- keep what we have\rCOMMIT;\nCREATE TABLE other_half (id int);\nSELECT 1/0;\n",
            3,
        ),
        (
            "CREATE TABLE span (id int, begin int, finish int);\n\
             CREATE FUNCTION first_begin() RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n  \
             SELECT min(s.begin) AS begin FROM span s;\nEND;\nCREATE TABLE after_fn (id int);\nCOMMIT;\nSELECT 1/0;\n",
            7,
        ),
    ] {
        let error = MigrationSet::from_files([("0002_half.sql", sql)])
            .expect_err("the file is rejected")
            .to_string();
        assert!(
            error.contains(&format!("0002_half.sql, line {line}")) && error.contains("transaction"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_transaction_that_has_ended_is_detected_although_the_text_was_accepted() {
    for interruption in [
        Interruption::Commit(COMMIT_MESSAGE - 1),
        Interruption::NewTransaction(COMMIT_MESSAGE),
    ] {
        let database = TestDatabase::create().await;
        let relay = Relay::start(database.target.port, interruption).await;
        let set = set(&[("0001_a.sql", "CREATE TABLE a (n int)")]);
        let failure = migrate(&through(&relay, &database), &set, &limits())
            .await
            .expect_err("the transaction ended");
        assert!(
            matches!(&failure.error, MigrationError::TransactionEnded { file } if file == "0001_a.sql"),
            "{interruption:?}: {failure:?}"
        );
        // What was committed is not taken for a complete migration.
        let error = migrate(&database.target, &set, &limits())
            .await
            .expect_err("the row is unfinished")
            .error;
        assert!(
            matches!(error, MigrationError::Dirty { version: 1, .. }),
            "{error}"
        );
    }
}

/// What the server did with a text that it got within a transaction.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// All statements succeeded, in the transaction.
    Succeeded,
    /// A statement failed, and with it the transaction.
    Failed,
    /// The transaction ended and perhaps another one began.
    TransactionEnded,
}

async fn run(connection: &mut PgConnection, sql: &str) -> Outcome {
    const ID: &str = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text";
    execute(connection, "BEGIN").await;
    let before = sqlx::query_scalar::<_, String>(ID)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .expect("an id");
    let result = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *connection)
        .await;
    let after = sqlx::query_scalar::<_, String>(ID)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await;
    execute(connection, "ROLLBACK").await;
    execute(connection, "DISCARD ALL").await;
    match (result, after) {
        (Ok(_), Ok(after)) if after == before => Outcome::Succeeded,
        // In a failed transaction, no query succeeds.
        (Err(_), Err(_)) => Outcome::Failed,
        _ => Outcome::TransactionEnded,
    }
}

/// Text that would end the transaction if it were not in a literal or a comment.
fn dangerous() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        ";", "COMMIT", ";COMMIT;", "'", "\"", "\\", "--", "/*", "*/", "$$", "$a$", "\n", "\r", " ",
        "END", ";END;", "BEGIN", "ATOMIC", "E'", "ü", "a", "1", "(", ")",
    ]);
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn line_break() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\n", "\r", "\r\n", "\n\t", " \r", "\x0b\n", "\x0b", " ",
    ])
}

/// An expression, with a dangerous text where it does no harm.
fn expression() -> impl Strategy<Value = String> {
    (dangerous(), dangerous(), line_break(), 0..18_usize).prop_map(|(text, other, gap, kind)| {
        let quoted = text.replace('\'', "''");
        let escaped = other.replace('\\', "\\\\").replace('\'', "\\'");
        match kind {
            0 => format!("'{quoted}'"),
            1 => format!("E'{escaped}'"),
            2 => format!("'a'{gap}'{quoted}'"),
            3 => format!("E'a'{gap}'{escaped}'"),
            4 => format!("'a' -- {text}{gap}'{quoted}'"),
            5 => format!("$${text}$$"),
            6 => format!("$q${text}$q$"),
            7 => format!("U&'{}'", quoted.replace('\\', "\\\\")),
            8 => format!("1 AS \"a{}\"", text.replace('"', "\"\"")),
            9 => format!("/* {text} */ 1"),
            10 => format!("/* a /* {text} */ */ 1"),
            11 => format!("1 -- {text}{gap}"),
            12 => "1 AS a$b$".to_owned(),
            13 => format!("1 + + 2 - - 3 {gap}"),
            14 => "CASE WHEN true THEN CASE 1 WHEN 1 THEN 2 END END AS end".to_owned(),
            15 => "1 end".to_owned(),
            16 => format!("b'01', x'ff', n'{quoted}'"),
            _ => format!("2{gap}AS begin"),
        }
    })
}

fn statement() -> impl Strategy<Value = String> {
    let select = prop::collection::vec(expression(), 1..3)
        .prop_map(|items| format!("SELECT {}", items.join(", ")));
    let select = select.boxed();
    prop_oneof![
        6 => select.clone(),
        2 => (select.clone(), select.clone(), line_break()).prop_map(|(one, two, gap)| format!(
            "CREATE OR REPLACE PROCEDURE pg_temp.p(){gap}BEGIN ATOMIC {one}; {two};{gap}END"
        )),
        1 => expression().prop_map(|item| format!(
            "CREATE FUNCTION pg_temp.f(begin int DEFAULT 1) RETURNS SETOF record LANGUAGE sql BEGIN ATOMIC SELECT {item}, 1 AS begin; END"
        )),
        1 => dangerous().prop_map(|text| format!("DO $do$ BEGIN PERFORM 1; /* {text} */ END $do$")),
        1 => select.prop_map(|select| format!("CREATE TEMP TABLE t (n int); CREATE RULE r AS ON INSERT TO t DO ALSO ({select}; SELECT 2)")),
        1 => prop::sample::select(vec![
            "COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "COMMIT AND CHAIN", "SAVEPOINT a", "SET TRANSACTION READ ONLY", "",
        ]).prop_map(str::to_owned),
    ]
}

/// A file, of which one part may have been removed or repeated.
fn file() -> impl Strategy<Value = String> {
    let separator = prop::sample::select(vec![";", ";\n", ";\r", "\n;", ";;", "; -- ;\r"]);
    let statements = prop::collection::vec((statement(), separator), 1..4);
    let damage = prop::option::weighted(
        0.5,
        (any::<prop::sample::Index>(), any::<bool>(), 1..3_usize),
    );
    (statements, damage).prop_map(|(statements, damage)| {
        let text: String = statements
            .into_iter()
            .map(|(statement, separator)| statement + separator)
            .collect();
        let Some((at, repeat, length)) = damage else {
            return text;
        };
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        let end = (at + length).min(characters.len());
        if repeat {
            let copy = characters[at..end].to_vec();
            characters.splice(at..at, copy);
        } else {
            characters.drain(at..end);
        }
        characters.into_iter().collect()
    })
}

#[test]
fn the_server_runs_every_accepted_file_in_one_transaction_and_every_valid_file_is_accepted() {
    const CASES: u32 = 1_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (database, connection) = runtime.block_on(async {
        let database = TestDatabase::create().await;
        let connection = database.connect().await;
        (database, connection)
    });
    let connection = std::cell::RefCell::new(connection);
    let succeeded = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&file(), |sql| {
        let checked = MigrationSet::from_files([("1_a.sql", sql.as_str())]);
        if matches!(checked, Err(MigrationSetError::NoStatement { .. })) {
            return Ok(());
        }
        let outcome = runtime.block_on(run(&mut connection.borrow_mut(), &sql));
        if outcome == Outcome::Succeeded {
            succeeded.set(succeeded.get() + 1);
        }
        match checked {
            Ok(_) => prop_assert_ne!(outcome, Outcome::TransactionEnded),
            // BEGIN and SAVEPOINT leave the transaction open.
            Err(MigrationSetError::Forbidden { what, .. })
                if what.contains("transaction control") =>
            {
                let is_harmless = sql.contains("BEGIN") || sql.contains("SAVEPOINT");
                prop_assert!(outcome != Outcome::Succeeded || is_harmless);
            }
            Err(_) => prop_assert_ne!(outcome, Outcome::Succeeded),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Otherwise the files are too broken to show anything.
    assert!(
        succeeded.get() > CASES / 10,
        "{} succeeded",
        succeeded.get()
    );
    runtime.block_on(async {
        connection.into_inner().close().await.expect("closed");
        drop(database);
    });
}
