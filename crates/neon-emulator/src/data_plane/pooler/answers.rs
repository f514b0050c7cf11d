//! What PostgreSQL answers through the pooler: refusals are put into words, all else passes as it comes.

use bytes::{Buf, BytesMut};

use super::refusal::Mark;
use super::requests::header;

const ERROR: u8 = b'E';
const PARAMETER_STATUS: u8 = b'S';
/// The longest error or status that is read, in bytes; longer ones pass unread, and are no refusals.
const READ_BYTES_MAX: usize = 16 * 1024;
/// What PostgreSQL says when a backslash becomes an escape in every text, and when it is none any more.
const BACKSLASHES: &[u8] = b"standard_conforming_strings\0off\0";
const NO_BACKSLASHES: &[u8] = b"standard_conforming_strings\0on\0";

/// Whether backslashes are escapes in every text from here on, if this message of PostgreSQL says so or the contrary.
pub(in crate::data_plane) fn backslashes(kind: u8, body: &[u8]) -> Option<bool> {
    match body {
        _ if kind != PARAMETER_STATUS => None,
        BACKSLASHES => Some(true),
        NO_BACKSLASHES => Some(false),
        _ => None,
    }
}

/// Looks at what one client is answered.
#[derive(Debug)]
pub(super) struct Answers {
    mark: Mark,
    /// Bytes of a message under way that are still to pass.
    passing_bytes: usize,
    backslashes: Option<bool>,
}

impl Answers {
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            mark,
            passing_bytes: 0,
            backslashes: None,
        }
    }

    /// Whether backslashes are escapes in every text, if that was said since this was last asked.
    pub(super) fn take_backslashes(&mut self) -> Option<bool> {
        self.backslashes.take()
    }

    /// Moves what is there from PostgreSQL to the client, except for the beginning of a message that must be whole.
    pub(super) fn take(
        &mut self,
        from_backend: &mut BytesMut,
        to_client: &mut BytesMut,
    ) -> std::io::Result<()> {
        loop {
            let passing = self.passing_bytes.min(from_backend.len());
            to_client.extend_from_slice(&from_backend[..passing]);
            from_backend.advance(passing);
            self.passing_bytes -= passing;
            if self.passing_bytes > 0 {
                return Ok(());
            }
            let Some((kind, length)) = header(from_backend)? else {
                return Ok(());
            };
            if !matches!(kind, ERROR | PARAMETER_STATUS) || length > READ_BYTES_MAX {
                self.passing_bytes = length;
                continue;
            }
            if from_backend.len() < length {
                return Ok(());
            }
            let whole = from_backend.split_to(length);
            let body = &whole[5..];
            if kind == ERROR
                && let Some(translated) = self.mark.translated(body)
            {
                to_client.extend_from_slice(&translated);
                continue;
            }
            self.backslashes = backslashes(kind, body).or(self.backslashes);
            to_client.extend_from_slice(&whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::pooler::statements::first_broken;
    use crate::data_plane::wire::put_message;

    #[test]
    fn only_the_error_of_a_refusal_is_changed_however_the_answer_is_cut() {
        let mark = Mark::random();
        let failing = mark.failing(&first_broken(b"LISTEN jobs", false).unwrap());
        let quoted = failing.split('\'').nth(1).unwrap();
        let mut all = BytesMut::new();
        put_message(&mut all, b'D', &[quoted.as_bytes()]);
        put_message(&mut all, b'E', &[b"SERROR\0C22P02\0Mx\0\0"]);
        put_message(&mut all, b'S', &[BACKSLASHES]);
        let before = all.len();
        let error = format!("C22P02\0Minvalid: \"{quoted}\"\0\0");
        put_message(&mut all, b'E', &[error.as_bytes()]);
        put_message(&mut all, b'Z', &[b"E"]);

        let mut answers = Answers::new(mark);
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for piece in all.chunks(7) {
            from.extend_from_slice(piece);
            answers.take(&mut from, &mut to).unwrap();
        }
        assert_eq!(to[..before], all[..before]);
        let rest = String::from_utf8_lossy(&to[before..]);
        assert!(rest.contains("C0A000\0MLISTEN needs a session"), "{rest}");
        assert!(to.ends_with(b"Z\0\0\0\x05E"));
        assert_eq!(answers.take_backslashes(), Some(true));
        assert_eq!(answers.take_backslashes(), None);
    }
}
