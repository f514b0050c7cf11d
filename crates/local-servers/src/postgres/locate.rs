//! Finds the PostgreSQL programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The environment variable that names the folder with `initdb` and `postgres`. It takes precedence
/// over all other locations.
pub const BIN_DIR_VARIABLE: &str = "NEON_EMULATOR_PG_BIN";
/// Debian and its derivatives keep one folder per major version here.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// Finds the folder with `initdb` and `postgres`: [`BIN_DIR_VARIABLE`] first, then the output of
/// `pg_config --bindir`, then PATH, then the newest version under `/usr/lib/postgresql`.
pub fn find_bin_dir() -> Result<PathBuf, PostgresError> {
    let mut searched = Vec::new();
    if let Some(folder) = std::env::var_os(BIN_DIR_VARIABLE).filter(|value| !value.is_empty()) {
        // An explicitly named folder is not silently replaced by another version found elsewhere.
        let folder = PathBuf::from(folder);
        if has_programs(&folder) {
            return Ok(folder);
        }
        return Err(PostgresError::NotFound {
            searched: format!("{} ({BIN_DIR_VARIABLE})", folder.display()),
        });
    }
    for folder in candidates() {
        if has_programs(&folder) {
            return Ok(folder);
        }
        searched.push(folder.display().to_string());
    }
    Err(PostgresError::NotFound {
        searched: searched.join(", "),
    })
}

fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
    {
        folders.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    folders.extend(debian_folders());
    folders
}

fn debian_folders() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(DEBIAN_FOLDER) else {
        return Vec::new();
    };
    let mut versions: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
        })
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions
        .iter()
        .map(|version| {
            Path::new(DEBIAN_FOLDER)
                .join(version.to_string())
                .join("bin")
        })
        .collect()
}
