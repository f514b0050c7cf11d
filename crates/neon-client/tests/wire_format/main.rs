//! The wire format, without a wire.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect shall fail on the spot"
)]

mod answers;
mod document;
mod requests;
mod samples;
mod tolerance;
