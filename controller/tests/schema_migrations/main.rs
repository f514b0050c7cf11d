//! Migrations against real databases. They need the programs of a PostgreSQL with pgvector: on PATH, or in the folder that
//! `NEON_EMULATOR_PG_BIN` names.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
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
