//! The pages' HTTP over a real PostgreSQL: sessions, forged forms, limits, every route as a stranger, signing in with a provider.
//!
//! They need the programs of a PostgreSQL with pgvector (on PATH, or in the folder that `NEON_EMULATOR_PG_BIN` names); those on Redis, a
//! redis-server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

mod browser;
#[path = "../workspaces/cluster.rs"]
#[expect(dead_code, reason = "these tests need less of the cluster than others")]
mod cluster;
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
