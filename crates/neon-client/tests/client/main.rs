//! The client against a server on a real socket.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect shall fail on the spot"
)]

mod answers;
mod calls;
mod connections;
mod encoding;
mod error_table;
mod lists;
mod requests;
mod support;
mod waiting;
