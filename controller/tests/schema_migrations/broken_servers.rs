//! Servers that do not follow Postgres' protocol: each ends within the limits, with an error.

use std::net::Ipv4Addr;
use std::time::Duration;

use controller::migrations::{DatabaseTarget, MigrationLimits, Tls, migrate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{PASSWORD, TWO_MIGRATIONS, limits, returns, set};

/// What a server needs to send before the client sends its first query.
const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

/// A server that sends `first` to every client, then `then` again and again.
async fn server(first: &'static [u8], then: &'static [u8]) -> DatabaseTarget {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut startup = [0; 1024];
                let _ = client.read(&mut startup).await;
                if client.write_all(first).await.is_err() {
                    return;
                }
                while !then.is_empty() && client.write_all(then).await.is_ok() {}
                // Keeps the connection open until the client gives up.
                let _ = client.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    DatabaseTarget {
        host: "127.0.0.1".to_owned(),
        port,
        database: "d".to_owned(),
        role: "r".to_owned(),
        password: PASSWORD.to_owned().into(),
        options: None,
        tls: Tls::DisabledOnLoopback,
    }
}

#[tokio::test]
async fn a_server_that_sends_anything_else_is_an_error_within_the_limits() {
    const HUGE_ROW: &[u8] = b"D\x7f\xff\xff\xff";
    const NOTICE: &[u8] = b"N\0\0\0\x0cMsecret\0";
    const ROW: &[u8] = b"D\0\0\x04\0";
    let limits = MigrationLimits {
        connect_timeout: Duration::from_millis(500),
        connect_total_timeout: Duration::from_secs(1),
        query_timeout: Duration::from_secs(1),
        ..limits()
    };
    for (name, first, then) in [
        ("silent", &b""[..], &b""[..]),
        ("web server", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""),
        ("zeros", b"", &[0; 4096]),
        ("huge message", b"R\xff\xff\xff\xff", &[7; 4096]),
        ("endless notices", b"", NOTICE),
        ("endless parameters", b"", b"S\0\0\0\x08a\0b\0"),
        ("silent after the login", LOGIN, b""),
        ("endless notices after the login", LOGIN, NOTICE),
        ("endless rows after the login", LOGIN, ROW),
        (
            "huge row after the login",
            &[LOGIN, HUGE_ROW].concat().leak()[..],
            &[1; 4096],
        ),
        (
            "copy after the login",
            &[LOGIN, &b"G\0\0\0\x07\0\0\0"[..]].concat().leak()[..],
            b"",
        ),
    ] {
        let target = server(first, then).await;
        let set = set(&TWO_MIGRATIONS);
        let failure = returns(name, migrate(&target, &set, &limits))
            .await
            .expect_err(name);
        let text = format!("{failure:?}");
        assert!(
            !text.contains("secret") && text.len() < 1_000,
            "{name}: {text}"
        );
    }
}
