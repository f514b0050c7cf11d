//! The Neon API v2 and its data plane over a plain PostgreSQL server, for development, demonstrations and tests.

pub mod postgres;
pub mod process;
