//! Tests of the client against a server on a real socket.
#![expect(clippy::unwrap_used, reason = "tests fail on unexpected values")]

mod calls;
mod connections;
mod encoding;
mod error_table;
mod lists;
mod requests;
mod responses;
mod support;
mod waiting;
