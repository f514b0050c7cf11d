//! What the browser tests need of npm: playwright-core, which drives Chromium, and a certified OpenID provider. The versions
//! and checksums are those of the lock file in `tests/browser/`, which is part of this program.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::step::{Step, announce};
use super::{tool, variable};
use crate::cache::Cache;

/// The variable that names a `node_modules` folder of the developer's own.
pub(super) const BROWSER_MODULES: &str = "BROWSER_MODULES";
/// 18 MB are unpacked; this is for slow networks.
const INSTALL_LIMIT: Duration = Duration::from_mins(10);
const NODE_MISSING: &str = "install Node.js 20 or newer with npm (Debian: apt-get install npm)";
/// The oldest release that the packages run on.
const NODE_MAJOR_MIN: u32 = 20;
const NEEDS: [&str; 2] = [
    "node_modules/playwright-core/package.json",
    "node_modules/oidc-provider/package.json",
];
const SOURCES: [(&str, &str); 2] = [
    (
        "package.json",
        include_str!("../../../tests/browser/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../../tests/browser/package-lock.json"),
    ),
];

/// Node.js, new enough.
pub(super) fn node() -> Result<PathBuf> {
    let node = tool(&["node"], NODE_MISSING)?;
    let output = Command::new(&node)
        .arg("--version")
        .output()
        .with_context(|| format!("{} cannot be run", node.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match major(&said) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(node),
        _ => bail!("{} is {}: {NODE_MISSING}", node.display(), said.trim()),
    }
}

fn major(said: &str) -> Option<u32> {
    said.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

pub(super) fn modules(cache: &Cache) -> Result<PathBuf> {
    node()?;
    if let Some(own) = variable(BROWSER_MODULES).map(PathBuf::from) {
        return Ok(own);
    }
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let hash = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    let entry = format!("browser-modules-{hash:08x}");
    let log = cache.root().join(format!("{entry}.log"));
    let folder = cache.entry(&entry, &NEEDS, |folder| install(folder, &log))?;
    Ok(folder.join("node_modules"))
}

fn install(folder: &Path, log: &Path) -> Result<()> {
    let npm = tool(&["npm"], NODE_MISSING)?;
    announce(
        "playwright-core and oidc-provider",
        "a download of 4 MB",
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
        title: "npm packages of the browser tests".into(),
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
    fn the_version_of_node_is_read_from_what_it_says() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("sh: node: not found"), None);
    }

    #[test]
    fn the_lock_file_names_no_registry() {
        assert!(!SOURCES[1].1.contains("\"resolved\""));
    }
}
