//! Relays a pooled connection and inspects its messages.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::rejection::RejectionMarker;
use super::requests::RequestFilter;
use super::responses::ResponseFilter;
use crate::data_plane::relay::{BUFFER_BYTES, ByteStream, SessionMonitor};
use crate::data_plane::session_start::SessionStart;

/// Maximum capacity of an empty buffer that a connection keeps, in bytes.
const MAX_IDLE_BUFFER_BYTES: usize = 4 * BUFFER_BYTES;

/// Why the relay ends before both sides have closed the connection.
enum RelayEnd {
    /// The client has sent the number of messages that a fault allows.
    Disconnect,
    Failed(io::Error),
}

impl From<io::Error> for RelayEnd {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Relays until one side closes the connection, or until the client starts a message beyond
/// `cut_after`.
pub(in crate::data_plane) async fn relay(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    monitor: &SessionMonitor,
    start: SessionStart,
    cut_after: Option<u64>,
) -> io::Result<()> {
    let marker = RejectionMarker::random();
    let backslash_escapes = &AtomicBool::new(start.backslash_escapes);
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let mut requests = RequestFilter::new(marker.clone(), cut_after);
    let client_to_server = async {
        let mut read = start.pipelined;
        let mut forwarded = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            let buffered_bytes = read.len();
            requests.take(
                &mut read,
                &mut forwarded,
                backslash_escapes.load(Ordering::Relaxed),
            )?;
            if !forwarded.is_empty() {
                monitor.client_sent().await;
                to_backend.write_all(&forwarded).await?;
                to_backend.flush().await?;
                clear(&mut forwarded);
            }
            if requests.is_finished() && !read.is_empty() {
                return Err(RelayEnd::Disconnect);
            }
            release_memory(&mut read, buffered_bytes);
            read.reserve(BUFFER_BYTES);
            if from_client.read_buf(&mut read).await? == 0 {
                return Ok(to_backend.shutdown().await?);
            }
        }
    };
    let mut responses = ResponseFilter::new(marker);
    let server_to_client = async {
        let mut read = BytesMut::with_capacity(BUFFER_BYTES);
        let mut forwarded = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            read.reserve(BUFFER_BYTES);
            if from_backend.read_buf(&mut read).await? == 0 {
                return Ok(to_client.shutdown().await?);
            }
            responses.take(&mut read, &mut forwarded)?;
            if let Some(enabled) = responses.take_backslash_escapes() {
                backslash_escapes.store(enabled, Ordering::Relaxed);
            }
            if !forwarded.is_empty() {
                monitor.server_sent(&forwarded);
                to_client.write_all(&forwarded).await?;
                to_client.flush().await?;
                clear(&mut forwarded);
            }
        }
    };
    match tokio::try_join!(client_to_server, server_to_client) {
        Ok(_) | Err(RelayEnd::Disconnect) => Ok(()),
        Err(RelayEnd::Failed(error)) => Err(error),
    }
}

/// Replaces a buffer that held a long message by one of the usual size. The capacity cannot be used
/// to decide this, because `split_to` removes the memory with the message.
fn release_memory(buffer: &mut BytesMut, buffered_bytes: usize) {
    if buffered_bytes > MAX_IDLE_BUFFER_BYTES && buffer.len() <= MAX_IDLE_BUFFER_BYTES {
        let mut replacement = BytesMut::with_capacity(BUFFER_BYTES);
        replacement.extend_from_slice(buffer);
        *buffer = replacement;
    }
}

/// Clears a buffer, and replaces it if a long message has made it large.
fn clear(buffer: &mut BytesMut) {
    buffer.clear();
    if buffer.capacity() > MAX_IDLE_BUFFER_BYTES {
        *buffer = BytesMut::with_capacity(BUFFER_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_long_message_is_released_after_it_was_relayed() {
        let long = vec![b'x'; 64 * BUFFER_BYTES];
        for left in [&b""[..], b"start"] {
            let mut read = BytesMut::from(&[&long[..], left].concat()[..]);
            let buffered_bytes = read.len();
            drop(read.split_to(long.len()));
            release_memory(&mut read, buffered_bytes);
            read.reserve(BUFFER_BYTES);
            assert!(read.capacity() <= 4 * BUFFER_BYTES, "{}", read.capacity());
            assert_eq!(read, left);
        }
    }
}
