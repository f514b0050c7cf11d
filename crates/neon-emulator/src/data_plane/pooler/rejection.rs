//! Rejects a statement by replacing it with one that fails in PostgreSQL, and translates the
//! resulting error.
//!
//! The replacement casts a string to a number. PostgreSQL's error quotes the string, which contains
//! a secret marker and the reason of the rejection. So no state is needed between the two, however
//! many statements a client pipelines.

use bytes::Bytes;
use rand::distr::{Alphanumeric, SampleString};

use super::statements::SessionDependency;
use crate::data_plane::wire;

/// Length of a marker: long enough that a client cannot guess it.
const MARKER_CHARACTERS: usize = 24;
/// Terminates the marker and the reason.
const END: char = '#';
/// `feature_not_supported`
const SQLSTATE: &str = "0A000";
pub(in crate::data_plane) const HINT: &str = "Connect to the endpoint without \"-pooler\" in its host (or in the option \"endpoint\") for what needs a session.";

/// The marker of the rejections of one connection.
#[derive(Debug, Clone)]
pub(super) struct RejectionMarker(String);

impl RejectionMarker {
    pub(super) fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), MARKER_CHARACTERS))
    }

    /// A statement whose analysis fails with an error that contains the rejection.
    pub(super) fn failing_statement(&self, dependency: &SessionDependency) -> String {
        format!(
            "SELECT '{}{END}{}{END}'::pg_catalog.int4",
            self.0,
            dependency.as_str()
        )
    }

    /// The error for the client, if `error` is the body of an error that such a statement caused.
    pub(super) fn translate_error(&self, error: &[u8]) -> Option<Bytes> {
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

/// A field of an `ErrorResponse` message.
fn field(error: &[u8], kind: u8) -> Option<&str> {
    let value = error
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[kind]))?;
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::pooler::statements::first_session_dependency;

    #[test]
    fn a_rejection_is_recovered_from_the_error_that_it_caused() {
        let (marker, other) = (RejectionMarker::random(), RejectionMarker::random());
        let dependency = first_session_dependency(b"SET app.tenant = 'x'", false).unwrap();
        let failing_statement = marker.failing_statement(&dependency);
        let quoted = failing_statement.split('\'').nth(1).unwrap();
        let error =
            format!("SERROR\0C22P02\0Minvalid input syntax for type integer: \"{quoted}\"\0P8\0\0");
        let packet = marker.translate_error(error.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(&packet);
        assert!(text.contains("C0A000\0"), "{text}");
        assert!(text.contains("MSET app.tenant needs a session"), "{text}");
        assert!(other.translate_error(error.as_bytes()).is_none());
        assert!(
            marker
                .translate_error(b"SERROR\0C22P02\0Manother error\0\0")
                .is_none()
        );
    }
}
