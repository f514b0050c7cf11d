//! The start of a connection: the TLS handshake, and the startup or cancel message inside TLS.

use tokio::io::{self, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::DataPlane;
use super::error_response::{ErrorResponse, reject};
use super::wire::{self, InitialPacket, StartupMessage};
use crate::tls::ALPN;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Maximum number of packets before the startup message: a GSSAPI request and then a TLS request.
const MAX_ENCRYPTION_REQUESTS: usize = 3;

/// What a client requests after the TLS handshake.
pub(super) enum ClientRequest {
    Cancel(bytes::Bytes),
    Connect(Box<TlsStream<TcpStream>>, StartupMessage),
    Disconnected,
}

impl DataPlane {
    pub(super) async fn negotiate(&self, mut stream: TcpStream) -> io::Result<ClientRequest> {
        let mut first = [0; 1];
        if stream.peek(&mut first).await? == 0 {
            return Ok(ClientRequest::Disconnected);
        }
        if first[0] == TLS_HANDSHAKE {
            let client = self.tls.accept(stream).await?;
            // A client that starts with a TLS handshake must announce PostgreSQL by ALPN;
            // otherwise, requests of other protocols could be redirected to this port.
            if client.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Ok(ClientRequest::Disconnected);
            }
            return read_client_request(client).await;
        }
        for _ in 0..MAX_ENCRYPTION_REQUESTS {
            match wire::read_initial_packet(&mut stream).await? {
                InitialPacket::GssEncRequest => stream.write_all(b"N").await?,
                InitialPacket::SslRequest => {
                    stream.write_all(b"S").await?;
                    return read_client_request(self.tls.accept(stream).await?).await;
                }
                InitialPacket::CancelRequest(packet) => return Ok(ClientRequest::Cancel(packet)),
                InitialPacket::Startup(_) => {
                    let error = ErrorResponse::proxy(
                        "connection is insecure (try using `sslmode=require`)",
                    );
                    return reject(&mut stream, &error)
                        .await
                        .map(|()| ClientRequest::Disconnected);
                }
            }
        }
        Ok(ClientRequest::Disconnected)
    }
}

async fn read_client_request(mut client: TlsStream<TcpStream>) -> io::Result<ClientRequest> {
    match wire::read_initial_packet(&mut client).await? {
        InitialPacket::CancelRequest(packet) => Ok(ClientRequest::Cancel(packet)),
        InitialPacket::Startup(startup) => Ok(ClientRequest::Connect(Box::new(client), startup)),
        InitialPacket::SslRequest | InitialPacket::GssEncRequest => Ok(ClientRequest::Disconnected),
    }
}
