//! Documents and their ingestion against a real PostgreSQL and a real S3 server. The environment
//! variables that `xtask env` prints name them; missing servers are installed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test"
)]

mod changes;
mod crashes;
mod files;
mod jobs;
mod outages;
mod queue;
mod reembedding;
mod support;
mod uploads;
mod vector_index;
