//! Connections to `-pooler` hosts, restricted to what a pooler in transaction mode supports.
//!
//! Neon's pooler assigns any free server connection to each transaction, so session state that a
//! statement creates is lost, or leaks to another client. Here each client has a server connection
//! of its own. Such statements would therefore work with the emulator and fail only in production,
//! so the emulator rejects them one by one. The connection stays usable.
//!
//! A rejected statement is replaced by a statement that fails in PostgreSQL, and PostgreSQL's error
//! is then translated for the client (see `rejection`). PostgreSQL itself fails the transaction,
//! skips to the next `Sync` and reports its status, so this module does not have to track the state
//! of the protocol.

mod rejection;
mod relay;
mod requests;
mod responses;
mod startup;
mod statements;
mod tokens;

pub(super) use self::rejection::HINT;
pub(super) use self::relay::relay;
pub(super) use self::responses::backslash_escapes;
pub(super) use self::startup::{UnsupportedParameter, admit};

/// A violation of the protocol or of a size limit.
fn malformed(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}
