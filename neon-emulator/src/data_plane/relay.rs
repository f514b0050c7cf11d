//! Bytes between a client and PostgreSQL: first message by message, then as they come.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::sessions::Activity;
use super::wire::Message;
use crate::clock::Clock;

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

/// Who is told what goes over a connection.
pub(super) struct Watched {
    pub(super) activity: Arc<Activity>,
    pub(super) clock: Clock,
}

/// Whether bytes for the client end with PostgreSQL's word that it waits for the next statement, outside a transaction.
fn ends_idle(bytes: &[u8]) -> bool {
    bytes.ends_with(&[READY_FOR_QUERY, 0, 0, 0, 5, b'I'])
}

/// Passes everything on until one side ends.
pub(super) async fn relay(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    watched: &Watched,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let upwards = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_backend.shutdown().await;
            }
            watched.activity.from_client(watched.clock.now());
            to_backend.write_all(&buffer[..read]).await?;
            to_backend.flush().await?;
        }
    };
    let downwards = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_backend.read(&mut buffer).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            let bytes = &buffer[..read];
            watched
                .activity
                .to_client(read, ends_idle(bytes), watched.clock.now());
            to_client.write_all(bytes).await?;
            to_client.flush().await?;
        }
    };
    tokio::try_join!(upwards, downwards).map(|_| ())
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
