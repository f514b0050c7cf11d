//! The temporary folder of a run: the data, certificates and logs of the servers it started.
//!
//! The owner holds a lock on a file in the folder. If the owner is killed, it cannot remove the
//! folder, but the kernel releases the lock. The next run and `demo down` remove folders whose lock
//! is not held. Folders of running processes and of other users are never touched.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context as _, Result, bail};

use installer::cache::{effective_uid, is_root, remove_dir_if_any};
use installer::progress::say;

const PREFIX: &str = "db-per-tenant-";
const LOCK_FILE: &str = "owner.lock";
/// The lock file's name until the lock is held.
const NEW_LOCK_FILE: &str = "owner.lock.new";
const PID_FILE: &str = "owner.pid";
/// An older folder without a lock file was left by a process that was killed while it created the
/// folder.
const MAX_UNLOCKED_AGE: Duration = Duration::from_mins(1);
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`stop_running`] waits for a process to stop its servers.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A run's folder. Dropping it removes the folder, unless [`RunFolder::keep`] was called.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    kept: bool,
    _lock: File,
}

impl RunFolder {
    /// Creates a folder whose name contains `purpose` (`demo`, `control-plane`), and removes
    /// folders of killed processes.
    pub fn new(purpose: &str) -> Result<Self> {
        Self::new_in(&env::temp_dir(), purpose)
    }

    fn new_in(base: &Path, purpose: &str) -> Result<Self> {
        if let Err(error) = remove_dead_in(base) {
            say(&format!(
                "Failed to remove the folders of earlier runs: {error:#}"
            ));
        }
        let path = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{purpose}-"))
            .tempdir_in(base)
            .with_context(|| format!("failed to create a folder in {}", base.display()))?
            .keep();
        // The user that PostgreSQL runs as must be able to traverse this folder, but not to list
        // it.
        if is_root()? {
            fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        }
        fs::write(path.join(PID_FILE), process::id().to_string())?;
        // Other processes remove a folder whose lock file is not locked, so the file is renamed
        // after it was locked.
        let new = path.join(NEW_LOCK_FILE);
        let lock = File::create(&new)?;
        lock.try_lock()
            .with_context(|| format!("failed to lock {}", path.display()))?;
        fs::rename(new, path.join(LOCK_FILE))?;
        Ok(Self {
            path,
            kept: false,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the folder when this process ends, so that its logs can be read. The next run removes
    /// it.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // A server that is being stopped may still create files.
        let started = Instant::now();
        while remove(&self.path).is_err() && started.elapsed() < REMOVE_TIMEOUT {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Removes a run's folder. The lock file is removed last, so that a partly removed folder still has
/// an owner.
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

/// Removes the folders of this user's killed processes, and returns their number.
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

/// Sends SIGTERM to this user's running processes for `purpose`, waits until they have exited, and
/// returns their number.
pub fn stop_running(purpose: &str) -> Result<usize> {
    let mut stopped = 0;
    for path in folders(&env::temp_dir(), purpose)? {
        if owner(&path) != Owner::Alive {
            continue;
        }
        let Ok(pid) = fs::read_to_string(path.join(PID_FILE)) else {
            continue;
        };
        let pid: u32 = pid.trim().parse().with_context(|| {
            format!(
                "{} must contain a process id",
                path.join(PID_FILE).display()
            )
        })?;
        say(&format!(
            "Stopping the {purpose} with process id {pid} ({}).",
            path.display()
        ));
        signal("TERM", pid)?;
        let started = Instant::now();
        while owner(&path) == Owner::Alive {
            if started.elapsed() > STOP_TIMEOUT {
                bail!(
                    "process {pid} is still running {} s after SIGTERM; `kill -KILL {pid}` ends it and its servers",
                    STOP_TIMEOUT.as_secs()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        stopped += 1;
    }
    Ok(stopped)
}

/// Sends a signal, by name such as `TERM`, to one process.
pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .context("failed to run kill")?;
    if !status.success() {
        bail!("kill -s {name} {pid} exited with {status}");
    }
    Ok(())
}

/// This user's run folders for `purpose`; all of them if `purpose` is empty.
fn folders(base: &Path, purpose: &str) -> Result<Vec<PathBuf>> {
    let user = effective_uid()?;
    let mut found = Vec::new();
    let entries =
        fs::read_dir(base).with_context(|| format!("failed to read {}", base.display()))?;
    for entry in entries {
        let entry = entry?;
        let matches = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&format!("{PREFIX}{purpose}")));
        // Another process may have removed the folder meanwhile.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if matches && metadata.is_dir() && metadata.uid() == user {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The state of the process that created a folder.
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
        return if age.is_some_and(|age| age > MAX_UNLOCKED_AGE) {
            Owner::Dead
        } else {
            Owner::Unknown
        };
    };
    // A lock that this takes is released when `file` is dropped.
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Owner::Alive,
        _ => Owner::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_removes_its_folder_and_those_of_killed_runs() -> Result<()> {
        let base = tempfile::tempdir()?;
        let running = RunFolder::new_in(base.path(), "demo")?;
        let dead = base.path().join("db-per-tenant-demo-dead");
        fs::create_dir(&dead)?;
        fs::write(dead.join(LOCK_FILE), "")?; // the lock is not held
        let foreign = base.path().join("something-else");
        fs::create_dir(&foreign)?;

        let next = RunFolder::new_in(base.path(), "demo")?;

        assert!(!dead.exists(), "the folder of a killed run must be removed");
        assert!(running.path().exists() && next.path().exists() && foreign.exists());
        let path = running.path().to_owned();
        drop(running);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_folder_that_is_being_created_is_kept() -> Result<()> {
        let base = tempfile::tempdir()?;
        let young = base.path().join("db-per-tenant-demo-young");
        fs::create_dir(&young)?; // not locked yet
        assert_eq!(remove_dead_in(base.path())?, 0);
        assert!(young.exists());
        Ok(())
    }
}
