//! A refusal's way: into a statement that fails in PostgreSQL, and out of its error again.
//!
//! The statement reads a text as a number; the error quotes the text, which holds a mark that nobody else knows and what was
//! refused. So nothing has to be remembered between the two, however many statements a client sends ahead.

use bytes::Bytes;
use rand::distr::{Alphanumeric, SampleString};

use super::statements::Breaks;
use crate::data_plane::wire;

/// Letters of a mark: as many as nobody guesses.
const MARK_CHARACTERS: usize = 24;
/// Between the mark and what was refused, and at the end.
const END: char = '#';
/// The feature is not supported.
const SQLSTATE: &str = "0A000";
pub(in crate::data_plane) const HINT: &str = "Connect to the endpoint without \"-pooler\" in its host (or in the option \"endpoint\") for what needs a session.";

/// What marks the refusals of one connection.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), MARK_CHARACTERS))
    }

    /// A statement that fails in its analysis, with the refusal in its error.
    pub(super) fn failing(&self, refused: &Breaks) -> String {
        format!(
            "SELECT '{}{END}{}{END}'::pg_catalog.int4",
            self.0,
            refused.as_str()
        )
    }

    /// The error for the client, if this is the body of the error that such a statement gave.
    pub(super) fn translated(&self, error: &[u8]) -> Option<Bytes> {
        let message = field(error, b'M')?;
        let (_, rest) = message.split_once(self.0.as_str())?;
        let mut parts = rest.strip_prefix(END)?.split(END);
        let what = parts.next()?;
        parts.next()?;
        let message = format!(
            "{what} needs a session, which a pooled connection (transaction mode) does not keep"
        );
        Some(wire::error(&[
            (b'S', "ERROR"),
            (b'V', "ERROR"),
            (b'C', SQLSTATE),
            (b'M', &message),
            (b'H', HINT),
        ]))
    }
}

/// A field of an error.
fn field(error: &[u8], wanted: u8) -> Option<&str> {
    let value = error
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[wanted]))?;
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::pooler::statements::first_broken;

    #[test]
    fn a_refusal_comes_back_out_of_the_error_that_it_caused() {
        let (mark, other) = (Mark::random(), Mark::random());
        let refused = first_broken(b"SET app.tenant = 'x'", false).unwrap();
        let failing = mark.failing(&refused);
        let quoted = failing.split('\'').nth(1).unwrap();
        let error =
            format!("SERROR\0C22P02\0Minvalid input syntax for type integer: \"{quoted}\"\0P8\0\0");
        let packet = mark.translated(error.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(&packet);
        assert!(text.contains("C0A000\0"), "{text}");
        assert!(text.contains("MSET app.tenant needs a session"), "{text}");
        assert!(other.translated(error.as_bytes()).is_none());
        assert!(
            mark.translated(b"SERROR\0C22P02\0Manother error\0\0")
                .is_none()
        );
    }
}
