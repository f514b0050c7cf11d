//! Neon's own tools, which the emulator's tests run unmodified, and the API's document, which comes with one of them. The versions and
//! checksums are those of the files in `tests/neon-tools/`, which are part of this program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::node::node;
use super::npm::Packages;
use super::step::Step;
use super::{python, variable};
use crate::cache::Cache;

/// The variable that names a folder with `node_modules` and `python`.
pub(super) const NEON_TOOLS: &str = "NEON_TOOLS";
/// Where the API's document lies in that folder.
const DOCUMENT: &str = "node_modules/@neondatabase/api-client/public-v2-for-users.gen.yaml";
/// 100 MB are unpacked; this is for slow networks.
const INSTALL_LIMIT: Duration = Duration::from_mins(15);
const PACKAGES: Packages = Packages {
    name: "neon-tools",
    title: "Neon's command line and clients",
    size: "a download of 25 MB",
    sources: &[
        (
            "package.json",
            include_str!("../../../../tests/neon-tools/package.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../../../tests/neon-tools/package-lock.json"),
        ),
        (
            "requirements.txt",
            include_str!("../../../../tests/neon-tools/requirements.txt"),
        ),
    ],
    needs: &[
        DOCUMENT,
        "node_modules/neon/package.json",
        "node_modules/@neon/sdk/package.json",
        "python/neon_api/__init__.py",
    ],
    limit: INSTALL_LIMIT,
};

/// The folder with the tools.
pub(super) fn folder(cache: &Cache) -> Result<PathBuf> {
    node()?;
    if let Some(own) = variable(NEON_TOOLS).map(PathBuf::from) {
        return Ok(own);
    }
    PACKAGES.folder(cache, python_packages)
}

/// The API's document.
pub(super) fn document(cache: &Cache) -> Result<PathBuf> {
    Ok(folder(cache)?.join(DOCUMENT))
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
        title: "Python packages of Neon".into(),
        command,
        log,
        limit: INSTALL_LIMIT,
        describe: |_| "download and unpack".into(),
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
