//! The npm packages of the browser tests: playwright-core, which drives Chromium, and a certified
//! OpenID provider. The versions and checksums are in the lock file of `tests/browser/`, which is
//! compiled into this program.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::npm::{NODE_MISSING, Packages};
use crate::{environment_variable, tool};

/// Names the developer's own `node_modules` folder.
pub(crate) const BROWSER_MODULES: &str = "BROWSER_MODULES";
/// The packages do not run on older releases.
const MIN_NODE_MAJOR: u32 = 20;
const PACKAGES: Packages = Packages {
    name: "browser-modules",
    title: "playwright-core and oidc-provider",
    cost: "4 MB to download",
    sources: &[
        (
            "package.json",
            include_str!("../../../tests/browser/package.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../../tests/browser/package-lock.json"),
        ),
    ],
    required: &[
        "node_modules/playwright-core/package.json",
        "node_modules/oidc-provider/package.json",
    ],
    // 18 MB are unpacked. The timeout allows for slow networks.
    timeout: Duration::from_mins(10),
};

pub(crate) fn node() -> Result<PathBuf> {
    let node = tool(&["node"], NODE_MISSING)?;
    let output = Command::new(&node)
        .arg("--version")
        .output()
        .with_context(|| format!("failed to run {}", node.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    match parse_major(&version) {
        Some(major) if major >= MIN_NODE_MAJOR => Ok(node),
        _ => bail!("{} is {}: {NODE_MISSING}", node.display(), version.trim()),
    }
}

fn parse_major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

pub(crate) fn modules(cache: &Cache) -> Result<PathBuf> {
    node()?;
    if let Some(folder) = environment_variable(BROWSER_MODULES).map(PathBuf::from) {
        return Ok(folder);
    }
    let folder = PACKAGES.folder(cache, |_, _| Ok(()))?;
    Ok(folder.join("node_modules"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_parsed_from_the_output_of_node_version() {
        assert_eq!(parse_major("v20.20.2\n"), Some(20));
        assert_eq!(parse_major("sh: node: not found"), None);
    }

    #[test]
    fn the_lock_file_names_no_registry() {
        assert!(!PACKAGES.sources[1].1.contains("\"resolved\""));
    }
}
