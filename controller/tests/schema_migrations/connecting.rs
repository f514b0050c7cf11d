//! Connecting while a compute wakes, is being made, or never comes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use controller::migrations::{DatabaseTarget, MigrationError, MigrationLimits, migrate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TestDatabase, limits, set};

const FILES: [(&str, &str); 1] = [("0001_a.sql", "CREATE TABLE a (n int)")];

/// A free port that nobody listens on.
async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Answers the first connections with this error, as a proxy does whose compute is not there yet, and relays the others to
/// PostgreSQL.
async fn wakes_after(
    refusals: usize,
    code: &'static str,
    message: &'static str,
    server_port: u16,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let mut left = refusals;
        while let Ok((mut client, _)) = listener.accept().await {
            if left > 0 {
                left -= 1;
                let mut startup = [0; 512];
                let _ = client.read(&mut startup).await;
                let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
                let length = u32::try_from(fields.len() + 4).expect("short");
                let answer = [b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat();
                let _ = client.write_all(&answer).await;
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))
                    .await
                    .expect("PostgreSQL is there");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_compute_that_wakes_is_waited_for() {
    for (code, message) in [
        ("57P03", "the database system is starting up"),
        (
            "XX000",
            "The requested endpoint could not be found, or you don't have access to it.",
        ),
        ("53300", "too many connections for role"),
    ] {
        let database = TestDatabase::create().await;
        let port = wakes_after(3, code, message, database.target.port).await;
        let target = DatabaseTarget {
            port,
            ..database.target.clone()
        };
        let outcome = migrate(&target, &set(&FILES), &limits()).await;
        assert_eq!(outcome.expect("migrated").applied, [1], "{code}");
    }
}

#[tokio::test]
async fn a_server_that_comes_up_later_is_found() {
    let database = TestDatabase::create().await;
    let port = free_port().await;
    let target = DatabaseTarget {
        port,
        ..database.target.clone()
    };
    let (set, limits) = (set(&FILES), limits());
    let later = async {
        // At least one attempt has failed by then.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .expect("the port is still free");
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, database.target.port))
            .await
            .expect("PostgreSQL is there");
        let _ = copy_bidirectional(&mut client, &mut server).await;
    };
    let (outcome, ()) = tokio::join!(migrate(&target, &set, &limits), later);
    assert_eq!(outcome.expect("migrated").applied, [1]);
}

#[tokio::test]
async fn a_server_that_never_comes_is_given_up_in_time() {
    let database = TestDatabase::create().await;
    let limits = MigrationLimits {
        connect_timeout: Duration::from_millis(200),
        connect_total_timeout: Duration::from_millis(700),
        ..limits()
    };
    // One refuses, the other takes the connection and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    for port in [
        free_port().await,
        silent.local_addr().expect("bound").port(),
    ] {
        let target = DatabaseTarget {
            port,
            ..database.target.clone()
        };
        let started = Instant::now();
        let failure = migrate(&target, &set(&FILES), &limits)
            .await
            .expect_err("unreachable");
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{:?}",
            started.elapsed()
        );
        assert!(
            matches!(failure.error, MigrationError::Unreachable { attempts, .. } if attempts > 1),
            "{failure}"
        );
        assert!(failure.error.is_transient());
        assert_eq!(failure.version, None);
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_not_waited_for() {
    let database = TestDatabase::create().await;
    let message =
        "Your project has exceeded the compute time quota. Upgrade your plan to increase limits.";
    let port = wakes_after(1, "XX000", message, database.target.port).await;
    let target = DatabaseTarget {
        port,
        ..database.target.clone()
    };
    let failure = migrate(&target, &set(&FILES), &limits())
        .await
        .expect_err("refused");
    assert!(!failure.error.is_transient(), "{failure}");
    assert!(
        matches!(
            failure.error,
            MigrationError::Unreachable { attempts: 1, .. }
        ),
        "{failure}"
    );
}
