//! Connects sqlx to a server: sqlx connects without TLS to a local port, and a task forwards the
//! bytes through the [`response_filter`], over TLS unless it is disabled.
//!
//! sqlx supports TLS, with three disadvantages. It reads the platform's root certificates for every
//! connection. It does not disable Nagle's algorithm, so that the end of the handshake waits about
//! 40 ms for the server's delayed acknowledgement, while creating a tenant takes about a second in
//! total. And it trusts the platform's roots in addition to a given authority, while here a given
//! authority is the only trusted one.
//!
//! The port listens on loopback, accepts one connection, and closes. Another local process that
//! connects first reaches the database's login, as it could from anywhere, but has no password.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::response_filter::{self, WireState};

/// Postgres' `SSLRequest` message: its length, then the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the TLS close message to the server.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum TunnelError {
    /// A network error, which may be transient.
    Io(io::Error),
    /// The server cannot be verified; a retry would not help.
    Untrusted(String),
}

impl From<io::Error> for TunnelError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A TLS configuration that trusts the authorities in `ca_pem` only or, without it, those of the
/// platform.
pub(super) fn client_config(ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    /// Read once, because reading takes milliseconds and the roots change only with the image.
    static PLATFORM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let Some(pem) = ca_pem else {
        if let Some(config) = PLATFORM.get() {
            return Ok(Arc::clone(config));
        }
        let config = trusting(rustls_native_certs::load_native_certs().certs)?;
        return Ok(Arc::clone(PLATFORM.get_or_init(|| config)));
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    trusting(certificates.map_err(|error| format!("the CA certificate is invalid: {error}"))?)
}

fn trusting(certificates: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err("no trusted CA certificate found".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// An open connection to a server, which one client can use through a local port.
pub(super) struct Tunnel {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<WireState>,
}

/// Connects to the server, over TLS if `tls_config` is given.
pub(super) async fn open(
    host: &str,
    port: u16,
    tls_config: Option<Arc<ClientConfig>>,
) -> Result<Tunnel, TunnelError> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    match tls_config {
        Some(tls_config) => listen(start_tls(stream, host, tls_config).await?).await,
        None => listen(stream).await,
    }
}

async fn listen(
    server: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Tunnel, TunnelError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let state = Arc::new(WireState::default());
    let tunnel = Tunnel {
        address,
        state: Arc::clone(&state),
    };
    tokio::spawn(async move {
        // If the client does not connect in time, it has reported an error of its own.
        let Ok(Ok((client, _))) = timeout(ACCEPT_TIMEOUT, listener.accept()).await else {
            return;
        };
        drop(listener);
        forward(client, server, &state).await;
    });
    Ok(tunnel)
}

async fn start_tls(
    mut stream: TcpStream,
    host: &str,
    tls_config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, TunnelError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TunnelError::Untrusted(error.to_string()))?;
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => {}
        b'N' => {
            return Err(TunnelError::Untrusted(
                "the server does not support TLS".to_owned(),
            ));
        }
        // The start of an error message, for example because of too many connections.
        _ => {
            return Err(
                io::Error::other("the server did not accept the SSLRequest message").into(),
            );
        }
    }
    TlsConnector::from(tls_config)
        .connect(name, stream)
        .await
        .map_err(handshake_error)
}

/// An invalid certificate is permanent; other errors of a handshake may be caused by the network.
fn handshake_error(error: io::Error) -> TunnelError {
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

/// Forwards bytes in both directions until either end closes, then closes both, so that the server
/// cancels a query whose client has gone.
async fn forward(
    mut client: TcpStream,
    server: impl AsyncRead + AsyncWrite + Unpin,
    state: &WireState,
) {
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = split(server);
    // The user of the connection sees the error.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = response_filter::forward_responses(&mut from_server, &mut to_client, state) => {}
    }
    let _ = timeout(SHUTDOWN_TIMEOUT, to_server.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificate_errors_are_permanent() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        for (error, is_permanent) in [
            (io::Error::new(io::ErrorKind::InvalidData, untrusted), true),
            (
                io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError),
                false,
            ),
            (io::ErrorKind::UnexpectedEof.into(), false),
        ] {
            let error = handshake_error(error);
            assert_eq!(
                matches!(error, TunnelError::Untrusted(_)),
                is_permanent,
                "{error:?}"
            );
        }
    }

    #[test]
    fn an_invalid_ca_certificate_is_rejected() {
        for (pem, expected) in [
            ("", "no trusted CA"),
            ("not PEM", "no trusted CA"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "is invalid",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "no trusted CA",
            ),
        ] {
            let error = client_config(Some(pem)).expect_err(pem);
            assert!(error.contains(expected), "{pem}: {error}");
        }
    }
}
