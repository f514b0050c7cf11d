//! Tests the emulator with real clients and a real PostgreSQL. The PostgreSQL programs are located
//! as the emulator locates them. If there are none, the tests fail and explain how to get them.

#![expect(clippy::expect_used, reason = "a failed expectation fails the test")]

mod api;
mod branches;
mod cli;
mod client;
mod common;
mod computes;
mod connection_strings;
mod data_plane;
mod data_plane_tls;
mod faults;
mod openapi;
mod page;
mod plans;
mod pooled;
mod proxy_cache;
mod rates;
mod size_limit;
mod snapshots;
mod sql_roles;
mod state;
mod timings;
mod tools;
