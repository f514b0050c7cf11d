//! The direction from a pooled client to PostgreSQL: replaces rejected statements and relays
//! everything else unchanged.

use bytes::{Buf, BytesMut};

use super::malformed;
use super::rejection::RejectionMarker;
use super::statements::first_session_dependency;
use crate::data_plane::wire::{HEADER_BYTES, header, put_message};

/// Messages that contain statements.
const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';
/// Maximum size of a message that contains statements, in bytes. Such a message is buffered until
/// it is complete.
const MAX_STATEMENT_BYTES: usize = 64 * 1024 * 1024;

/// Inspects the messages of one client.
#[derive(Debug)]
pub(super) struct RequestFilter {
    marker: RejectionMarker,
    /// Remaining bytes of a message that is relayed without inspection.
    passing_bytes: usize,
    /// Messages that are relayed before the connection is closed; `None` is unlimited.
    messages_left: Option<u64>,
}

impl RequestFilter {
    pub(super) fn new(marker: RejectionMarker, cut_after: Option<u64>) -> Self {
        Self {
            marker,
            passing_bytes: 0,
            messages_left: cut_after,
        }
    }

    /// Whether the next message ends the connection.
    pub(super) fn is_finished(&self) -> bool {
        self.messages_left == Some(0) && self.passing_bytes == 0
    }

    fn count(&mut self) {
        self.messages_left = self.messages_left.map(|left| left.saturating_sub(1));
    }

    /// Moves the available bytes from the client to PostgreSQL, except for an incomplete message
    /// that must be inspected. `backslash_escapes` is whether backslashes are escape characters in all
    /// strings.
    pub(super) fn take(
        &mut self,
        from_client: &mut BytesMut,
        to_backend: &mut BytesMut,
        backslash_escapes: bool,
    ) -> std::io::Result<()> {
        loop {
            let passing = self.passing_bytes.min(from_client.len());
            to_backend.extend_from_slice(&from_client[..passing]);
            from_client.advance(passing);
            self.passing_bytes -= passing;
            if self.passing_bytes > 0 {
                return Ok(());
            }
            let Some((kind, length)) = header(from_client)? else {
                return Ok(());
            };
            if self.is_finished() {
                return Ok(());
            }
            if !matches!(kind, QUERY | PARSE) {
                self.passing_bytes = length;
                self.count();
                continue;
            }
            if length > MAX_STATEMENT_BYTES {
                return Err(malformed(
                    "a statement exceeds the size limit of the pooler",
                ));
            }
            if from_client.len() < length {
                return Ok(());
            }
            let whole = from_client.split_to(length);
            self.count();
            let body = &whole[HEADER_BYTES..];
            let statement = match kind {
                PARSE => body.split(|byte| *byte == 0).nth(1),
                _ => body.split(|byte| *byte == 0).next(),
            };
            match statement.and_then(|sql| first_session_dependency(sql, backslash_escapes)) {
                None => to_backend.extend_from_slice(&whole),
                Some(dependency) => {
                    let failing_statement = self.marker.failing_statement(&dependency);
                    if kind == PARSE {
                        // The same statement name, without parameter types.
                        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
                        let parts: [&[u8]; 4] =
                            [name, b"\0", failing_statement.as_bytes(), b"\0\0\0"];
                        put_message(to_backend, kind, &parts);
                    } else {
                        put_message(to_backend, kind, &[failing_statement.as_bytes(), b"\0"]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        put_message(&mut buffer, kind, &[body]);
        buffer.to_vec()
    }

    /// The bytes that PostgreSQL receives when these bytes arrive in chunks of one size.
    fn sent(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut requests = RequestFilter::new(RejectionMarker::random(), None);
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for piece in bytes.chunks(piece) {
            from.extend_from_slice(piece);
            requests.take(&mut from, &mut to, false).unwrap();
        }
        assert!(from.is_empty(), "complete messages are relayed completely");
        to.to_vec()
    }

    #[test]
    fn a_rejected_statement_is_replaced_and_its_neighbors_pass() {
        let before = message(b'P', b"one\0SELECT 'LISTEN'\0\0\0");
        let data = message(b'd', b"LISTEN jobs; \0");
        let after = message(b'S', b"");
        let rejected = message(b'P', b"two\0LISTEN jobs\0\0\x01\0\0\0\x17");
        let all = [&before[..], &data, &rejected, &after].concat();
        let arrived = sent(&all, 3);
        let middle = arrived
            .strip_prefix(&[&before[..], &data].concat()[..])
            .and_then(|rest| rest.strip_suffix(&after[..]))
            .unwrap();
        let (kind, length) = header(middle).unwrap().unwrap();
        assert_eq!((kind, length), (b'P', middle.len()));
        let text = String::from_utf8_lossy(middle);
        assert!(text.contains("two\0SELECT '"), "{text}");
        assert!(text.ends_with("::pg_catalog.int4\0\0\0"), "{text}");
    }

    #[test]
    fn a_message_that_exceeds_the_size_limit_ends_the_connection() {
        let mut requests = RequestFilter::new(RejectionMarker::random(), None);
        let mut from = BytesMut::from(&b"Q\x7f\xff\xff\xff"[..]);
        assert!(
            requests
                .take(&mut from, &mut BytesMut::new(), false)
                .is_err()
        );
        let mut from = BytesMut::from(&b"X\0\0\0\x01"[..]);
        assert!(
            requests
                .take(&mut from, &mut BytesMut::new(), false)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn messages_that_are_not_rejected_arrive_unchanged_however_they_are_split(
            messages in prop::collection::vec((prop::sample::select(b"QPBDESCdcfX".to_vec()), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            piece in 1_usize..50,
        ) {
            // The prefix ensures that random bytes do not form a rejected statement.
            let all: Vec<u8> = messages.iter().flat_map(|(kind, body)| message(*kind, &[b"0", &body[..]].concat())).collect();
            prop_assert_eq!(sent(&all, piece), all);
        }
    }
}
