//! Sessions of a project that has reached its size limit: reads work, and writes fail with SQLSTATE
//! 53100, as in Neon.
//!
//! PostgreSQL starts such a session read-only. Its error for a write is replaced by Neon's, and so is
//! the value of a `SET default_transaction_read_only = off`, with which many clients begin a session.

use bytes::{Bytes, BytesMut};
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::relay::{BUFFER_BYTES, ByteStream};
use super::wire::{self, Message};

/// Maximum size of a message from PostgreSQL, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
const ERROR_RESPONSE: u8 = b'E';
/// The field of an error with the SQLSTATE 25006, `read_only_sql_transaction`.
const READ_ONLY: &[u8] = b"C25006\0";
/// Messages of the client with SQL.
const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';
const READ_ONLY_SETTING: &[u8] = b"default_transaction_read_only";
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
        let mut received = BytesMut::with_capacity(BUFFER_BYTES);
        let mut forwarded = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            if from_session.read_buf(&mut received).await? == 0 {
                return to_backend.shutdown().await;
            }
            while let Some(message) = Message::take_limited(&mut received, MAX_MESSAGE_BYTES)? {
                keep_read_only(message).put(&mut forwarded);
            }
            to_backend.write_all(&forwarded).await?;
            to_backend.flush().await?;
            forwarded.clear();
        }
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

/// Replaces `default_transaction_read_only = off` in SQL by `on`, which has the same length with a
/// space.
fn keep_read_only(message: Message) -> Message {
    let names_setting = |body: &[u8]| {
        body.windows(READ_ONLY_SETTING.len())
            .position(|window| window.eq_ignore_ascii_case(READ_ONLY_SETTING))
    };
    if !matches!(message.kind, QUERY | PARSE) || names_setting(&message.body).is_none() {
        return message;
    }
    let mut body = message.body.to_vec();
    let mut searched = 0;
    while let Some(position) = names_setting(&body[searched..]) {
        searched += position + READ_ONLY_SETTING.len();
        let is_separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
        let value = searched
            + body[searched..]
                .iter()
                .take_while(|byte| is_separator(byte))
                .count();
        if let Some(value) = body.get_mut(value..value + 3)
            && value.eq_ignore_ascii_case(b"off")
        {
            value.copy_from_slice(b"on ");
        }
    }
    Message {
        kind: message.kind,
        body: Bytes::from(body),
    }
}

fn is_read_only_error(message: &Message) -> bool {
    message.kind == ERROR_RESPONSE
        && message
            .body
            .windows(READ_ONLY.len())
            .any(|window| window == READ_ONLY)
}

fn size_limit_error(limit_bytes: u64) -> Bytes {
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
