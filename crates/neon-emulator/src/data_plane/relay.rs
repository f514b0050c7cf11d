//! Relays bytes between an authenticated client and PostgreSQL.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::message_filter::{ERROR, MessageFilter};
use super::unsupported_sql;
use super::wire::Message;
use crate::clock::Clock;
use crate::sessions::Activity;

/// Buffer size per direction, in bytes.
pub(super) const BUFFER_BYTES: usize = 32 * 1024;
/// Maximum size of a message while messages are counted, in bytes.
const MAX_COUNTED_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// The message that reports that PostgreSQL is ready for the next query.
pub(super) const READY_FOR_QUERY: u8 = b'Z';

/// A bidirectional byte stream over any transport.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// Records the activity of a session.
pub(super) struct SessionMonitor {
    pub(super) activity: Arc<Activity>,
    pub(super) clock: Clock,
}

impl SessionMonitor {
    /// Records that the client sent something. If the session was terminated, this never returns:
    /// the bytes must not reach PostgreSQL, and the task that waits for the termination ends the
    /// session.
    pub(super) async fn client_sent(&self) {
        if !self.activity.client_sent(self.clock.now()) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn server_sent(&self, bytes: &[u8]) {
        self.activity
            .server_sent(bytes.len(), ends_idle(bytes), self.clock.now());
    }
}

/// Whether bytes for the client end with `ReadyForQuery` outside a transaction.
fn ends_idle(bytes: &[u8]) -> bool {
    bytes.ends_with(&[READY_FOR_QUERY, 0, 0, 0, 5, b'I'])
}

/// Relays until one side closes the connection. Replaces the errors of SQL that works in Neon only.
pub(super) async fn relay(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    monitor: &SessionMonitor,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let client_to_server = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_backend.shutdown().await;
            }
            monitor.client_sent().await;
            to_backend.write_all(&buffer[..read]).await?;
            to_backend.flush().await?;
        }
    };
    let mut messages = MessageFilter::default();
    let server_to_client = async {
        let mut received = BytesMut::with_capacity(BUFFER_BYTES);
        let mut forwarded = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            received.reserve(BUFFER_BYTES);
            if from_backend.read_buf(&mut received).await? == 0 {
                to_client.write_all(&received).await?;
                return to_client.shutdown().await;
            }
            messages.take(&mut received, &mut forwarded, &[ERROR], |_, error| {
                unsupported_sql::translate_error(error)
            })?;
            if !forwarded.is_empty() {
                monitor.server_sent(&forwarded);
                to_client.write_all(&forwarded).await?;
                to_client.flush().await?;
                forwarded.clear();
            }
        }
    };
    tokio::try_join!(client_to_server, server_to_client).map(|_| ())
}

/// Relays until the client starts a message beyond the first `messages_left`.
pub(super) async fn relay_counted(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
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
                let mut is_done = false;
                while !is_done && let Some(message) = Message::take_limited(&mut from_client, MAX_COUNTED_MESSAGE_BYTES)? {
                    if messages_left == 0 {
                        is_done = true;
                    } else {
                        messages_left -= 1;
                        message.put(&mut to_backend);
                    }
                }
                backend.write_all(&to_backend).await?;
                to_backend.clear();
                if is_done {
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
