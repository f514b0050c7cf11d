//! The temporary folder of one run: data, certificates and logs of the servers it started.
//!
//! The folder carries a lock that its owner holds while it lives. A run that was killed cannot remove its folder, but the
//! kernel lets go of its lock; so whoever starts next, or `dev down`, can tell for certain which folders are dead, and
//! removes them. Folders of living runs and of other users are never touched.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context as _, Result, bail};

use crate::cache::{effective_uid, is_root, remove_dir_if_any};
use crate::progress::say;

const PREFIX: &str = "db-per-tenant-";
const LOCK_FILE: &str = "owner.lock";
/// What the lock is called until it is held.
const UNNAMED_LOCK_FILE: &str = "owner.lock.new";
const PID_FILE: &str = "owner.pid";
/// A folder without a lock this old was cut off while it was being made.
const UNLOCKED_AGE_MAX: Duration = Duration::from_mins(1);
/// How long the end of a run tries to remove its folder.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
/// How long `dev down` waits for a run to stop its servers.
const STOP_WAIT_MAX: Duration = Duration::from_secs(45);
/// How often it looks.
const STOP_POLL: Duration = Duration::from_millis(50);

/// A run's folder. Dropping it removes it, unless [`RunFolder::keep`] was called.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    kept: bool,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder for this process, named by what it is for (`demo`, `control-plane`), and removes those of dead runs.
    pub fn new(purpose: &str) -> Result<Self> {
        Self::new_in(&env::temp_dir(), purpose)
    }

    fn new_in(base: &Path, purpose: &str) -> Result<Self> {
        if let Err(error) = remove_dead_in(base) {
            say(&format!(
                "Folders of earlier runs could not be removed: {error:#}"
            ));
        }
        let path = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{purpose}-"))
            .tempdir_in(base)
            .with_context(|| format!("cannot make a folder in {}", base.display()))?
            .keep();
        // The user that PostgreSQL runs as must get to its data through this folder, without seeing what else is in it.
        if is_root()? {
            fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        }
        fs::write(path.join(PID_FILE), process::id().to_string())?;
        // Whoever finds a lock that nobody holds takes the run for dead, so it bears its name only once it is held.
        let unnamed = path.join(UNNAMED_LOCK_FILE);
        let lock = File::create(&unnamed)?;
        lock.try_lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        fs::rename(unnamed, path.join(LOCK_FILE))?;
        Ok(Self {
            path,
            kept: false,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is when this process ends, for a person to read the logs. The next start removes it.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // A program that was interrupted while it filled the folder may still write for a moment.
        let started = Instant::now();
        while remove(&self.path).is_err() && started.elapsed() < REMOVE_LIMIT {
            thread::sleep(STOP_POLL);
        }
    }
}

/// Removes a run's folder. The lock goes last: as long as anything is left, it tells whose that is.
fn remove(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_dir_if_any(&entry.path())?;
        } else if entry.file_name() != LOCK_FILE {
            fs::remove_file(entry.path())?;
        }
    }
    remove_dir_if_any(folder)
}

/// Removes the folders of this user's dead runs; gives how many there were.
pub fn remove_dead() -> Result<usize> {
    remove_dead_in(&env::temp_dir())
}

fn remove_dead_in(base: &Path) -> Result<usize> {
    let mut removed = 0;
    for path in folders(base, "")? {
        if owner(&path) == Owner::Dead {
            remove(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Asks this user's living runs for `purpose` to end and waits until they have; gives how many there were.
pub fn stop_living(purpose: &str) -> Result<usize> {
    let mut stopped = 0;
    for path in folders(&env::temp_dir(), purpose)? {
        if owner(&path) != Owner::Alive {
            continue;
        }
        let Ok(pid) = fs::read_to_string(path.join(PID_FILE)) else {
            continue;
        };
        let pid: u32 = pid
            .trim()
            .parse()
            .with_context(|| format!("{} holds no process id", path.join(PID_FILE).display()))?;
        say(&format!(
            "Stopping the {purpose} of process {pid} ({}).",
            path.display()
        ));
        signal("TERM", pid)?;
        let started = Instant::now();
        while owner(&path) == Owner::Alive {
            if started.elapsed() > STOP_WAIT_MAX {
                bail!(
                    "process {pid} still runs {} seconds after it was asked to end; kill -KILL {pid} ends it and its servers",
                    STOP_WAIT_MAX.as_secs()
                );
            }
            thread::sleep(STOP_POLL);
        }
        stopped += 1;
    }
    Ok(stopped)
}

/// Sends a signal (by name, as `TERM`) to one process.
pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .context("cannot run kill")?;
    if !status.success() {
        bail!("kill -s {name} {pid} ended with {status}");
    }
    Ok(())
}

/// This user's run folders for `purpose` (all, if it is empty).
fn folders(base: &Path, purpose: &str) -> Result<Vec<PathBuf>> {
    let user = effective_uid()?;
    let mut found = Vec::new();
    for entry in fs::read_dir(base).with_context(|| format!("cannot read {}", base.display()))? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&format!("{PREFIX}{purpose}")));
        // A folder may go while we look: that is as good as not there.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if ours && metadata.is_dir() && metadata.uid() == user {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What is known of who made a folder.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Alive,
    Dead,
    /// The folder has no lock yet.
    Unknown,
}

fn owner(folder: &Path) -> Owner {
    let Ok(file) = File::open(folder.join(LOCK_FILE)) else {
        let age = fs::metadata(folder)
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|made| made.elapsed().ok());
        return if age.is_some_and(|age| age > UNLOCKED_AGE_MAX) {
            Owner::Dead
        } else {
            Owner::Unknown
        };
    };
    // The lock that this takes is let go of when the file is closed, right here.
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Owner::Alive,
        _ => Owner::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_run_and_a_dead_one_with_the_next_run() -> Result<()> {
        let base = tempfile::tempdir()?;
        let living = RunFolder::new_in(base.path(), "demo")?;
        let dead = base.path().join("db-per-tenant-demo-dead");
        fs::create_dir(&dead)?;
        fs::write(dead.join(LOCK_FILE), "")?; // nobody holds it
        let foreign = base.path().join("something-else");
        fs::create_dir(&foreign)?;

        let next = RunFolder::new_in(base.path(), "demo")?;

        assert!(
            !dead.exists(),
            "a dead run's folder is removed by the next start"
        );
        assert!(living.path().exists() && next.path().exists() && foreign.exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_folder_that_is_being_made_is_left_alone() -> Result<()> {
        let base = tempfile::tempdir()?;
        let young = base.path().join("db-per-tenant-demo-young");
        fs::create_dir(&young)?; // its owner has not locked it yet
        assert_eq!(remove_dead_in(base.path())?, 0);
        assert!(young.exists());
        Ok(())
    }
}
