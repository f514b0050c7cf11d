//! What authentication passes on to the relay.

use bytes::BytesMut;

/// The state at the start of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SessionStart {
    /// `ReadyForQuery` and what PostgreSQL sent after it. The client gets it once the session is
    /// registered as authenticated.
    pub(super) ready: BytesMut,
    /// Bytes that the client sent before it was authenticated.
    pub(super) pipelined: BytesMut,
    /// Whether backslashes are escape characters in all strings, due to a setting of the client,
    /// the role or the database.
    pub(super) backslash_escapes: bool,
}
