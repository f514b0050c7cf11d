//! Tests the data plane with real clients and a real PostgreSQL.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::common::{TestEmulator, connect, connection_error, password, until, uri};
use neon_client::model::RoleOperations;
use neon_emulator::faults::Fault;
use neon_emulator::{Latency, Limits};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn one(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql)
        .fetch_one(connection)
        .await
        .expect("answers")
}

#[tokio::test]
async fn a_client_with_the_endpoint_in_its_options_connects_to_its_database() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    assert_eq!(one(&mut connection, "SELECT 'here'").await, "here");
    // The owner may install pgvector, as on Neon.
    connection
        .execute("CREATE EXTENSION vector")
        .await
        .expect("installs");
    connection
        .execute("CREATE TABLE items (embedding vector(3))")
        .await
        .expect("creates");
    let pooled = uri(&created).replace(
        created.endpoints[0].id.as_str(),
        &format!("{}-pooler", created.endpoints[0].id),
    );
    let mut pooled = connect(&pooled)
        .await
        .expect("connects to the pooled endpoint");
    assert_eq!(
        one(&mut pooled, "SELECT count(*)::text FROM items").await,
        "0"
    );
}

#[tokio::test]
async fn projects_are_isolated_from_each_other() {
    let world = TestEmulator::start().await;
    let (one_, two) = (world.create("one").await, world.create("two").await);
    let mut first = connect(&uri(&one_)).await.expect("connects");
    first
        .execute("CREATE TABLE secret AS SELECT 'mine' AS word")
        .await
        .expect("creates");
    let mut second = connect(&uri(&two)).await.expect("connects");
    assert!(
        second.execute("SELECT * FROM secret").await.is_err(),
        "another database"
    );
    // The password of one project is invalid for another.
    let crossed = uri(&two).replace(&password(&two), &password(&one_));
    assert_eq!(connection_error(&crossed).await.0, "28P01");
    // Connecting directly to PostgreSQL with the physical names is rejected too.
    let database = one(&mut first, "SELECT current_database()::text").await;
    let role = one(&mut second, "SELECT current_user::text").await;
    let direct = |database: &str| {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(world.postgres.port());
        options
            .username(&role)
            .password(&password(&two))
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    };
    let error = direct(&database)
        .connect()
        .await
        .expect_err("the role lacks the privilege");
    assert_eq!(
        error
            .as_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned))
            .as_deref(),
        Some("42501")
    );
    let error = direct(&world.control_database)
        .connect()
        .await
        .expect_err("the role lacks the privilege");
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[tokio::test]
async fn errors_have_a_sqlstate_and_contain_the_names_that_the_client_knows() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let good = uri(&created);
    let wrong_password = good.replace(&password(&created), "npg_wrong");
    let (code, message) = connection_error(&wrong_password).await;
    assert_eq!(code, "28P01");
    assert!(
        message.contains("'neondb_owner'") && !message.contains("role_br"),
        "{message}"
    );
    let (code, message) = connection_error(&good.replace("neondb_owner", "nobody")).await;
    assert!(
        code == "28P01" && message.contains("'nobody'"),
        "{code} {message}"
    );
    let (code, message) = connection_error(&good.replace("/neondb?", "/nothing?")).await;
    assert!(
        code == "3D000" && message.contains("\"nothing\""),
        "{code} {message}"
    );
    let (code, message) =
        connection_error(&good.replace(created.endpoints[0].id.as_str(), "ep-no-such-00000000"))
            .await;
    assert!(
        code == "28P01" && message.contains("'neondb_owner'"),
        "{code} {message}"
    );
    let without = good.split('?').next().expect("a URI");
    let (code, message) = connection_error(&format!("{without}?sslmode=require")).await;
    assert!(
        code == "XX000" && message.contains("Endpoint ID is not specified"),
        "{code} {message}"
    );
    let (code, message) =
        connection_error(&good.replace("sslmode=require", "sslmode=disable")).await;
    assert!(
        code == "XX000" && message.contains("insecure"),
        "{code} {message}"
    );
}

