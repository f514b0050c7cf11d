//! A project over its size limit: reads work, and writes fail.

use std::time::Duration;

use neon_client::model::CreateProject;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Executor, PgConnection};

use crate::common::{TestEmulator, connect, uri};

const MIB: u64 = 1024 * 1024;
/// More than an empty database has, and less than with [`FILL`].
const LIMIT: u64 = 16 * MIB;
/// Adds 16 MB, in a form that PostgreSQL does not compress.
const FILL: &str = "CREATE TABLE filler AS SELECT sha512(number::text::bytea) || sha512((-number)::text::bytea) AS data
                    FROM generate_series(1, 100000) AS number";

async fn sqlstate(connection: &mut PgConnection, sql: &'static str) -> Option<String> {
    match connection.execute(sql).await {
        Ok(_) => None,
        Err(sqlx::Error::Database(error)) => error.code().map(Into::into),
        Err(error) => Some(error.to_string()),
    }
}

#[tokio::test]
async fn writes_fail_and_reads_work_until_the_limit_is_raised() {
    let world = TestEmulator::start().await;
    let mut project = CreateProject::named("full");
    let quota = |limit| json!({"quota": {"logical_size_bytes": limit}});
    project.settings = serde_json::from_value(quota(LIMIT)).expect("settings");
    let created = world.create_as(project).await;
    let second = async || {
        let second = Duration::from_secs(1);
        world
            .emulator
            .advance_clock(second)
            .await
            .expect("advances");
    };

    let mut before = connect(&uri(&created)).await.expect("connects");
    assert_eq!(sqlstate(&mut before, FILL).await, None);
    second().await;
    let interrupted = sqlstate(&mut before, "SELECT 1").await;
    assert!(interrupted.is_some(), "the open connection is closed");

    let host = created.endpoints[0].id.as_str();
    let pooled = uri(&created).replace(host, &format!("{host}-pooler"));
    // The pooler rejects this setting.
    let set = "SET default_transaction_read_only = off; SET statement_timeout = 0";
    for (uri, setup) in [(uri(&created), set), (pooled, "SELECT 1")] {
        let mut full = connect(&uri).await.expect("connects");
        assert_eq!(sqlstate(&mut full, setup).await, None);
        assert_eq!(
            sqlstate(&mut full, "SELECT * FROM filler LIMIT 1").await,
            None
        );
        for write in ["INSERT INTO filler VALUES ('x')", "CREATE TABLE another ()"] {
            assert_eq!(
                sqlstate(&mut full, write).await.as_deref(),
                Some("53100"),
                "{write}"
            );
        }
        let error = full.execute("DROP TABLE filler").await.expect_err("fails");
        assert!(
            error
                .to_string()
                .contains("project size limit (16 MB) has been exceeded"),
            "{error}"
        );
        // The session stays usable.
        assert_eq!(sqlstate(&mut full, "SELECT 1").await, None);
    }

    let path = format!("/projects/{}", created.project.id);
    let raised = json!({"project": {"settings": quota(100 * LIMIT)}});
    let (status, body) = world.call(Method::PATCH, &path, Some(raised)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    second().await;
    let mut after = connect(&uri(&created)).await.expect("connects");
    assert_eq!(
        sqlstate(&mut after, "INSERT INTO filler VALUES ('x')").await,
        None
    );
}
