//! Bytes between a client and PostgreSQL, with the pooler's look at them.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::answers::Answers;
use super::refusal::Mark;
use super::requests::Requests;
use crate::data_plane::relay::{BUFFER_BYTES, Stream, Watched};
use crate::data_plane::sign_in::Begun;

/// The largest buffer that a connection keeps when it is empty, in bytes.
const BUFFER_BYTES_KEPT_MAX: usize = 4 * BUFFER_BYTES;

/// How a connection ends before both sides do.
enum End {
    /// The client has sent as many messages as it may.
    Cut,
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Passes on until one side ends, or until the client has sent so many messages and begins the next one.
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

/// Moves what is left of a buffer to one of the usual size, if it held a long message before. What is split off a buffer leaves its
/// memory with it, so its capacity does not tell.
fn let_go(buffer: &mut BytesMut, held_bytes: usize) {
    if held_bytes > BUFFER_BYTES_KEPT_MAX && buffer.len() <= BUFFER_BYTES_KEPT_MAX {
        let mut usual = BytesMut::with_capacity(BUFFER_BYTES);
        usual.extend_from_slice(buffer);
        *buffer = usual;
    }
}

/// Empties a buffer, and lets go of it if a long message made it large.
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
    fn the_memory_of_a_long_message_is_given_back_when_it_has_passed() {
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