#[tokio::test]
async fn deleting_a_project_closes_its_connections_and_rejects_new_ones() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    connection
        .execute("CREATE TABLE kept ()")
        .await
        .expect("creates");
    let path = format!("/projects/{}", created.project.id);
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.0,
        StatusCode::OK
    );
    until("the connection to be closed", || async {
        world.open_connections().await == 0
    })
    .await;
    assert!(connection.execute("SELECT 1").await.is_err());
    assert_eq!(connection_error(&uri(&created)).await.0, "28P01");
    assert_eq!(
        world
            .call(Method::POST, &format!("{path}/recover"), None)
            .await
            .0,
        StatusCode::OK
    );
    let mut connection = connect(&uri(&created)).await.expect("connects again");
    connection
        .execute("SELECT * FROM kept")
        .await
        .expect("the data is kept");
}

#[tokio::test]
async fn a_connection_waits_for_a_compute_that_is_starting() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            start_compute_ms: 700,
            ..Latency::instant()
        })
    })
    .await;
    let before = Instant::now();
    let created = world.create("one").await;
    connect(&uri(&created)).await.expect("connects");
    assert!(
        before.elapsed() >= Duration::from_millis(700),
        "after {:?}",
        before.elapsed()
    );

    let world = TestEmulator::start_with(|emulator| {
        emulator
            .latency(Latency {
                start_compute_ms: 60_000,
                ..Latency::instant()
            })
            .limits(Limits {
                compute_wait_ms: 50,
                ..Limits::default()
            })
    })
    .await;
    let created = world.create("one").await;
    assert_eq!(connection_error(&uri(&created)).await.0, "57P03");
}

#[tokio::test]
async fn a_database_created_with_sql_is_rejected_with_an_error_that_names_the_limitation() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let host = created.endpoints[0].id.as_str();
    let pooled = uri(&created).replace(host, &format!("{host}-pooler"));
    for uri in [uri(&created), pooled] {
        let mut connection = connect(&uri).await.expect("connects");
        let error = connection.execute("CREATE DATABASE app").await;
        let error = error.expect_err("is rejected");
        let error = error.as_database_error().expect("an error of the server");
        assert_eq!(error.code().as_deref(), Some("0A000"), "{error}");
        assert!(error.message().contains("emulator"), "{error}");
        // The session stays usable.
        connection.execute("SELECT 1").await.expect("answers");
    }
}

