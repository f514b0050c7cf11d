//! Support for end-to-end tests on real servers: kube-apiserver, etcd, kube-controller-manager and
//! PostgreSQL, with the emulator in place of Neon, and the charts as helm installs them.
//!
//! - [`suite`] runs tests on a shared [`Cluster`], which it checks and stops after the last test;
//! - [`Cluster`] runs all servers and the controller, as a process with the chart's permissions;
//! - [`Site`] is a cluster with the chat app and the servers that the app needs;
//! - [`Scenario`] gives one test a namespace, classes, and methods to apply objects and wait;
//! - [`emulator`] checks every exchange against the OpenAPI document and suspends idle computes
//!   fast;
//! - [`crash_injection`] cuts a controller off at an effect that the test chooses;
//! - [`proxy`] interrupts connections to a server;
//! - [`timeouts`] lists all timeouts.
//!
//! Tests do not sleep. They wait for a condition with a timeout, and the error shows the actual
//! state.

pub mod checks;
pub mod cluster;
pub mod command;
pub mod crash_injection;
pub mod emulator;
pub mod neon;
mod objects;
pub mod proxy;
pub mod psql;
mod report;
pub mod sample_files;
pub mod scenario;
pub mod shared_site;
pub mod site;
pub mod suite;
pub mod timeouts;
pub mod wait;

pub use cluster::{Cluster, ClusterOptions};
pub use scenario::Scenario;
pub use site::{Site, SiteOptions};
