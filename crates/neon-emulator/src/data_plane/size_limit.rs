//! Sessions of a project that has reached its size limit: reads work, and writes fail with SQLSTATE
//! 53100, as in Neon.
//!
//! PostgreSQL starts such a session read-only. Its error for a write is replaced by Neon's.

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::relay::{BUFFER_BYTES, ByteStream};
use super::wire::{self, Message};

/// Maximum size of a message from PostgreSQL, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
const ERROR_RESPONSE: u8 = b'E';
/// The field of an error with the SQLSTATE 25006, `read_only_sql_transaction`.
const READ_ONLY: &[u8] = b"C25006\0";
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// Relays between the session, on `near`, and PostgreSQL until PostgreSQL disconnects.
pub(super) async fn relay(
    near: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    limit_bytes: u64,
) -> io::Result<()> {
    let (mut from_session, mut to_session) = io::split(near);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let to_server = async {
        io::copy(&mut from_session, &mut to_backend).await?;
        to_backend.shutdown().await
    };
    let to_client = async {
        let mut received = BytesMut::with_capacity(BUFFER_BYTES);
        let mut translated = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            if from_backend.read_buf(&mut received).await? == 0 {
                return to_session.shutdown().await;
            }
            while let Some(message) = Message::take_limited(&mut received, MAX_MESSAGE_BYTES)? {
                if is_read_only_error(&message) {
                    translated.extend_from_slice(&size_limit_error(limit_bytes));
                } else {
                    message.put(&mut translated);
                }
            }
            to_session.write_all(&translated).await?;
            to_session.flush().await?;
            translated.clear();
        }
    };
    tokio::try_join!(to_server, to_client).map(|_| ())
}

fn is_read_only_error(message: &Message) -> bool {
    message.kind == ERROR_RESPONSE
        && message
            .body
            .windows(READ_ONLY.len())
            .any(|window| window == READ_ONLY)
}

fn size_limit_error(limit_bytes: u64) -> bytes::Bytes {
    let message = format!(
        "could not extend file because project size limit ({} MB) has been exceeded",
        limit_bytes.div_ceil(BYTES_PER_MIB)
    );
    wire::error(&[
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "53100"),
        (b'M', &message),
        (
            b'H',
            "This limit is defined externally by the project size limit, and internally by neon.max_cluster_size GUC",
        ),
    ])
}
