//! What a client says first: TLS, and within it that it wants to sign in or to cancel a statement.

use tokio::io::{self, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::DataPlane;
use super::refusal::{Refusal, refuse};
use super::wire::{self, First, Startup};
use crate::tls::ALPN;

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// The first packets that may come before the one that signs in: a question for GSSAPI, then one for TLS.
const QUESTIONS_MAX: usize = 3;

/// What a client that uses TLS wants.
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
            // A client that begins with TLS must say that it speaks PostgreSQL inside, or any could be led here.
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
