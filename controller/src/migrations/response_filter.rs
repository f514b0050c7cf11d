//! Forwards the messages of a Postgres server to the client, within limits.
//!
//! A tenant controls what its database sends. sqlx reads a message of any size into memory, and
//! logs notices. This filter sits between the two: it closes the connection if a message is too
//! large, removes notices and, on request, rows, shortens errors, and records the transaction status
//! that the server reports at the end of each response, which sqlx does not expose. sqlx cannot read
//! texts in another encoding than UTF-8, which a migration can choose; their other characters are
//! replaced.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest message that reaches the client, in bytes.
pub(super) const MAX_MESSAGE_BYTES: u64 = 2 * 1024 * 1024;
/// All messages of a response that reach the client, in bytes, if the client keeps its rows.
pub(super) const MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;
/// Errors of the server are shortened to this size, in bytes.
const MAX_ERROR_BYTES: u64 = 16 * 1024;
/// Each field of a shortened error, in bytes.
const MAX_ERROR_FIELD_BYTES: usize = 2 * 1024;
const BUFFER_BYTES: usize = 16 * 1024;

/// The length of a message includes its own four bytes.
const LENGTH_BYTES: u64 = 4;

/// The state of a connection as its messages show it. Shared by the filter and the client.
#[derive(Default)]
pub(super) struct WireState {
    /// The status in the last `ReadyForQuery` message; 0 before the first.
    transaction_status: AtomicU8,
    drops_rows: AtomicBool,
    /// Bytes forwarded since the last request.
    forwarded: AtomicU64,
    violation: Mutex<Option<Violation>>,
}

/// Why the filter ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("the server sent a message of {0} bytes; at most {MAX_MESSAGE_BYTES} are read")]
    MessageTooLarge(u64),
    #[error("the server sent more than {MAX_RESPONSE_BYTES} bytes")]
    ResponseTooLarge,
    #[error("the server sent a message of an unknown type")]
    UnknownMessage,
    #[error("a COPY statement waits for data")]
    Copy,
}

impl WireState {
    /// Prepares for the next request. If `drops_rows` is true, the client gets no rows.
    pub(super) fn start_request(&self, drops_rows: bool) {
        self.drops_rows.store(drops_rows, Ordering::SeqCst);
        self.forwarded.store(0, Ordering::SeqCst);
    }

    /// Whether the last response ended in an open transaction that has not failed.
    pub(super) fn in_transaction(&self) -> bool {
        self.transaction_status.load(Ordering::SeqCst) == b'T'
    }

    /// Why the filter ended the connection, if it did.
    pub(super) fn violation(&self) -> Option<Violation> {
        *self.violation.lock()
    }

    fn fail(&self, violation: Violation) -> io::Error {
        *self.violation.lock() = Some(violation);
        io::Error::new(io::ErrorKind::InvalidData, violation)
    }
}

/// What happens to a message.
enum Action {
    Forward,
    Drop,
    /// Forwards it as UTF-8.
    ForwardText,
    Shorten,
}

/// Forwards messages until either side closes the connection or the server exceeds a limit.
pub(super) async fn forward_responses(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    state: &WireState,
) -> io::Result<()> {
    let mut server = tokio::io::BufReader::with_capacity(BUFFER_BYTES, server);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let mut header = [0; 5];
        server.read_exact(&mut header).await?;
        let [kind, length @ ..] = header;
        let length = u64::from(u32::from_be_bytes(length));
        let body = length
            .checked_sub(LENGTH_BYTES)
            .ok_or_else(|| state.fail(Violation::UnknownMessage))?;
        match action(state, kind, length)? {
            Action::Forward => {
                count(state, length)?;
                client.write_all(&header).await?;
                if kind == b'Z' && body == 1 {
                    let status = server.read_u8().await?;
                    // The client may act on the message as soon as it has it.
                    state.transaction_status.store(status, Ordering::SeqCst);
                    client.write_all(&[status]).await?;
                } else {
                    copy(&mut server, Some(client), body, &mut buffer).await?;
                }
            }
            Action::Drop => {
                copy(&mut server, None::<&mut tokio::io::Sink>, body, &mut buffer).await?;
            }
            Action::ForwardText => {
                count(state, length)?;
                let mut text = Vec::new();
                (&mut server).take(body).read_to_end(&mut text).await?;
                if text.len() as u64 != body {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let text = String::from_utf8_lossy(&text);
                client.write_all(&message(kind, text.as_bytes())).await?;
            }
            Action::Shorten => {
                let mut start = Vec::new();
                (&mut server)
                    .take(MAX_ERROR_BYTES)
                    .read_to_end(&mut start)
                    .await?;
                let rest = body - MAX_ERROR_BYTES;
                copy(&mut server, None::<&mut tokio::io::Sink>, rest, &mut buffer).await?;
                client.write_all(&shortened_error(&start)).await?;
            }
        }
        // Messages often arrive together; flushing once per batch is enough.
        if server.buffer().is_empty() {
            client.flush().await?;
        }
    }
}

