//! The app in the test process, with a real PostgreSQL server, a fake API server of Kubernetes, the
//! emulator's data plane for tenant databases, and the OpenAI stub as the model.
//!
//! The tests need the programs of a PostgreSQL with pgvector on `PATH` or in the folder
//! `NEON_EMULATOR_PG_BIN`. The tests with Redis need redis-server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test"
)]

mod api_server;
mod ask;
mod browser;
mod emulator;
mod fixture;
mod postgres;
mod web;
mod workspaces;
