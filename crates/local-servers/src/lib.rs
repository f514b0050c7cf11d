//! Servers on the developer's machine, as child processes that never outlive their owner.
//!
//! [`process`] supervises any child process; [`postgres`] creates and runs a private PostgreSQL server with it.
//! Nothing here is for production.

#[cfg(feature = "postgres")]
pub mod postgres;
pub mod process;
