//! Relays a pooled connection and inspects its messages.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::answers::Answers;
use super::refusal::Mark;
use super::requests::Requests;
use crate::data_plane::relay::{BUFFER_BYTES, Stream, Watched};
use crate::data_plane::sign_in::Begun;

/// Maximum capacity of an empty buffer that a connection keeps, in bytes.
const BUFFER_BYTES_KEPT_MAX: usize = 4 * BUFFER_BYTES;

/// Why the relay ends before both sides have closed the connection.
enum End {
    /// The client has sent the number of messages that a fault allows.
    Cut,
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Relays until one side closes the connection, or until the client starts a message beyond
/// `cut_after`.
pub(in crate::data_plane) async fn relay(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    watched: &Watched,
    begun: Begun,
    cut_after: Option<u64>,
) -> io::Result<()> {
    let mark = Mark::random();
    let backslashes = &AtomicBool::new(begun.backslashes);
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let mut requests = Requests::new(mark.clone(), cut_after);
    let upwards = async {
        let mut read = begun.ahead;
        let mut passed = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            let held_bytes = read.len();
            requests.take(&mut read, &mut passed, backslashes.load(Ordering::Relaxed))?;
            if !passed.is_empty() {
                watched.client_sent();
                to_backend.write_all(&passed).await?;
                to_backend.flush().await?;
                empty(&mut passed);
            }
            if requests.is_last() && !read.is_empty() {
                return Err(End::Cut);
            }
            let_go(&mut read, held_bytes);
            read.reserve(BUFFER_BYTES);
            if from_client.read_buf(&mut read).await? == 0 {
                return Ok(to_backend.shutdown().await?);
            }
        }
    };
    let mut answers = Answers::new(mark);
    let downwards = async {
        let mut read = BytesMut::with_capacity(BUFFER_BYTES);
        let mut passed = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            read.reserve(BUFFER_BYTES);
            if from_backend.read_buf(&mut read).await? == 0 {
                return Ok(to_client.shutdown().await?);
            }
            answers.take(&mut read, &mut passed)?;
            if let Some(said) = answers.take_backslashes() {
                backslashes.store(said, Ordering::Relaxed);
            }
            if !passed.is_empty() {
                watched.server_sent(&passed);
                to_client.write_all(&passed).await?;
                to_client.flush().await?;
                empty(&mut passed);
            }
        }
    };
    match tokio::try_join!(upwards, downwards) {
        Ok(_) | Err(End::Cut) => Ok(()),
        Err(End::Broken(error)) => Err(error),
    }
}

/// Replaces a buffer that held a long message by one of the usual size. The capacity cannot be used
/// to decide this, because `split_to` removes the memory with the message.
fn let_go(buffer: &mut BytesMut, held_bytes: usize) {
    if held_bytes > BUFFER_BYTES_KEPT_MAX && buffer.len() <= BUFFER_BYTES_KEPT_MAX {
        let mut usual = BytesMut::with_capacity(BUFFER_BYTES);
        usual.extend_from_slice(buffer);
        *buffer = usual;
    }
}

/// Clears a buffer, and replaces it if a long message has made it large.
fn empty(buffer: &mut BytesMut) {
    buffer.clear();
    if buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
        *buffer = BytesMut::with_capacity(BUFFER_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_long_message_is_released_after_it_was_relayed() {
        let long = vec![b'x'; 64 * BUFFER_BYTES];
        for left in [&b""[..], b"begun"] {
            let mut read = BytesMut::from(&[&long[..], left].concat()[..]);
            let held_bytes = read.len();
            drop(read.split_to(long.len()));
            let_go(&mut read, held_bytes);
            read.reserve(BUFFER_BYTES);
            assert!(read.capacity() <= 4 * BUFFER_BYTES, "{}", read.capacity());
            assert_eq!(read, left);
        }
    }
}
