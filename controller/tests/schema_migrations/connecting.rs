//! Connecting while a compute starts, is being created, or never starts.

use std::net::Ipv4Addr;
use std::time::Duration;

use controller::migrations::{DatabaseTarget, MigrationError, MigrationLimits, migrate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TestDatabase, limits, returns, set};

const FILES: [(&str, &str); 1] = [("0001_a.sql", "CREATE TABLE a (n int)")];

/// A port on which no process listens.
async fn unused_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound a port");
    listener
        .local_addr()
        .expect("the listener has an address")
        .port()
}

/// Rejects the first connections with this error, as Neon's proxy does while the compute is not
/// available, and forwards later ones to PostgreSQL. Returns its port.
async fn proxy_rejecting_first(
    rejections: usize,
    code: &'static str,
    message: &'static str,
    server_port: u16,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound a port");
    let port = listener
        .local_addr()
        .expect("the listener has an address")
        .port();
    tokio::spawn(async move {
        let mut remaining = rejections;
        while let Ok((mut client, _)) = listener.accept().await {
            if remaining > 0 {
                remaining -= 1;
                let mut startup = [0; 512];
                let _ = client.read(&mut startup).await;
                let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
                let length = u32::try_from(fields.len() + 4).expect("the message is short");
                let response = [b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat();
                let _ = client.write_all(&response).await;
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))
                    .await
                    .expect("connected to PostgreSQL");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn connecting_is_retried_while_the_compute_starts() {
    for (code, message) in [
        ("57P03", "the database system is starting up"),
        (
            "XX000",
            "The requested endpoint could not be found, or you don't have access to it.",
        ),
        ("53300", "too many connections for role"),
    ] {
        let database = TestDatabase::create().await;
        let port = proxy_rejecting_first(3, code, message, database.target.port).await;
        let target = DatabaseTarget {
            port,
            ..database.target.clone()
        };
        let result = migrate(&target, &set(&FILES), &limits()).await;
        assert_eq!(
            result.expect("the migration succeeds").applied,
            [1],
            "{code}"
        );
    }
}

#[tokio::test]
async fn connecting_is_retried_until_the_server_listens() {
    let database = TestDatabase::create().await;
    let port = unused_port().await;
    let target = DatabaseTarget {
        port,
        ..database.target.clone()
    };
    let (set, limits) = (set(&FILES), limits());
    let start_later = async {
        // By then, at least one attempt has failed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .expect("the port is still free");
        let (mut client, _) = listener.accept().await.expect("accepted a connection");
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, database.target.port))
            .await
            .expect("connected to PostgreSQL");
        let _ = copy_bidirectional(&mut client, &mut server).await;
    };
    let (result, ()) = tokio::join!(migrate(&target, &set, &limits), start_later);
    assert_eq!(result.expect("the migration succeeds").applied, [1]);
}

#[tokio::test]
async fn an_unreachable_server_is_reported_within_the_timeout() {
    let database = TestDatabase::create().await;
    let limits = MigrationLimits {
        connect_timeout: Duration::from_millis(200),
        connect_total_timeout: Duration::from_millis(700),
        ..limits()
    };
    // One port refuses connections, the other accepts them and sends nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound a port");
    for port in [
        unused_port().await,
        silent
            .local_addr()
            .expect("the listener has an address")
            .port(),
    ] {
        let target = DatabaseTarget {
            port,
            ..database.target.clone()
        };
        let set = set(&FILES);
        let failure = returns("an unreachable server", migrate(&target, &set, &limits))
            .await
            .expect_err("the server is unreachable");
        assert!(
            matches!(failure.error, MigrationError::Unreachable { attempts, .. } if attempts > 1),
            "{failure}"
        );
        assert!(failure.error.is_transient());
        assert_eq!(failure.version, None);
    }
}

#[tokio::test]
async fn an_exceeded_quota_is_not_retried() {
    let database = TestDatabase::create().await;
    let message =
        "Your project has exceeded the compute time quota. Upgrade your plan to increase limits.";
    let port = proxy_rejecting_first(1, "XX000", message, database.target.port).await;
    let target = DatabaseTarget {
        port,
        ..database.target.clone()
    };
    let failure = migrate(&target, &set(&FILES), &limits())
        .await
        .expect_err("the quota is exceeded");
    assert!(!failure.error.is_transient(), "{failure}");
    assert!(
        matches!(
            failure.error,
            MigrationError::Unreachable { attempts: 1, .. }
        ),
        "{failure}"
    );
}
