//! The direction from PostgreSQL to a pooled client: translates the errors of rejected statements
//! and relays everything else unchanged.

use bytes::BytesMut;

use super::rejection::RejectionMarker;
use crate::data_plane::message_filter::{ERROR, MessageFilter};
use crate::data_plane::unsupported_sql;

const PARAMETER_STATUS: u8 = b'S';
const INSPECTED: [u8; 2] = [ERROR, PARAMETER_STATUS];
/// The reports of PostgreSQL when `standard_conforming_strings` is turned off, and when it is
/// turned on again.
const STRINGS_NOT_CONFORMING: &[u8] = b"standard_conforming_strings\0off\0";
const STRINGS_CONFORMING: &[u8] = b"standard_conforming_strings\0on\0";

/// Whether backslashes are escape characters in all strings from here on, if this message reports a
/// change of the setting.
pub(in crate::data_plane) fn backslash_escapes(kind: u8, body: &[u8]) -> Option<bool> {
    match body {
        _ if kind != PARAMETER_STATUS => None,
        STRINGS_NOT_CONFORMING => Some(true),
        STRINGS_CONFORMING => Some(false),
        _ => None,
    }
}

/// Inspects the messages to one client.
#[derive(Debug)]
pub(super) struct ResponseFilter {
    marker: RejectionMarker,
    messages: MessageFilter,
    backslash_escapes: Option<bool>,
}

impl ResponseFilter {
    pub(super) fn new(marker: RejectionMarker) -> Self {
        Self {
            marker,
            messages: MessageFilter::default(),
            backslash_escapes: None,
        }
    }

    /// The last change of `standard_conforming_strings` since the previous call.
    pub(super) fn take_backslash_escapes(&mut self) -> Option<bool> {
        self.backslash_escapes.take()
    }

    /// Moves the available bytes from PostgreSQL to the client, except for an incomplete message
    /// that must be inspected.
    pub(super) fn take(
        &mut self,
        from_backend: &mut BytesMut,
        to_client: &mut BytesMut,
    ) -> std::io::Result<()> {
        let (marker, escapes) = (&self.marker, &mut self.backslash_escapes);
        self.messages
            .take(from_backend, to_client, &INSPECTED, |kind, body| {
                if kind == ERROR {
                    return marker
                        .translate_error(body)
                        .or_else(|| unsupported_sql::translate_error(body));
                }
                *escapes = backslash_escapes(kind, body).or(*escapes);
                None
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::pooler::statements::first_session_dependency;
    use crate::data_plane::wire::put_message;

    #[test]
    fn only_the_error_of_a_rejection_is_translated_however_the_response_is_split() {
        let marker = RejectionMarker::random();
        let failing_statement =
            marker.failing_statement(&first_session_dependency(b"LISTEN jobs", false).unwrap());
        let quoted = failing_statement.split('\'').nth(1).unwrap();
        let mut all = BytesMut::new();
        put_message(&mut all, b'D', &[quoted.as_bytes()]);
        put_message(&mut all, b'E', &[b"SERROR\0C22P02\0Mx\0\0"]);
        put_message(&mut all, b'S', &[STRINGS_NOT_CONFORMING]);
        let before = all.len();
        let error = format!("C22P02\0Minvalid: \"{quoted}\"\0\0");
        put_message(&mut all, b'E', &[error.as_bytes()]);
        put_message(&mut all, b'Z', &[b"E"]);

        let mut responses = ResponseFilter::new(marker);
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for piece in all.chunks(7) {
            from.extend_from_slice(piece);
            responses.take(&mut from, &mut to).unwrap();
        }
        assert_eq!(to[..before], all[..before]);
        let rest = String::from_utf8_lossy(&to[before..]);
        assert!(rest.contains("C0A000\0MLISTEN needs a session"), "{rest}");
        assert!(to.ends_with(b"Z\0\0\0\x05E"));
        assert_eq!(responses.take_backslash_escapes(), Some(true));
        assert_eq!(responses.take_backslash_escapes(), None);
    }
}
