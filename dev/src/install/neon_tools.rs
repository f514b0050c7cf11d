//! Neon's own tools, which the emulator's tests run unmodified, and the API's document, which comes with one of them. The versions and
//! checksums are those of the files in `tests/neon-tools/`, which are part of this program.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::node::node;
use super::step::{Step, announce};
use super::{python, tool, variable};
use crate::cache::Cache;

/// The variable that names a folder with `node_modules` and `python`.
pub(super) const NEON_TOOLS: &str = "NEON_TOOLS";
/// Where the API's document lies in that folder.
const DOCUMENT: &str = "node_modules/@neondatabase/api-client/public-v2-for-users.gen.yaml";
/// 100 MB are unpacked; this is for slow networks.
const INSTALL_LIMIT: Duration = Duration::from_mins(15);
const NEEDS: [&str; 4] = [
    DOCUMENT,
    "node_modules/neon/package.json",
    "node_modules/@neon/sdk/package.json",
    "python/neon_api/__init__.py",
];
const SOURCES: [(&str, &str); 3] = [
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
];

/// The folder with the tools.
pub(super) fn folder(cache: &Cache) -> Result<PathBuf> {
    node()?;
    if let Some(own) = variable(NEON_TOOLS).map(PathBuf::from) {
        return Ok(own);
    }
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let hash = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    let entry = format!("neon-tools-{hash:08x}");
    let log = cache.root().join(format!("{entry}.log"));
    cache.entry(&entry, &NEEDS, |folder| install(folder, &log))
}

/// The API's document.
pub(super) fn document(cache: &Cache) -> Result<PathBuf> {
    Ok(folder(cache)?.join(DOCUMENT))
}

fn install(folder: &Path, log: &Path) -> Result<()> {
    let npm = tool(&["npm"], "install npm (Debian: apt-get install npm)")?;
    announce(
        "Neon's command line and clients",
        "a download of 25 MB",
        folder,
    );
    for (name, text) in SOURCES {
        fs::write(folder.join(name), text)?;
    }
    let mut command = Command::new(npm);
    command
        // No scripts: nothing that is downloaded runs before a test asks for it.
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder);
    Step {
        title: "npm packages of Neon".into(),
        command,
        log,
        limit: INSTALL_LIMIT,
        describe: |_| "download and unpack".into(),
    }
    .run()?;
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
        assert!(!SOURCES[1].1.contains("\"resolved\""));
    }
}
