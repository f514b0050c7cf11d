//! TLS on the data plane: certificates, host names and ALPN.

use std::str::FromStr;

use crate::common::{TestEmulator, uri};
use crate::data_plane::one;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_client_that_verifies_the_certificate_reaches_its_endpoint_by_host_name() {
    let world =
        TestEmulator::start_with(|emulator| emulator.host_template("{endpoint}.localhost")).await;
    let created = world.create("one").await;
    let endpoint = created.endpoints[0].id.as_str();
    assert!(
        uri(&created).contains(&format!("@{endpoint}.localhost:"))
            && !uri(&created).contains("options")
    );
    assert_eq!(created.endpoints[0].host, format!("{endpoint}.localhost"));

    // Names below localhost do not resolve everywhere, so the test connects to the address and
    // performs the TLS handshake itself.
    let stream = TcpStream::connect(world.emulator.data_addr())
        .await
        .expect("connects");
    let mut stream = tls(&world, stream, &format!("{endpoint}.localhost"), true).await;
    let user = created.roles[0].name.as_str();
    stream
        .write_all(&startup(&[("user", user), ("database", "neondb")]))
        .await
        .expect("writes");
    let mut kind = [0; 1];
    stream.read_exact(&mut kind).await.expect("an answer");
    assert_eq!(kind[0], b'R', "the database asks for the password");
}

#[tokio::test]
async fn direct_tls_requires_the_postgresql_alpn_protocol() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let stream = TcpStream::connect(world.emulator.data_addr())
        .await
        .expect("connects");
    let mut stream = tls_with(&world, stream, "localhost", &[b"postgresql"])
        .await
        .expect("TLS");
    let options = format!("endpoint={}", created.endpoints[0].id);
    let first = startup(&[
        ("user", "neondb_owner"),
        ("database", "neondb"),
        ("options", &options),
    ]);
    stream.write_all(&first).await.expect("writes");
    let mut kind = [0; 1];
    stream.read_exact(&mut kind).await.expect("an answer");
    assert_eq!(kind[0], b'R');

    let stream = TcpStream::connect(world.emulator.data_addr())
        .await
        .expect("connects");
    let mut stream = tls_with(&world, stream, "localhost", &[])
        .await
        .expect("TLS");
    let _ = stream.write_all(&first).await;
    assert!(
        matches!(stream.read(&mut kind).await, Ok(0) | Err(_)),
        "a client without ALPN is rejected"
    );
}

#[tokio::test]
async fn the_certificate_is_valid_for_the_ip_address() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, world.emulator.ca_pem()).expect("writes");
    let options = PgConnectOptions::from_str(&uri(&created))
        .expect("a URI")
        .ssl_mode(PgSslMode::VerifyFull);
    let mut connection = options
        .clone()
        .ssl_root_cert(&ca)
        .connect()
        .await
        .expect("the certificate is valid");
    assert_eq!(one(&mut connection, "SELECT 'here'").await, "here");
    assert!(options.connect().await.is_err(), "the CA is required");
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in parameters.iter().flat_map(|(key, value)| [key, value]) {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut packet = u32::try_from(body.len() + 4)
        .expect("short")
        .to_be_bytes()
        .to_vec();
    packet.extend(body);
    packet
}

async fn tls(
    world: &TestEmulator,
    mut stream: TcpStream,
    name: &str,
    ask: bool,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    if ask {
        stream
            .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
            .await
            .expect("writes");
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer[0], b'S');
    }
    tls_with(world, stream, name, &[])
        .await
        .expect("TLS, with a certificate for the name")
}

async fn tls_with(
    world: &TestEmulator,
    stream: TcpStream,
    name: &str,
    alpn: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(world.emulator.ca_pem().as_bytes())
        .expect("PEM");
    roots.add(ca).expect("a CA certificate");
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).expect("a name");
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, stream)
        .await
}