fn action(state: &WireState, kind: u8, length: u64) -> io::Result<Action> {
    let drops_rows = state.drops_rows.load(Ordering::SeqCst);
    Ok(match kind {
        // NoticeResponse, NotificationResponse.
        b'N' | b'A' => Action::Drop,
        // RowDescription, DataRow.
        b'T' | b'D' if drops_rows => Action::Drop,
        // ErrorResponse.
        b'E' if length - LENGTH_BYTES > MAX_ERROR_BYTES => Action::Shorten,
        // ErrorResponse, ParameterStatus.
        b'E' | b'S' if length <= MAX_MESSAGE_BYTES => Action::ForwardText,
        // CopyInResponse, CopyOutResponse, CopyBothResponse.
        b'G' | b'H' | b'W' => return Err(state.fail(Violation::Copy)),
        _ if !is_known(kind) => return Err(state.fail(Violation::UnknownMessage)),
        _ if length > MAX_MESSAGE_BYTES => {
            return Err(state.fail(Violation::MessageTooLarge(length)));
        }
        _ => Action::Forward,
    })
}

/// The messages of an authentication, of a query, and of a prepared statement.
fn is_known(kind: u8) -> bool {
    matches!(
        kind,
        b'R' | b'K'
            | b'S'
            | b'Z'
            | b'T'
            | b'D'
            | b'C'
            | b'I'
            | b'E'
            | b'1'
            | b'2'
            | b'3'
            | b'n'
            | b's'
            | b't'
            | b'v'
    )
}

/// Counts a message towards the limit of a response. Without rows, a response grows only with the
/// number of statements.
fn count(state: &WireState, length: u64) -> io::Result<()> {
    let forwarded = state.forwarded.fetch_add(length, Ordering::SeqCst);
    if forwarded + length > MAX_RESPONSE_BYTES && !state.drops_rows.load(Ordering::SeqCst) {
        return Err(state.fail(Violation::ResponseTooLarge));
    }
    Ok(())
}

/// Copies `length` bytes to the client, or discards them.
async fn copy(
    server: &mut (impl AsyncRead + Unpin),
    mut client: Option<&mut (impl AsyncWrite + Unpin)>,
    mut length: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    while length > 0 {
        let chunk = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
        let read = server.read(&mut buffer[..chunk]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(client) = &mut client {
            client.write_all(&buffer[..read]).await?;
        }
        length -= read as u64;
    }
    Ok(())
}

/// An `ErrorResponse` message with the fields at the start of a longer one, each shortened. The
/// server sends the severity, the code and the message first. The context comes later and may be
/// cut off; without it, the text of a function would be taken for the server's own. Only functions
/// raise errors of this length, so the new message always has a context.
fn shortened_error(body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, value)) = field.split_first() else {
            break;
        };
        let value = String::from_utf8_lossy(&value[..value.len().min(MAX_ERROR_FIELD_BYTES)]);
        fields.push(*kind);
        fields.extend_from_slice(value.as_bytes());
        fields.push(0);
    }
    fields.extend_from_slice(b"Wshortened\0\0");
    message(b'E', &fields)
}

