//! Neon's own tools, which the emulator's tests run unmodified, and the OpenAPI document that comes
//! with one of them. The versions and checksums are in the files of `tests/neon-tools/`, which are
//! compiled into this program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::cache::Cache;
use crate::node::node;
use crate::npm::Packages;
use crate::step::Step;
use crate::{environment_variable, python};

/// Names a folder with `node_modules` and `python`.
pub(crate) const NEON_TOOLS: &str = "NEON_TOOLS";
/// The path of the OpenAPI document in that folder.
const API_DOCUMENT: &str = "node_modules/@neondatabase/api-client/public-v2-for-users.gen.yaml";
/// 100 MB are unpacked. The timeout allows for slow networks.
const INSTALL_TIMEOUT: Duration = Duration::from_mins(15);
const PACKAGES: Packages = Packages {
    name: "neon-tools",
    title: "Neon's CLI and clients",
    cost: "25 MB to download",
    sources: &[
        (
            "package.json",
            include_str!("../../../tests/neon-tools/package.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../../tests/neon-tools/package-lock.json"),
        ),
        (
            "requirements.txt",
            include_str!("../../../tests/neon-tools/requirements.txt"),
        ),
    ],
    required: &[
        API_DOCUMENT,
        "node_modules/neon/package.json",
        "node_modules/@neon/sdk/package.json",
        "python/neon_api/__init__.py",
    ],
    timeout: INSTALL_TIMEOUT,
};

pub(crate) fn folder(cache: &Cache) -> Result<PathBuf> {
    node()?;
    if let Some(folder) = environment_variable(NEON_TOOLS).map(PathBuf::from) {
        return Ok(folder);
    }
    PACKAGES.folder(cache, python_packages)
}

pub(crate) fn api_document(cache: &Cache) -> Result<PathBuf> {
    Ok(folder(cache)?.join(API_DOCUMENT))
}

fn python_packages(folder: &Path, log: &Path) -> Result<()> {
    let mut command = Command::new(python::interpreter()?);
    command
        .args(["-m", "pip", "install", "--no-deps", "--no-compile"])
        .args(["--disable-pip-version-check", "--no-input"])
        .args(["--only-binary=:all:", "--require-hashes"])
        .args([
            "--root-user-action=ignore",
            "--requirement",
            "requirements.txt",
        ])
        .args(["--target", "python"])
        .current_dir(folder);
    Step {
        title: "Neon's Python packages".into(),
        command,
        log,
        timeout: INSTALL_TIMEOUT,
        describe: |_| "downloading".into(),
    }
    .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_no_registry() {
        assert!(!PACKAGES.sources[1].1.contains("\"resolved\""));
    }
}
