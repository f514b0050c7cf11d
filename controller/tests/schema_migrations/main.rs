//! Migrations of real databases. The tests need the binaries of PostgreSQL with pgvector, on `PATH`
//! or in the directory that `NEON_EMULATOR_PG_BIN` names.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test by panicking"
)]

mod broken_servers;
mod connecting;
mod cuts;
mod documents;
mod emulator;
mod failing;
mod fresh_sessions;
mod hostile_databases;
mod interrupted_builds;
mod migrating;
mod relay;
mod support;
mod tls;
mod transactions;
mod waiting;
