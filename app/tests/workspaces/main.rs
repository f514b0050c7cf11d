//! Workspaces, members, deletions and tenant databases against a real PostgreSQL server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "failed assertions should panic where they happen"
)]

mod api_server;
mod create;
mod deletion;
#[path = "../shared/emulator.rs"]
mod emulator;
mod fixture;
mod members;
mod pools;
mod watch;
