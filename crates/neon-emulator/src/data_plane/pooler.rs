//! Connections to `-pooler` hosts, held to what a pooler in transaction mode can keep.
//!
//! The service's pooler gives each transaction whichever server connection is free, so what a statement leaves in its session is lost
//! or found by somebody else. Here each client keeps a server connection of its own, so such statements would work, and fail only in
//! production. They are refused instead, one by one, and the connection stays usable.
//!
//! A refused statement is not kept from PostgreSQL but replaced by one that fails there (`refusal`); the failure is then put into
//! words for the client. So PostgreSQL itself ends the transaction, skips to the next `Sync` and says when it is ready, and nothing
//! here has to know what state a connection is in.

mod answers;
mod refusal;
mod relay;
mod requests;
mod startup;
mod statements;
mod tokens;

pub(super) use self::answers::backslashes;
pub(super) use self::refusal::HINT;
pub(super) use self::relay::relay;
pub(super) use self::startup::{UnsupportedParameter, admit};

/// A connection broke the protocol, or asked for more than is held for it.
fn malformed(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}
