//! The cache of installed components, one per user.
//!
//! An entry is a folder `<name>-<version>`. It is built under a lock, in a `.partial` folder that
//! is renamed as the last step. Therefore an entry that exists is complete, two processes never
//! build the same entry at the same time, and an interrupted build leaves only the `.partial`
//! folder, which the next build deletes. Complete entries are never changed.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;

/// How long to wait for another process that builds the same entry: twice the longest build on a
/// slow machine.
const LOCK_TIMEOUT: Duration = Duration::from_hours(1);
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Root's cache for files that other users must be able to read, if root's home folder is closed to
/// them.
const ROOT_SHARED_CACHE: &str = "/var/cache/db-per-tenant";

#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `${XDG_CACHE_HOME:-~/.cache}/db-per-tenant`.
    pub fn of_user() -> Result<Self> {
        let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
            Some(path) if path.is_absolute() => path,
            _ => env::home_dir()
                .filter(|home| home.is_absolute())
                .context("neither XDG_CACHE_HOME nor HOME is an absolute path: set one of them")?
                .join(".cache"),
        };
        Ok(Self {
            root: base.join("db-per-tenant"),
        })
    }

    /// The cache for files that another user has to read: [`Cache::of_user`], except for root.
    /// PostgreSQL refuses to run as root, so root runs it as `nobody`, who may not be able to enter
    /// root's home folder. In that case this is `/var/cache/db-per-tenant`.
    pub fn readable_by_others() -> Result<Self> {
        let own = Self::of_user()?;
        if !is_root()? {
            return Ok(own);
        }
        fs::create_dir_all(&own.root)
            .with_context(|| format!("failed to create {}", own.root.display()))?;
        if others_can_enter(&own.root)? {
            Ok(own)
        } else {
            Ok(Self {
                root: ROOT_SHARED_CACHE.into(),
            })
        }
    }

    /// A cache in any folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of the cache, which may not exist yet.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of `entry`. If it does not exist or lacks a file of `required`, `build`
    /// fills a new folder first. If `build` fails, nothing is kept.
    pub fn entry(
        &self,
        entry: &str,
        required: &[&str],
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.root.join(entry);
        if is_complete(&folder, required) {
            return Ok(folder);
        }
        fs::create_dir_all(&self.root)
            .with_context(|| format!("failed to create the cache {}", self.root.display()))?;
        let _lock = self.lock(entry)?;
        if is_complete(&folder, required) {
            return Ok(folder); // built by the process that held the lock
        }
        let partial = self.root.join(format!("{entry}.partial"));
        for stale in [&partial, &folder] {
            remove_dir_if_any(stale)?;
        }
        fs::create_dir(&partial)
            .with_context(|| format!("failed to create {}", partial.display()))?;
        fs::set_permissions(&partial, Permissions::from_mode(0o755))?;
        build(&partial).inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
        if let Some(missing) = required.iter().find(|file| !partial.join(file).is_file()) {
            fs::remove_dir_all(&partial)?;
            bail!("the installation of {entry} succeeded but did not produce {missing}");
        }
        sync(&partial)?;
        fs::rename(&partial, &folder)
            .with_context(|| format!("failed to rename {}", partial.display()))?;
        File::open(&self.root)?.sync_all()?;
        Ok(folder)
    }

    fn lock(&self, entry: &str) -> Result<File> {
        let path = self.root.join(format!("{entry}.lock"));
        let file =
            File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let started = Instant::now();
        let mut progress = Progress::new(format!("waiting for another process to install {entry}"));
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {
                    progress.tick("");
                    std::thread::sleep(LOCK_POLL_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another process has held the lock {} for {} minutes",
                        path.display(),
                        LOCK_TIMEOUT.as_secs() / 60
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(format!("failed to lock {}", path.display()));
                }
            }
        }
    }
}

fn is_complete(folder: &Path, required: &[&str]) -> bool {
    folder.is_dir() && required.iter().all(|file| folder.join(file).is_file())
}

/// Removes a folder if it exists.
pub fn remove_dir_if_any(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Flushes every file to disk. Otherwise a renamed entry could have empty files after a power
/// failure.
fn sync(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Whether the effective user is root.
pub fn is_root() -> Result<bool> {
    Ok(effective_uid()? == 0)
}

pub fn effective_uid() -> Result<u32> {
    // The owner of a new file is the effective user. The standard library offers no other safe way.
    Ok(tempfile::tempfile()
        .context("failed to create a temporary file")?
        .metadata()?
        .uid())
}

fn others_can_enter(path: &Path) -> Result<bool> {
    for folder in path.ancestors() {
        if fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn write(folder: &Path, text: &str) -> Result<()> {
        Ok(fs::write(folder.join("server"), text)?)
    }

    #[test]
    fn an_interrupted_installation_is_not_taken_for_complete() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::at(folder.path());
        // A killed process leaves an unlocked lock file and an incomplete partial folder.
        fs::create_dir(folder.path().join("etcd-1.partial"))?;
        fs::write(folder.path().join("etcd-1.partial/half"), "x")?;
        fs::write(folder.path().join("etcd-1.lock"), "")?;
        assert!(!folder.path().join("etcd-1").exists());

        let entry = cache.entry("etcd-1", &["server"], |folder| write(folder, "whole"))?;

        assert_eq!(fs::read_to_string(entry.join("server"))?, "whole");
        assert!(
            !entry.join("half").exists(),
            "files of the interrupted installation must not be reused"
        );
        Ok(())
    }

    #[test]
    fn a_failed_installation_leaves_nothing_and_is_repeated() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::at(folder.path());
        let failed = cache.entry("etcd-1", &["server"], |folder| {
            write(folder, "half")?;
            bail!("no compiler")
        });
        assert_eq!(
            failed.map_err(|error| error.to_string()),
            Err("no compiler".into())
        );
        assert!(
            !folder.path().join("etcd-1").exists()
                && !folder.path().join("etcd-1.partial").exists()
        );

        let empty = cache.entry("etcd-1", &["server"], |_| Ok(()));
        assert!(empty.is_err(), "an entry must have its required files");

        let entry = cache.entry("etcd-1", &["server"], |folder| write(folder, "whole"))?;
        assert_eq!(fs::read_to_string(entry.join("server"))?, "whole");
        Ok(())
    }

    #[test]
    fn an_entry_without_a_required_file_is_rebuilt() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::at(folder.path());
        let entry = cache.entry("etcd-1", &["server"], |folder| write(folder, "first"))?;
        fs::remove_file(entry.join("server"))?;
        cache.entry("etcd-1", &["server"], |folder| write(folder, "second"))?;
        assert_eq!(fs::read_to_string(entry.join("server"))?, "second");
        Ok(())
    }

    #[test]
    fn concurrent_processes_build_an_entry_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let builds = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        Cache::at(folder.path()).entry("etcd-1", &["server"], |folder| {
                            builds.fetch_add(1, Ordering::SeqCst);
                            write(folder, "whole")
                        })
                    })
                })
                .collect();
            for run in runs {
                assert!(run.join().is_ok_and(|result| result.is_ok()));
            }
        });
        assert_eq!(builds.load(Ordering::SeqCst), 1);
        Ok(())
    }
}
