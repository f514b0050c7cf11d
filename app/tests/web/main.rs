//! Tests of the web layer over a real PostgreSQL: sessions, CSRF, rate limits, access to every
//! route, OpenID sign-in.
//!
//! They need the programs of a PostgreSQL with pgvector on `PATH` or in the folder
//! `NEON_EMULATOR_PG_BIN`. The tests with Redis need redis-server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers may fail the test"
)]

#[path = "../workspaces/api_server.rs"]
#[expect(dead_code, reason = "these tests use only a part of the fake cluster")]
mod api_server;
mod browser;
mod databases;
#[path = "../shared/emulator.rs"]
mod emulator;
mod events;
mod forgery;
mod invitations;
mod issuer;
mod limits;
mod matrix;
mod migrations;
mod oidc;
mod problems;
mod removals;
mod sessions;
mod site;
