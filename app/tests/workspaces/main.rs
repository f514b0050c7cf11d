//! Workspaces, members, removals and tenants' databases against a real PostgreSQL server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect"
)]

mod cluster;
mod create;
#[path = "../shared/emulator.rs"]
mod emulator;
mod members;
mod pools;
mod deletion;
mod watch;
mod world;
