//! Starts everything that the controller and the chat app need on a developer's machine, as
//! processes.
//!
//! - [`control_plane`]: etcd, kube-apiserver and kube-controller-manager;
//! - [`postgres`], [`s3`], [`redis`], [`openid`]: the servers, new ones or the developer's own;
//! - [`controller`], [`chat_app`]: the two programs, started as their charts would start them
//!   ([`helm_template`]);
//! - [`http_client`]: a client of the chat app that behaves like a browser;
//! - [`run_folder`]: the temporary folder of a run, and the removal of folders that killed runs
//!   left.
//!
//! Missing servers are installed on first use. The demo and the tests start servers only through
//! this crate, which stops each server when its owner ends.

pub mod chat_app;
pub mod control_plane;
pub mod controller;
pub mod helm_template;
pub mod http_client;
mod http_process;
pub mod openid;
pub mod postgres;
pub mod program;
pub mod redis;
pub mod run_folder;
pub mod s3;
mod sample_pdf;
pub mod signals;

pub use sample_pdf::sample_pdf;

/// The root of the source tree that this program was built from. Charts, examples and scripts are
/// read from there.
pub fn repository() -> std::path::PathBuf {
    let crate_folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .unwrap_or(crate_folder)
        .to_owned()
}
