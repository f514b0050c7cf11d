//! Bytes between a client and PostgreSQL, with the pooler's look at them.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::answers::Answers;
use super::refusal::Mark;
use super::requests::Requests;
use crate::data_plane::relay::{BUFFER_BYTES, Stream, Watched};

/// The largest buffer that a connection keeps when it is empty, in bytes.
const BUFFER_BYTES_KEPT_MAX: usize = 4 * BUFFER_BYTES;

/// Passes on until one side ends, beginning with what the client sent ahead. `backslashes` tells whether the session begins with
/// backslashes as escapes in every text.
pub(in crate::data_plane) async fn relay(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    watched: &Watched,
    ahead: BytesMut,
    backslashes: bool,
) -> io::Result<()> {
    let mark = Mark::random();
    let backslashes = &AtomicBool::new(backslashes);
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let mut requests = Requests::new(mark.clone());
    let upwards = async {
        let mut read = ahead;
        let mut passed = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            requests.take(&mut read, &mut passed, backslashes.load(Ordering::Relaxed))?;
            if !passed.is_empty() {
                watched.client_sent();
                to_backend.write_all(&passed).await?;
                to_backend.flush().await?;
                empty(&mut passed);
            }
            read.reserve(BUFFER_BYTES);
            if from_client.read_buf(&mut read).await? == 0 {
                return to_backend.shutdown().await;
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
                return to_client.shutdown().await;
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
    tokio::try_join!(upwards, downwards).map(|_| ())
}

/// Empties a buffer, and lets go of it if a long message made it large.
fn empty(buffer: &mut BytesMut) {
    buffer.clear();
    if buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
        *buffer = BytesMut::with_capacity(BUFFER_BYTES);
    }
}
