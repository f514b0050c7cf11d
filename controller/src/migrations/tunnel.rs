//! TLS for a connection to Postgres: sqlx speaks plainly to a port of this process, and a task carries that over TLS.
//!
//! sqlx has TLS of its own, at a price for every connection: it reads the platform's roots anew, and leaves Nagle's algorithm on, which holds
//! the end of its handshake back until the server's delayed acknowledgement, some 40 ms later, of a second that a new
//! tenant is made in. Also it trusts the platform's roots beside a given authority; here a given authority is the only one.
//!
//! The port listens on loopback for one connection and is closed with it. Whoever else on this machine came first would have a line to the
//! database, as from anywhere, and no password to go with it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What Postgres' protocol asks for TLS with: its length, then the number 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// How long the port waits to be connected to.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the farewell to the server may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no tunnel.
#[derive(Debug)]
pub(super) enum TunnelError {
    /// The network; time may mend it.
    Io(io::Error),
    /// The server is not to be trusted, or cannot be.
    Untrusted(String),
}

impl From<io::Error> for TunnelError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whom to trust: the authorities in `ca_pem` alone or, without it, the platform's.
pub(super) fn trust(ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    /// Read once: roots change with the image, and reading them costs some milliseconds.
    static PLATFORM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let Some(pem) = ca_pem else {
        if let Some(config) = PLATFORM.get() {
            return Ok(Arc::clone(config));
        }
        let config = config(rustls_native_certs::load_native_certs().certs)?;
        return Ok(Arc::clone(PLATFORM.get_or_init(|| config)));
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    config(certificates.map_err(|error| format!("the given authority is no certificate: {error}"))?)
}

fn config(certificates: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err("there is no authority to trust".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to the server over TLS. Returns the address that leads to it; the tunnel lasts for one connection.
pub(super) async fn open(
    host: &str,
    port: u16,
    trust: Arc<ClientConfig>,
) -> Result<SocketAddr, TunnelError> {
    let server = connect(host, port, trust).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // Whoever was to come has given up, and knows why.
        let Ok(Ok((client, _))) = timeout(ACCEPT_TIMEOUT, listener.accept()).await else {
            return;
        };
        drop(listener);
        carry(client, server).await;
    });
    Ok(address)
}

async fn connect(
    host: &str,
    port: u16,
    trust: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, TunnelError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TunnelError::Untrusted(error.to_string()))?;
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => {}
        b'N' => {
            return Err(TunnelError::Untrusted(
                "the server does not speak TLS".to_owned(),
            ));
        }
        // An error of a server that has no time even for this question, such as too many connections.
        _ => return Err(io::Error::other("the server did not answer the question for TLS").into()),
    }
    TlsConnector::from(trust)
        .connect(name, stream)
        .await
        .map_err(refusal)
}

/// A certificate that is wrong stays wrong; other failures of a handshake may be the network's.
fn refusal(error: io::Error) -> TunnelError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(
            error @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented),
        ) => TunnelError::Untrusted(error.to_string()),
        _ => TunnelError::Io(error),
    }
}

/// Carries bytes both ways until either end goes away, then closes both: a server at work has to learn that nobody waits
/// any more.
async fn carry(mut client: TcpStream, server: TlsStream<TcpStream>) {
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = split(server);
    // How it ended is seen by whoever uses the connection.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
    let _ = timeout(SHUTDOWN_TIMEOUT, to_server.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_certificate_are_final() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        for (error, is_final) in [
            (io::Error::new(io::ErrorKind::InvalidData, untrusted), true),
            (
                io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError),
                false,
            ),
            (io::ErrorKind::UnexpectedEof.into(), false),
        ] {
            let refusal = refusal(error);
            assert_eq!(
                matches!(refusal, TunnelError::Untrusted(_)),
                is_final,
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn an_authority_that_is_none_is_refused_with_a_word() {
        for (pem, word) in [
            ("", "no authority"),
            ("not PEM", "no authority"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "no certificate",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "no authority",
            ),
        ] {
            let error = trust(Some(pem)).expect_err(pem);
            assert!(error.contains(word), "{pem}: {error}");
        }
    }
}
