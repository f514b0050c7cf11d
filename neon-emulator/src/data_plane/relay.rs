//! Bytes between a client and PostgreSQL: first message by message, then as they come.

use bytes::BytesMut;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::Message;

/// Bytes that are held for each direction.
const BUFFER_BYTES: usize = 32 * 1024;
/// The longest message while messages are counted, in bytes.
const COUNTED_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// PostgreSQL's word that a client is signed in.
const READY_FOR_QUERY: u8 = b'Z';

/// A connection, whatever it runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Passes messages on until the client is signed in, with the names that the client knows. Whether it was.
pub(super) async fn sign_in(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    names: &[(String, String)],
) -> io::Result<bool> {
    let mut from_client = BytesMut::with_capacity(BUFFER_BYTES);
    let mut from_backend = BytesMut::with_capacity(BUFFER_BYTES);
    let mut to_client = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        tokio::select! {
            read = client.read_buf(&mut from_client) => {
                if read? == 0 {
                    return Ok(false);
                }
                backend.write_all(&from_client).await?;
                from_client.clear();
            }
            read = backend.read_buf(&mut from_backend) => {
                let ended = read? == 0;
                let mut ready = false;
                while !ready && let Some(message) = Message::take(&mut from_backend)? {
                    ready = message.kind == READY_FOR_QUERY;
                    message.with_names(names).put(&mut to_client);
                }
                if ready || ended {
                    to_client.extend_from_slice(&from_backend);
                }
                client.write_all(&to_client).await?;
                client.flush().await?;
                to_client.clear();
                if ready || ended {
                    return Ok(ready);
                }
            }
        }
    }
}

/// Passes everything on until one side ends.
pub(super) async fn relay(client: &mut impl Stream, backend: &mut impl Stream) -> io::Result<()> {
    io::copy_bidirectional_with_sizes(client, backend, BUFFER_BYTES, BUFFER_BYTES)
        .await
        .map(|_| ())
}

/// Passes everything on until the client has sent so many messages; the next one is the end of the connection.
pub(super) async fn relay_counted(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    mut messages_left: u64,
) -> io::Result<()> {
    let mut from_client = BytesMut::with_capacity(BUFFER_BYTES);
    let mut from_backend = BytesMut::with_capacity(BUFFER_BYTES);
    let mut to_backend = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        tokio::select! {
            read = client.read_buf(&mut from_client) => {
                if read? == 0 {
                    return Ok(());
                }
                let mut over = false;
                while !over && let Some(message) = Message::take_limited(&mut from_client, COUNTED_MESSAGE_BYTES_MAX)? {
                    if messages_left == 0 {
                        over = true;
                    } else {
                        messages_left -= 1;
                        message.put(&mut to_backend);
                    }
                }
                backend.write_all(&to_backend).await?;
                to_backend.clear();
                if over {
                    return Ok(());
                }
            }
            read = backend.read_buf(&mut from_backend) => {
                if read? == 0 {
                    return Ok(());
                }
                client.write_all(&from_backend).await?;
                client.flush().await?;
                from_backend.clear();
            }
        }
    }
}
