//! Everything that starts a server on a developer's machine: installing it, running it, and taking it away again.
//!
//! - [`install`]: each server into one cache per user, with pinned versions;
//! - [`control_plane`]: a real etcd, kube-apiserver and kube-controller-manager;
//! - [`postgres`]: the PostgreSQL under the emulator;
//! - [`s3`], [`redis`], [`openid`]: what the app needs besides;
//! - [`controller`], [`chat_app`]: the controller and the app as processes, started as their charts say ([`rendered`]);
//! - [`visitor`]: a person who uses the app, without a browser;
//! - [`demo`]: three tenants, from nothing to psql, and the chat app;
//! - [`run_folder`]: the temporary folder of a run, and the removal of those that dead runs left.
//!
//! Tests and the demo start servers through this crate only, so that none is ever left behind.

pub mod cache;
pub mod chat_app;
pub mod control_plane;
pub mod controller;
pub mod demo;
mod http_process;
pub mod install;
pub mod openid;
pub mod postgres;
pub mod program;
pub mod progress;
pub mod redis;
pub mod rendered;
pub mod run_folder;
pub mod s3;
mod sample_pdf;
pub mod signals;
pub mod visitor;

pub use sample_pdf::sample_pdf;

/// Where the sources lie that this program was built from: charts, examples and scripts are taken from there.
pub fn repository() -> std::path::PathBuf {
    let crate_folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .unwrap_or(crate_folder)
        .to_owned()
}
