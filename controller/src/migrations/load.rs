//! Where a [`MigrationSet`] comes from, and why there may be none.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::file_name;
use super::set::{MIGRATIONS_MAX, SQL_BYTES_MAX, MigrationSet};

/// The files of `tenant-migrations/` at the time of the build.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/tenant_migrations.rs"));

/// Why some files are no set of migrations.
#[derive(Debug, thiserror::Error)]
pub enum MigrationSetError {
    /// There is no file of SQL among them.
    #[error("there is no migration: at least one file such as 0001_documents.sql is needed")]
    Empty,
    /// A name ends in `.sql` and does not follow the rule.
    #[error("{file:?} is not a migration's name: {why}")]
    BadName {
        /// The name as it is.
        file: String,
        /// What to write instead.
        why: &'static str,
    },
    /// Two files have one version.
    #[error("{first} and {second} have the same version: give one of them another")]
    DuplicateVersion {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A file that must not run in a transaction has more than one statement, so it could end half done.
    #[error(
        "{file} runs outside a transaction and has {count} statements: give each a file of its own"
    )]
    NotOneStatement {
        /// The file.
        file: String,
        /// How many there are.
        count: usize,
    },
    /// A file has nothing in it but comments.
    #[error("{file} has no statement in it")]
    NoStatement {
        /// The file.
        file: String,
    },
    /// Something begins and does not end.
    #[error("{file}, line {line}: {what}")]
    Unterminated {
        /// The file.
        file: String,
        /// The line where it begins.
        line: usize,
        /// What it is.
        what: &'static str,
    },
    /// A file holds something that no migration may hold.
    #[error("{file}, line {line}: a migration may not hold {what}")]
    Forbidden {
        /// The file.
        file: String,
        /// The line where it stands.
        line: usize,
        /// What it is, and why not.
        what: &'static str,
    },
    /// The set is larger than can be meant.
    #[error(
        "the migrations are too large: at most {MIGRATIONS_MAX} files with {SQL_BYTES_MAX} bytes together"
    )]
    TooLarge,
    /// A directory or a file in it cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl MigrationSet {
    /// The migrations that were built into this program.
    pub fn built_in() -> Result<Self, MigrationSetError> {
        Self::from_files(BUILT_IN.iter().copied())
    }

    /// The migrations of a directory; folders in it are not looked into. It blocks: call it at start, or on a thread for such work.
    pub fn from_directory(directory: &Path) -> Result<Self, MigrationSetError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| MigrationSetError::Unreadable { path, source }
        };
        let mut files = Vec::new();
        let mut bytes = 0;
        for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_sql = file_name::is_sql(&name);
            // Through links: a mounted ConfigMap is made of them.
            let found = fs::metadata(&path);
            if !is_sql || found.as_ref().is_ok_and(fs::Metadata::is_dir) {
                continue;
            }
            bytes += found.map_err(unreadable(&path))?.len();
            if files.len() >= MIGRATIONS_MAX
                || usize::try_from(bytes).is_ok_and(|bytes| bytes > SQL_BYTES_MAX)
            {
                return Err(MigrationSetError::TooLarge);
            }
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            files.push((name, text));
        }
        Self::from_files(files)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::migrate::Migrator;

    use super::*;

    fn source_directory() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tenant-migrations"))
    }

    #[test]
    fn what_is_built_in_is_what_lies_in_the_directory() {
        let built_in = MigrationSet::built_in().expect("the built-in migrations are well formed");
        let directory =
            MigrationSet::from_directory(source_directory()).expect("the directory is well formed");
        assert_eq!(built_in, directory);
    }

    #[tokio::test]
    async fn sqlx_reads_the_same_migrations_from_the_same_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, sql) in [
            ("0001_first_things.sql", "create table a ();\r\n"),
            ("2_b.sql", "-- no-transaction\nselect 'ü'"),
            ("10_add-c.sql", " -- no-transaction\nselect 1;"),
            ("README.md", "words"),
        ] {
            fs::write(folder.path().join(name), sql).expect("written");
        }
        fs::create_dir(folder.path().join("0003_folder.sql")).expect("made");
        for directory in [folder.path(), source_directory()] {
            let ours = MigrationSet::from_directory(directory).expect("a set");
            let theirs = Migrator::new(directory).await.expect("sqlx reads it");
            let ours: Vec<_> = ours
                .migrations()
                .iter()
                .map(|m| {
                    (
                        m.version(),
                        m.description(),
                        m.checksum(),
                        m.no_transaction(),
                        m.sql(),
                    )
                })
                .collect();
            let theirs: Vec<_> = theirs
                .iter()
                .map(|m| {
                    (
                        m.version,
                        &*m.description,
                        &*m.checksum,
                        m.no_tx,
                        m.sql.as_str(),
                    )
                })
                .collect();
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_mounted_config_map_is_read_through_its_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let hidden = folder.path().join("..2026");
        fs::create_dir(&hidden).expect("made");
        fs::write(hidden.join("0001_a.sql"), "select 1").expect("written");
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).expect("linked");
        std::os::unix::fs::symlink("..data/0001_a.sql", folder.path().join("0001_a.sql"))
            .expect("linked");
        let set = MigrationSet::from_directory(folder.path()).expect("a set");
        assert_eq!(set.target_version(), 1);
    }

    #[test]
    fn a_missing_directory_and_a_broken_file_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("nowhere");
        let error = MigrationSet::from_directory(&missing)
            .expect_err("it is missing")
            .to_string();
        assert!(error.contains("nowhere"), "{error}");
        fs::write(folder.path().join("0001_a.sql"), [0xff, 0xfe]).expect("written");
        let error = MigrationSet::from_directory(folder.path())
            .expect_err("it is not UTF-8")
            .to_string();
        assert!(error.contains("0001_a.sql"), "{error}");
    }
}
