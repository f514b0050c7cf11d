//! The start of a connection: the TLS handshake, and the startup or cancel message inside TLS.

use tokio::io::{self, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::DataPlane;
use super::refusal::{Refusal, refuse};
use super::wire::{self, First, Startup};
use crate::tls::ALPN;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Maximum number of packets before the startup message: a GSSAPI request and then a TLS request.
const QUESTIONS_MAX: usize = 3;

/// What a client requests after the TLS handshake.
pub(super) enum Hello {
    Cancel(bytes::Bytes),
    SignIn(Box<TlsStream<TcpStream>>, Startup),
    Gone,
}

impl DataPlane {
    pub(super) async fn hello(&self, mut stream: TcpStream) -> io::Result<Hello> {
        let mut first = [0; 1];
        if stream.peek(&mut first).await? == 0 {
            return Ok(Hello::Gone);
        }
        if first[0] == TLS_HANDSHAKE {
            let client = self.tls.accept(stream).await?;
            // A client that starts with a TLS handshake must announce PostgreSQL by ALPN;
            // otherwise, requests of other protocols could be redirected to this port.
            if client.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Ok(Hello::Gone);
            }
            return hello_inside(client).await;
        }
        for _ in 0..QUESTIONS_MAX {
            match wire::read_first(&mut stream).await? {
                First::Gss => stream.write_all(b"N").await?,
                First::Tls => {
                    stream.write_all(b"S").await?;
                    return hello_inside(self.tls.accept(stream).await?).await;
                }
                First::Cancel(packet) => return Ok(Hello::Cancel(packet)),
                First::Startup(_) => {
                    let error =
                        Refusal::proxy("connection is insecure (try using `sslmode=require`)");
                    return refuse(&mut stream, &error).await.map(|()| Hello::Gone);
                }
            }
        }
        Ok(Hello::Gone)
    }
}

async fn hello_inside(mut client: TlsStream<TcpStream>) -> io::Result<Hello> {
    match wire::read_first(&mut client).await? {
        First::Cancel(packet) => Ok(Hello::Cancel(packet)),
        First::Startup(startup) => Ok(Hello::SignIn(Box::new(client), startup)),
        First::Tls | First::Gss => Ok(Hello::Gone),
    }
}
