//! What a client sends through the pooler: statements are looked at before they go on, all else passes as it comes.

use bytes::{Buf, BytesMut};

use super::malformed;
use super::refusal::Mark;
use super::statements::first_broken;
use crate::data_plane::wire::put_message;

/// Messages that bring statements.
const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';
/// The kind and the length of a message, in bytes.
const HEADER_BYTES: usize = 5;
/// The longest message that brings statements, in bytes; it is held until it is whole.
const STATEMENTS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Looks at what one client sends.
#[derive(Debug)]
pub(super) struct Requests {
    mark: Mark,
    /// Bytes of a message under way that are still to pass.
    passing_bytes: usize,
    /// Messages that get through before the connection is cut; without it, all.
    messages_left: Option<u64>,
}

impl Requests {
    pub(super) fn new(mark: Mark, cut_after: Option<u64>) -> Self {
        Self {
            mark,
            passing_bytes: 0,
            messages_left: cut_after,
        }
    }

    /// Whether the next message is the end of the connection.
    pub(super) fn is_last(&self) -> bool {
        self.messages_left == Some(0) && self.passing_bytes == 0
    }

    fn count(&mut self) {
        self.messages_left = self.messages_left.map(|left| left.saturating_sub(1));
    }

    /// Moves what is there from a client to PostgreSQL, except for the beginning of a message that must be whole. `backslashes` tells
    /// whether they are escapes in every text.
    pub(super) fn take(
        &mut self,
        from_client: &mut BytesMut,
        to_backend: &mut BytesMut,
        backslashes: bool,
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
            if self.is_last() {
                return Ok(());
            }
            if !matches!(kind, QUERY | PARSE) {
                self.passing_bytes = length;
                self.count();
                continue;
            }
            if length > STATEMENTS_BYTES_MAX {
                return Err(malformed("a statement is longer than the pooler holds"));
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
            match statement.and_then(|sql| first_broken(sql, backslashes)) {
                None => to_backend.extend_from_slice(&whole),
                Some(refused) => {
                    let failing = self.mark.failing(&refused);
                    if kind == PARSE {
                        // The same name, and no types of parameters.
                        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
                        let parts: [&[u8]; 4] = [name, b"\0", failing.as_bytes(), b"\0\0\0"];
                        put_message(to_backend, kind, &parts);
                    } else {
                        put_message(to_backend, kind, &[failing.as_bytes(), b"\0"]);
                    }
                }
            }
        }
    }
}

/// The kind of the message that begins here, and its whole length in bytes, once they are known.
pub(super) fn header(buffer: &[u8]) -> std::io::Result<Option<(u8, usize)>> {
    let Some(&[kind, a, b, c, d]) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 {
        return Err(malformed("a message has no sensible length"));
    }
    Ok(Some((kind, length + 1)))
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

    /// What arrives when these bytes are sent in pieces of one size.
    fn sent(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut requests = Requests::new(Mark::random(), None);
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for piece in bytes.chunks(piece) {
            from.extend_from_slice(piece);
            requests.take(&mut from, &mut to, false).unwrap();
        }
        assert!(from.is_empty(), "whole messages leave nothing");
        to.to_vec()
    }

    #[test]
    fn a_refused_statement_is_replaced_and_its_neighbours_pass() {
        let before = message(b'P', b"one\0SELECT 'LISTEN'\0\0\0");
        let data = message(b'd', b"LISTEN jobs; \0");
        let after = message(b'S', b"");
        let refused = message(b'P', b"two\0LISTEN jobs\0\0\x01\0\0\0\x17");
        let all = [&before[..], &data, &refused, &after].concat();
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
    fn a_message_that_is_too_long_to_be_held_ends_the_connection() {
        let mut requests = Requests::new(Mark::random(), None);
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
        fn what_is_not_refused_arrives_as_it_was_sent_however_it_is_cut(
            messages in prop::collection::vec((prop::sample::select(b"QPBDESCdcfX".to_vec()), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            piece in 1_usize..50,
        ) {
            // One letter more, so that random bytes are no statement that is refused.
            let all: Vec<u8> = messages.iter().flat_map(|(kind, body)| message(*kind, &[b"0", &body[..]].concat())).collect();
            prop_assert_eq!(sent(&all, piece), all);
        }
    }
}
