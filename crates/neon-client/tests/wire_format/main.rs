//! Tests of the wire format without a server.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail on unexpected values"
)]

mod document;
mod requests;
mod responses;
mod samples;
mod tolerance;
