//! The emulator against real clients and a real PostgreSQL. The programs of PostgreSQL are found as the emulator finds them;
//! where there are none, the tests fail and say how to get them.

#![expect(clippy::expect_used, reason = "what fails here fails the test")]

mod api;
mod branches;
mod cli;
mod client;
mod common;
mod computes;
mod connection_strings;
mod data_plane;
mod document;
mod faults;
mod page;
mod pooled;
mod rates;
mod tools;
