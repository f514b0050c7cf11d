//! End-to-end tests against real servers: kube-apiserver, etcd, kube-controller-manager and PostgreSQL, with the emulator
//! in Neon's place, the chart as helm installs it, and the controller as a process with the rights that the chart gives.
//!
//! - [`suite`] runs tests; they share one [`Cluster`], which is checked as a whole and stopped after the last of them;
//! - [`Cluster`] is everything that runs; tests that need other settings start one of their own;
//! - [`Site`] is the chat app and everything it stands on, a cluster among it;
//! - [`Case`] is what one test has for itself: a namespace, classes, and the ways to apply, wait and look;
//! - [`emulator`] stands in Neon's place: every exchange is held against the API's document, and computes fall asleep;
//! - [`gate`] cuts a controller off at the effect that a test names;
//! - [`proxy`] stands in front of servers that a test cuts off;
//! - [`limits`] is the table of all limits of time.
//!
//! No test sleeps: each waits for what it wants to see, with a limit, and says on failure what it saw instead.

pub mod case;
pub mod checks;
pub mod cluster;
pub mod command;
pub mod emulator;
pub mod files;
pub mod gate;
pub mod limits;
pub mod neon;
pub mod proxy;
pub mod psql;
pub mod site;
pub mod suite;
pub mod wait;

pub use case::Case;
pub use cluster::{Cluster, ClusterOptions};
pub use site::{Site, SiteOptions};
