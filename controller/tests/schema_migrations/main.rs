//! Migrations of real databases. The tests need the binaries of PostgreSQL with pgvector, on `PATH`
//! or in the directory that `NEON_EMULATOR_PG_BIN` names.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test by panicking"
)]

mod connecting;
mod cuts;
mod documents;
mod emulator;
mod failing;
mod migrating;
mod relay;
mod support;
mod tls;
mod waiting;
