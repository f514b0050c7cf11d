//! Tests the embedded server with the real PostgreSQL programs.

#![expect(clippy::expect_used, reason = "a failed expectation fails the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use local_servers::postgres::Server;
use sqlx::{Connection, PgConnection};

const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A folder that is writable for all users, because PostgreSQL may run as another user than the
/// test.
fn world_writable_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
        .expect("sets permissions");
    folder
}

async fn query_one(uri: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(uri).await.expect("connects");
    let value: String = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .expect("answers");
    connection.close().await.expect("closes");
    value
}

#[tokio::test]
async fn a_kept_data_folder_survives_a_restart_and_keeps_its_password() {
    let folder = world_writable_folder();
    let data = folder.path().join("pg");
    let first = Server::builder()
        .data_dir(&data)
        .start()
        .await
        .expect("starts");
    let password = std::fs::read_to_string(data.join("superuser-password")).expect("kept");
    assert!(first.uri().contains(password.trim()));
    let mut connection = PgConnection::connect(first.uri()).await.expect("connects");
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 'yes' AS value")
        .execute(&mut connection)
        .await
        .expect("runs");
    let pid = first.pid().expect("a pid");
    first.stop().await;
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "stop() waits until the process has exited"
    );

    let second = Server::builder()
        .data_dir(&data)
        .start()
        .await
        .expect("starts again");
    assert_eq!(
        query_one(second.uri(), "SELECT value FROM kept").await,
        "yes"
    );
    second.stop().await;
}

#[tokio::test]
async fn dropping_a_temporary_server_stops_it_and_removes_its_folder() {
    let server = Server::builder().start().await.expect("starts");
    let pid = server.pid().expect("a pid");
    let data = query_one(server.uri(), "SHOW data_directory").await;
    assert_eq!(query_one(server.uri(), "SHOW max_connections").await, "300");
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!Path::new(&data).exists(), "its folder is removed");
}

#[tokio::test]
async fn a_server_that_was_killed_can_be_started_again() {
    let folder = world_writable_folder();
    let data = folder.path().join("pg");
    let mut first = Server::builder()
        .data_dir(&data)
        .start()
        .await
        .expect("starts");
    assert!(!first.has_exited().expect("a state"));
    let pid = first.pid().expect("a pid");
    assert!(
        std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while !first.has_exited().expect("a state") {
        assert!(Instant::now() < deadline, "the process is still running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(first);
    let second = Server::builder()
        .data_dir(&data)
        .start()
        .await
        .expect("starts again");
    assert_eq!(query_one(second.uri(), "SELECT 'alive'").await, "alive");
}

#[tokio::test]
async fn the_owner_of_a_database_may_install_vector() {
    let server = Server::builder().start().await.expect("starts");
    let mut admin = PgConnection::connect(server.uri()).await.expect("connects");
    for statement in [
        "CREATE ROLE owner_of_it LOGIN PASSWORD 'secret'",
        "CREATE DATABASE of_it OWNER owner_of_it",
    ] {
        sqlx::raw_sql(statement)
            .execute(&mut admin)
            .await
            .expect("runs");
    }
    let uri = format!(
        "postgresql://owner_of_it:secret@127.0.0.1:{}/of_it?sslmode=disable",
        server.port()
    );
    let mut owner = PgConnection::connect(&uri).await.expect("connects");
    sqlx::raw_sql("CREATE EXTENSION vector")
        .execute(&mut owner)
        .await
        .expect("the owner may install it");
    let distance: f64 = sqlx::query_scalar("SELECT '[3,4]'::vector <-> '[0,0]'::vector")
        .fetch_one(&mut owner)
        .await
        .expect("works");
    assert!((distance - 5.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_folder_without_the_programs_is_reported_in_the_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Server::builder()
        .bin_dir(folder.path())
        .start()
        .await
        .expect_err("the folder is empty");
    assert!(error.to_string().contains("postgres"), "{error}");
}
