//! Verification of server certificates.

use std::net::Ipv4Addr;
use std::sync::Arc;

use controller::migrations::{DatabaseTarget, MigrationError, Tls, migrate};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{TestDatabase, limits, patient, returns, set};

const FILES: [(&str, &str); 1] = [("0001_a.sql", "CREATE TABLE a (n int)")];

/// Terminates TLS in front of PostgreSQL, with a certificate for `name`. Returns its port and the
/// CA certificate.
async fn start_tls_proxy(server_port: u16, name: &str) -> (u16, String) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    // Verification distinguishes authorities by their names first, so each needs its own.
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("authority of {name}"));
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = authority.self_signed(&authority_key).expect("signed").pem();
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .expect("parameters")
        .signed_by(&key, &Issuer::from_params(&authority, &authority_key))
        .expect("signed");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound a port");
    let port = listener
        .local_addr()
        .expect("the listener has an address")
        .port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                client.set_nodelay(true).expect("set");
                // The response to SSLRequest is one byte.
                let mut request = [0; 8];
                client.read_exact(&mut request).await.expect("a request");
                client.write_all(b"S").await.expect("answered");
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))
                    .await
                    .expect("connected to PostgreSQL");
                server.set_nodelay(true).expect("set");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, ca_pem)
}

fn target_with_tls(database: &TestDatabase, port: u16, ca_pem: Option<String>) -> DatabaseTarget {
    DatabaseTarget {
        port,
        tls: Tls::VerifyFull { ca_pem },
        ..database.target.clone()
    }
}

async fn untrusted_message(target: &DatabaseTarget) -> String {
    // A permanent error is not retried.
    let (set, limits) = (set(&FILES), patient());
    let failure = returns("an untrusted server", migrate(target, &set, &limits))
        .await
        .expect_err("the server is not trusted");
    assert!(!failure.error.is_transient());
    match failure.error {
        MigrationError::Untrusted { message, .. } => message,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_given_authority_is_trusted() {
    let database = TestDatabase::create().await;
    let (port, ca_pem) = start_tls_proxy(database.target.port, "127.0.0.1").await;
    let outcome = migrate(
        &target_with_tls(&database, port, Some(ca_pem)),
        &set(&FILES),
        &limits(),
    )
    .await;
    assert_eq!(outcome.expect("the migration succeeds").applied, [1]);
}

#[tokio::test]
async fn certificates_of_another_authority_or_for_another_host_are_rejected_without_retries() {
    let database = TestDatabase::create().await;
    let (port, _) = start_tls_proxy(database.target.port, "127.0.0.1").await;
    let (other_port, other_ca) = start_tls_proxy(database.target.port, "db.example.org").await;
    for (port, ca_pem, expected) in [
        (port, None, "UnknownIssuer"),
        (port, Some(other_ca.clone()), "UnknownIssuer"),
        (other_port, Some(other_ca), "name"),
        (
            port,
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
            "",
        ),
    ] {
        let message = untrusted_message(&target_with_tls(&database, port, ca_pem)).await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn dropping_the_future_ends_the_session_behind_the_tunnel() {
    let database = TestDatabase::create().await;
    let (port, ca_pem) = start_tls_proxy(database.target.port, "127.0.0.1").await;
    let target = target_with_tls(&database, port, Some(ca_pem));
    let slow = set(&[("0001_slow.sql", "SELECT pg_sleep(600)")]);
    let limits = limits();
    let sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'tenant-controller' \
                    AND datname = current_database()";
    let sleeping = format!("{sessions} AND wait_event = 'PgSleep'");
    tokio::select! {
        outcome = migrate(&target, &slow, &limits) => panic!("{outcome:?}"),
        () = database.wait_for(&sleeping) => {}
    }
    database
        .wait_for(&format!("SELECT WHERE NOT EXISTS ({sessions})"))
        .await;
    assert_eq!(
        migrate(&target, &set(&FILES), &limits)
            .await
            .expect("the migration succeeds")
            .applied,
        [1]
    );
}

#[tokio::test]
async fn a_server_without_tls_is_rejected_before_the_password_is_sent() {
    let database = TestDatabase::create().await;
    let message = untrusted_message(&target_with_tls(&database, database.target.port, None)).await;
    assert!(message.contains("TLS"), "{message}");
}
