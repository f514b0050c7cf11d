//! Everything that starts a server on a developer's machine: installing it, running it, and taking it away again.
//!
//! - [`install`]: each server into one cache per user, with pinned versions;
//! - [`control_plane`]: a real etcd, kube-apiserver and kube-controller-manager;
//! - [`postgres`]: the PostgreSQL under the emulator;
//! - [`controller`]: the controller as a process;
//! - [`demo`]: three tenants, from nothing to psql;
//! - [`run_folder`]: the temporary folder of a run, and the removal of those that dead runs left.
//!
//! Tests and the demo start servers through this crate only, so that none is ever left behind.

pub mod cache;
pub mod control_plane;
pub mod controller;
pub mod demo;
pub mod install;
pub mod postgres;
pub mod progress;
pub mod run_folder;
pub mod signals;