#[tokio::test]
async fn a_new_password_becomes_valid_when_the_operation_ends_and_the_old_one_is_valid_until_then()
{
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            apply_config_ms: 1_000,
            ..Latency::instant()
        })
    })
    .await;
    let created = world.create("one").await;
    let mut open = connect(&uri(&created)).await.expect("connects");
    let path = format!(
        "/projects/{}/branches/{}/roles/neondb_owner/reset_password",
        created.project.id, created.branch.id
    );
    let (status, body) = world.call(Method::POST, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let reset: RoleOperations = serde_json::from_value(body).expect("a reset");
    let new = uri(&created).replace(
        &password(&created),
        reset.role.password.expect("one").expose_secret(),
    );
    connect(&uri(&created))
        .await
        .expect("the old password is still valid");
    assert_eq!(connection_error(&new).await.0, "28P01");
    world.finished(&reset.operations).await;
    connect(&new).await.expect("the new password is valid");
    assert_eq!(connection_error(&uri(&created)).await.0, "28P01");
    until("the open connection to be closed", || async {
        world.open_connections().await == 0
    })
    .await;
    assert!(open.execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_disabled_endpoint_rejects_connections() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let path = format!(
        "/projects/{}/endpoints/{}",
        created.project.id, created.endpoints[0].id
    );
    let (status, _) = world
        .call(
            Method::PATCH,
            &path,
            Some(json!({"endpoint": {"disabled": true}})),
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    let (code, message) = connection_error(&uri(&created)).await;
    assert!(
        code == "XX000" && message.contains("disabled"),
        "{code} {message}"
    );
}

#[tokio::test]
async fn authenticated_connections_are_counted() {
    let world = TestEmulator::start().await;
    let (used, _idle) = (world.create("used").await, world.create("idle").await);
    let path = format!("/projects/{}", used.project.id);
    connect(&uri(&used))
        .await
        .expect("connects")
        .close()
        .await
        .expect("closes");
    connection_error(&uri(&used).replace(&password(&used), "npg_wrong")).await;
    let projects = world.emulator.projects().await.expect("projects");
    assert_eq!(
        projects
            .iter()
            .map(|project| project.connections_opened)
            .collect::<Vec<_>>(),
        [1, 0]
    );
    let got = world.get(&path).await;
    assert!(got["project"]["compute_last_active_at"].is_string());
}

#[tokio::test]
async fn a_cancel_request_with_a_wrong_key_is_ignored() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let stream = TcpStream::connect(world.emulator.data_addr())
        .await
        .expect("connects");
    drop(stream);
    let mut connection = connect(&uri(&created)).await.expect("connects");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
        .expect("answers");
    // A wrong key cancels nothing. As in PostgreSQL, cancel requests are accepted without TLS.
    let mut cancel = TcpStream::connect(world.emulator.data_addr())
        .await
        .expect("connects");
    let mut packet = vec![0, 0, 0, 16, 4, 210, 22, 46];
    packet.extend_from_slice(&pid.to_be_bytes());
    packet.extend_from_slice(&1_i32.to_be_bytes());
    cancel.write_all(&packet).await.expect("writes");
    assert!(
        matches!(cancel.read(&mut [0; 1]).await, Ok(0) | Err(_)),
        "the connection is closed"
    );
    assert_eq!(one(&mut connection, "SELECT 'alive'").await, "alive");
}

#[tokio::test]
async fn faults_reject_and_close_connections() {
    let world = TestEmulator::start().await;
    let (one_, two) = (world.create("one").await, world.create("two").await);
    let fault = |spec: &str| spec.parse::<Fault>().expect("a fault");
    let only = fault(&format!(
        "data-plane:refuse-connections:times=1:project={}",
        one_.project.id
    ));
    world.emulator.faults().add(only);
    connect(&uri(&two))
        .await
        .expect("another project is not affected");
    assert_eq!(connection_error(&uri(&one_)).await.0, "57P03");
    connect(&uri(&one_)).await.expect("the fault applied once");

    world.emulator.faults().clear();
    world
        .emulator
        .faults()
        .add(fault("data-plane:cut-connection:after=2:times=1"));
    let mut options = PgConnectOptions::from_str(&uri(&one_)).expect("a URI");
    options = options.application_name("cut");
    let mut connection = options.connect().await.expect("connects");
    let mut done = 0;
    while connection.execute(sqlx::raw_sql("SELECT 1")).await.is_ok() {
        done += 1;
        assert!(done < 10, "the connection was not closed");
    }
    assert_eq!(done, 2, "two messages are relayed, each a query");
}

#[tokio::test]
async fn spare_databases_are_used_first_and_behave_like_others() {
    let world = TestEmulator::start_with(|emulator| emulator.spare_databases(1)).await;
    let count_spares = "SELECT count(*) FROM spare_databases";
    let mut state = PgConnectOptions::from_str(world.postgres.uri())
        .expect("a URI")
        .database(&world.control_database)
        .connect()
        .await
        .expect("connects");
    let left: i64 = sqlx::query_scalar(count_spares)
        .fetch_one(&mut state)
        .await
        .expect("counts");
    assert_eq!(left, 1);
    for name in ["one", "two"] {
        let created = world.create(name).await;
        let mut connection = connect(&uri(&created)).await.expect("connects");
        connection
            .execute("CREATE EXTENSION vector")
            .await
            .expect("the owner may install it");
        let mut admin = connect(world.postgres.uri()).await.expect("connects");
        let others: bool = sqlx::query_scalar(
            "SELECT has_database_privilege('public', oid, 'CONNECT') FROM pg_database
             WHERE datname LIKE 'db_' || $1 || '%'",
        )
        .bind(created.branch.id.as_str())
        .fetch_one(&mut admin)
        .await
        .expect("the database exists");
        assert!(!others, "other roles may not connect");
    }
    let left: i64 = sqlx::query_scalar(count_spares)
        .fetch_one(&mut state)
        .await
        .expect("counts");
    assert_eq!(left, 0);
}
