//! What the browser tests need of npm: playwright-core, which drives Chromium, and a certified OpenID provider. The versions
//! and checksums are those of the lock file in `tests/browser/`, which is part of this program.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::npm::Packages;
use super::{tool, variable};
use crate::cache::Cache;

/// The variable that names a `node_modules` folder of the developer's own.
pub(super) const BROWSER_MODULES: &str = "BROWSER_MODULES";
pub(super) const NODE_MISSING: &str =
    "install Node.js 20 or newer with npm (Debian: apt-get install npm)";
/// The oldest release that the packages run on.
const NODE_MAJOR_MIN: u32 = 20;
const PACKAGES: Packages = Packages {
    name: "browser-modules",
    title: "playwright-core and oidc-provider",
    size: "a download of 4 MB",
    sources: &[
        (
            "package.json",
            include_str!("../../../../tests/browser/package.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../../../tests/browser/package-lock.json"),
        ),
    ],
    needs: &[
        "node_modules/playwright-core/package.json",
        "node_modules/oidc-provider/package.json",
    ],
    // 18 MB are unpacked; this is for slow networks.
    limit: Duration::from_mins(10),
};

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
    let folder = PACKAGES.folder(cache, |_, _| Ok(()))?;
    Ok(folder.join("node_modules"))
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
        assert!(!PACKAGES.sources[1].1.contains("\"resolved\""));
    }
}
