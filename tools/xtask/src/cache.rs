//! One cache per user for the servers that the demo and the tests run.
//!
//! An entry is a folder `<name>-<version>`. It is built beside its place and renamed as the last step, under a lock, so
//! that an entry that exists is complete: two runs never build the same thing at once, and a run that was cut off leaves
//! only a `.partial` folder, which the next one throws away. Nothing here ever changes an entry that is complete.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;

/// How long a run waits for another one that installs the same thing: the longest install, on a slow machine, twice.
const LOCK_WAIT_MAX: Duration = Duration::from_hours(1);
/// How often the lock of another run is tried.
const LOCK_POLL: Duration = Duration::from_millis(500);
/// Where root keeps what other users must be able to read, when root's own cache is closed to them.
const ROOT_SHARED_CACHE: &str = "/var/cache/db-per-tenant";

/// A folder of installed servers.
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
                .context("neither XDG_CACHE_HOME nor HOME names a folder: set one of them")?
                .join(".cache"),
        };
        Ok(Self {
            root: base.join("db-per-tenant"),
        })
    }

    /// The cache for what another user has to read. PostgreSQL refuses to run as root, so root runs it as `nobody`, who
    /// cannot look into a closed home: then it is `/var/cache/db-per-tenant`. For everybody else it is the user's own.
    pub fn readable_by_others() -> Result<Self> {
        let own = Self::of_user()?;
        if !is_root()? {
            return Ok(own);
        }
        fs::create_dir_all(&own.root)
            .with_context(|| format!("cannot make {}", own.root.display()))?;
        if others_can_enter(&own.root)? {
            Ok(own)
        } else {
            Ok(Self {
                root: ROOT_SHARED_CACHE.into(),
            })
        }
    }

    /// A cache at a place of the caller's choosing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself; it need not exist yet.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `entry`, built first with `build` if it is not there (or lost one of the files in `needs`).
    /// `build` fills the folder it is given; when it fails, nothing is kept.
    pub fn entry(
        &self,
        entry: &str,
        needs: &[&str],
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let place = self.root.join(entry);
        if complete(&place, needs) {
            return Ok(place);
        }
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot make the cache {}", self.root.display()))?;
        let _lock = self.lock(entry)?;
        if complete(&place, needs) {
            return Ok(place); // the run that held the lock built it
        }
        let partial = self.root.join(format!("{entry}.partial"));
        for stale in [&partial, &place] {
            remove_dir_if_any(stale)?;
        }
        fs::create_dir(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        fs::set_permissions(&partial, Permissions::from_mode(0o755))?;
        build(&partial).inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
        if let Some(missing) = needs.iter().find(|file| !partial.join(file).is_file()) {
            fs::remove_dir_all(&partial)?;
            bail!("the install of {entry} ended without an error, but without {missing} too");
        }
        sync(&partial)?;
        fs::rename(&partial, &place)
            .with_context(|| format!("cannot rename {} into place", partial.display()))?;
        File::open(&self.root)?.sync_all()?;
        Ok(place)
    }

    fn lock(&self, entry: &str) -> Result<File> {
        let path = self.root.join(format!("{entry}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let started = Instant::now();
        let mut progress = Progress::new(format!("{entry}: another run is installing it, waiting"));
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT_MAX => {
                    progress.tick("");
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another run has held {} for {} minutes",
                        path.display(),
                        LOCK_WAIT_MAX.as_secs() / 60
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

fn complete(place: &Path, needs: &[&str]) -> bool {
    place.is_dir() && needs.iter().all(|file| place.join(file).is_file())
}

/// Removes a folder; one that is not there is fine.
pub(crate) fn remove_dir_if_any(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Brings every file to the disk, so that after a power cut a renamed entry has contents and not only names.
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

/// Whether this process is root's.
pub(crate) fn is_root() -> Result<bool> {
    Ok(effective_uid()? == 0)
}

/// The user that new files belong to.
pub(crate) fn effective_uid() -> Result<u32> {
    // The owner of a file just made is the effective user; the standard library has no other safe way to ask.
    Ok(tempfile::tempfile()
        .context("cannot make a temporary file")?
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
    fn an_install_that_was_cut_off_does_not_look_complete() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::at(folder.path());
        // What a run leaves that was killed in the middle: a lock file nobody holds and a half-filled partial folder.
        fs::create_dir(folder.path().join("etcd-1.partial"))?;
        fs::write(folder.path().join("etcd-1.partial/half"), "x")?;
        fs::write(folder.path().join("etcd-1.lock"), "")?;
        assert!(!folder.path().join("etcd-1").exists());

        let place = cache.entry("etcd-1", &["server"], |folder| write(folder, "whole"))?;

        assert_eq!(fs::read_to_string(place.join("server"))?, "whole");
        assert!(
            !place.join("half").exists(),
            "the remains of the cut-off install must not be taken over"
        );
        Ok(())
    }

    #[test]
    fn an_install_that_fails_leaves_nothing_and_the_next_one_builds_again() -> Result<()> {
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

        let silent = cache.entry("etcd-1", &["server"], |_| Ok(()));
        assert!(
            silent.is_err(),
            "an install without the files it is for is not complete"
        );

        let place = cache.entry("etcd-1", &["server"], |folder| write(folder, "whole"))?;
        assert_eq!(fs::read_to_string(place.join("server"))?, "whole");
        Ok(())
    }

    #[test]
    fn an_entry_that_lost_a_file_is_built_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::at(folder.path());
        let place = cache.entry("etcd-1", &["server"], |folder| write(folder, "first"))?;
        fs::remove_file(place.join("server"))?;
        cache.entry("etcd-1", &["server"], |folder| write(folder, "second"))?;
        assert_eq!(fs::read_to_string(place.join("server"))?, "second");
        Ok(())
    }

    #[test]
    fn runs_at_the_same_time_build_an_entry_once() -> Result<()> {
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