/// A message of the protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reaches the client of these messages, and why the filter ended the connection.
    async fn filter(sent: &[u8], state: &WireState) -> (Vec<u8>, Option<Violation>) {
        let mut received = Vec::new();
        let mut server = sent;
        forward_responses(&mut server, &mut received, state)
            .await
            .expect_err("the server closes the connection");
        (received, state.violation())
    }

    #[tokio::test]
    async fn notices_do_not_reach_the_client() {
        let state = WireState::default();
        let row = message(b'D', &[7; 100]);
        let sent = [
            message(b'N', &vec![1; 100_000]),
            row.clone(),
            message(b'A', b"x"),
        ]
        .concat();
        assert_eq!(filter(&sent, &state).await, (row, None));
    }

    #[tokio::test]
    async fn rows_reach_the_client_only_if_it_reads_them() {
        let sent = [
            message(b'D', &vec![0; 5_000_000]),
            message(b'C', b"SELECT 1\0"),
        ]
        .concat();
        let state = WireState::default();
        state.start_request(true);
        assert_eq!(
            filter(&sent, &state).await,
            (message(b'C', b"SELECT 1\0"), None)
        );
        state.start_request(false);
        let (received, violation) = filter(&sent, &state).await;
        assert!(received.is_empty());
        assert_eq!(violation, Some(Violation::MessageTooLarge(5_000_004)));
    }

    #[tokio::test]
    async fn a_response_is_limited_in_total() {
        let row = message(b'D', &vec![0; 1_000_000]);
        let state = WireState::default();
        let (received, violation) = filter(&row.repeat(10), &state).await;
        assert_eq!(received.len(), 4 * row.len());
        assert_eq!(violation, Some(Violation::ResponseTooLarge));
    }

    #[tokio::test]
    async fn what_is_not_the_protocol_ends_the_connection() {
        for (sent, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Violation::Copy),
            (b"\0\0\0\0\0\0\0\0", Violation::UnknownMessage),
            (b"Z\0\0\0\x01", Violation::UnknownMessage),
            (
                b"D\xff\xff\xff\xff",
                Violation::MessageTooLarge(0xffff_ffff),
            ),
            (b"G\0\0\0\x04", Violation::Copy),
            (b"x\0\0\0\x04", Violation::UnknownMessage),
        ] {
            let (received, violation) = filter(sent, &WireState::default()).await;
            assert_eq!((received.len(), violation), (0, Some(expected)), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn a_long_error_is_shortened() {
        let long = format!(
            "SERROR\0C22P02\0M{}\0D{}\0\0",
            "ü".repeat(9_000),
            "d".repeat(9_000_000)
        );
        let (received, violation) =
            filter(&message(b'E', long.as_bytes()), &WireState::default()).await;
        assert_eq!(violation, None);
        assert!(received.len() < 6_000, "{}", received.len());
        let text = String::from_utf8(received[5..].to_vec()).expect("UTF-8");
        assert!(text.starts_with("SERROR\0C22P02\0Mü"), "{text}");
        assert!(text.ends_with("\0Wshortened\0\0"), "{text}");
    }

    #[tokio::test]
    async fn texts_reach_the_client_as_utf_8() {
        let state = WireState::default();
        state.start_request(true);
        let sent = [
            message(b'S', b"application_name\0na\xefve\0"),
            message(b'T', b"\0\x01gr\xf6\xdfe\0"),
            message(b'E', b"SERROR\0C42P01\0Mgr\xf6\xdfe\0\0"),
        ]
        .concat();
        let expected = [
            message(b'S', "application_name\0na\u{fffd}ve\0".as_bytes()),
            message(b'E', "SERROR\0C42P01\0Mgr\u{fffd}\u{fffd}e\0\0".as_bytes()),
        ]
        .concat();
        assert_eq!(filter(&sent, &state).await, (expected, None));
    }

    #[tokio::test]
    async fn the_transaction_status_is_remembered() {
        let state = WireState::default();
        assert!(!state.in_transaction());
        for (status, expected) in [(b"T", true), (b"E", false), (b"I", false)] {
            filter(&message(b'Z', status), &state).await;
            assert_eq!(state.in_transaction(), expected);
        }
    }
}
