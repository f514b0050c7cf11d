//! Packages of npm (and what goes with them), as the files of a folder of this repository name them. The files are part of this
//! program; the entry of the cache bears their hash, so that it is installed anew when they change.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::node::NODE_MISSING;
use super::step::{Step, announce};
use super::tool;
use crate::cache::Cache;

/// What is installed together.
pub(super) struct Packages {
    /// What the entry of the cache is called, before the hash.
    pub(super) name: &'static str,
    /// What is said to come, for people.
    pub(super) title: &'static str,
    /// How much there is to fetch.
    pub(super) size: &'static str,
    /// The files that name them, `package.json` and `package-lock.json` among them.
    pub(super) sources: &'static [(&'static str, &'static str)],
    /// Files without which it is not complete.
    pub(super) needs: &'static [&'static str],
    /// Limit on each step.
    pub(super) limit: Duration,
}

impl Packages {
    /// The folder with `node_modules`. `more` is done in it after npm has finished, with the log to write to.
    pub(super) fn folder(
        &self,
        cache: &Cache,
        more: impl Fn(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        self.sources.hash(&mut hasher);
        let hash = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
        let entry = format!("{}-{hash:08x}", self.name);
        let log = cache.root().join(format!("{entry}.log"));
        cache.entry(&entry, self.needs, |folder| {
            self.install(folder, &log)?;
            more(folder, &log)
        })
    }

    fn install(&self, folder: &Path, log: &Path) -> Result<()> {
        let npm = tool(&["npm"], NODE_MISSING)?;
        announce(self.title, self.size, folder);
        for (name, text) in self.sources {
            fs::write(folder.join(name), text)?;
        }
        let mut command = Command::new(npm);
        command
            // No scripts: nothing that is downloaded runs before a test asks for it.
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(folder);
        Step {
            title: format!("npm packages: {}", self.title),
            command,
            log,
            limit: self.limit,
            describe: |_| "download and unpack".into(),
        }
        .run()
    }
}
