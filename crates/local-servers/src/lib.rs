//! Starts servers for development and tests as child processes that never outlive their owner.
//!
//! [`process`] supervises any child process. [`postgres`] uses it to create and run a private
//! PostgreSQL server. This crate is not meant for production.

#[cfg(feature = "postgres")]
pub mod postgres;
pub mod process;
