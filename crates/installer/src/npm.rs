//! npm packages, as the lock file of a folder of this repository lists them. The file is compiled
//! into this program. The name of the cache entry contains its hash, so a changed lock file leads
//! to a new installation.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::cache::Cache;
use crate::step::{Step, announce};
use crate::tool;

pub(crate) const NODE_MISSING: &str =
    "install Node.js 20 or newer with npm (Debian: apt-get install npm)";

/// Packages that are installed together.
pub(crate) struct Packages {
    /// The name of the cache entry, before the hash.
    pub(crate) name: &'static str,
    /// Shown as progress.
    pub(crate) title: &'static str,
    /// Shown before the installation, such as `4 MB to download`.
    pub(crate) cost: &'static str,
    /// `package.json`, `package-lock.json` and other files that list packages, with their contents.
    pub(crate) sources: &'static [(&'static str, &'static str)],
    /// Files that a complete entry contains.
    pub(crate) required: &'static [&'static str],
    /// For each step.
    pub(crate) timeout: Duration,
}

impl Packages {
    /// The folder with `node_modules`. `finish` is called with the folder and the log after npm has
    /// succeeded.
    pub(crate) fn folder(
        &self,
        cache: &Cache,
        finish: impl Fn(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        self.sources.hash(&mut hasher);
        let hash = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
        let entry = format!("{}-{hash:08x}", self.name);
        let log = cache.root().join(format!("{entry}.log"));
        cache.entry(&entry, self.required, |folder| {
            self.install(folder, &log)?;
            finish(folder, &log)
        })
    }

    fn install(&self, folder: &Path, log: &Path) -> Result<()> {
        let npm = tool(&["npm"], NODE_MISSING)?;
        announce(self.title, self.cost, folder);
        for (name, text) in self.sources {
            fs::write(folder.join(name), text)?;
        }
        let mut command = Command::new(npm);
        command
            // Downloaded code must not run during the installation.
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(folder);
        Step {
            title: format!("npm packages: {}", self.title),
            command,
            log,
            timeout: self.timeout,
            describe: |_| "downloading".into(),
        }
        .run()
    }
}
