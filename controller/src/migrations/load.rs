//! Loads a [`MigrationSet`] from the binary or from a directory.

use std::fs;
use std::path::Path;

use super::encoding;
use super::file_name;
use super::limits::{MAX_MIGRATIONS, MAX_SQL_BYTES};
use super::set::MigrationSet;
use super::set_error::MigrationSetError;

/// The files of `tenant-migrations/`, included by `build.rs`.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/tenant_migrations.rs"));

impl MigrationSet {
    /// The migrations in the binary.
    pub fn built_in() -> Result<Self, MigrationSetError> {
        Self::from_files(BUILT_IN.iter().copied())
    }

    /// Reads the migrations in a directory, without subdirectories. Blocks: call it at startup, or
    /// on a blocking thread.
    pub fn from_directory(directory: &Path) -> Result<Self, MigrationSetError> {
        Self::from_sources(vec![read_directory(directory)?])
    }

    /// Creates a set from several lists of files, such as the data of several
    /// `ConfigMap`s. Each list has
    /// only higher versions than the lists before it.
    pub fn from_sources(sources: Vec<Vec<(String, Vec<u8>)>>) -> Result<Self, MigrationSetError> {
        let mut files = Vec::new();
        let mut last: Option<(i64, String)> = None;
        for source in sources {
            let mut highest = last.clone();
            for (name, bytes) in source {
                // An invalid name is reported when the set is created.
                let Ok(version) = file_name::parse(&name).map(|name| name.map(|name| name.version))
                else {
                    files.push((name, String::new()));
                    continue;
                };
                let Some(version) = version else { continue };
                if let Some((_, first)) = last.as_ref().filter(|(last, _)| *last > version) {
                    let (first, second) = (first.clone(), name);
                    return Err(MigrationSetError::OutOfOrder { first, second });
                }
                if highest
                    .as_ref()
                    .is_none_or(|(highest, _)| *highest < version)
                {
                    highest = Some((version, name.clone()));
                }
                let text = encoding::decode(&name, bytes)?;
                files.push((name, text));
            }
            last = highest;
        }
        Self::from_files(files)
    }
}

/// The names and contents of the SQL files in a directory, without subdirectories. Blocks.
pub fn read_directory(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, MigrationSetError> {
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
        // Follows symbolic links, because a mounted ConfigMap consists of them.
        let metadata = fs::metadata(&path);
        if !is_sql || metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
            continue;
        }
        bytes += metadata.map_err(unreadable(&path))?.len();
        if files.len() >= MAX_MIGRATIONS
            || usize::try_from(bytes).is_ok_and(|bytes| bytes > MAX_SQL_BYTES)
        {
            return Err(MigrationSetError::TooLarge);
        }
        files.push((name, fs::read(&path).map_err(unreadable(&path))?));
    }
    Ok(files)
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
    fn the_built_in_set_equals_the_set_of_the_directory() {
        let built_in = MigrationSet::built_in().expect("the built-in migrations are valid");
        let directory =
            MigrationSet::from_directory(source_directory()).expect("the directory is valid");
        assert_eq!(built_in, directory);
    }

    #[tokio::test]
    async fn sqlx_reads_the_same_migrations_from_the_same_directory() {
        let folder = tempfile::tempdir().expect("created a directory");
        for (name, sql) in [
            ("0001_first_things.sql", "create table a ();\r\n"),
            ("2_b.sql", "-- no-transaction\nselect 'ü'"),
            ("10_add-c.sql", " -- no-transaction\nselect 1;"),
            ("README.md", "text"),
        ] {
            fs::write(folder.path().join(name), sql).expect("written");
        }
        fs::create_dir(folder.path().join("0003_folder.sql")).expect("created");
        for directory in [folder.path(), source_directory()] {
            let ours = MigrationSet::from_directory(directory).expect("the set is valid");
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
    fn the_symbolic_links_of_a_mounted_config_map_are_followed() {
        let folder = tempfile::tempdir().expect("created a directory");
        let version_directory = folder.path().join("..2026");
        fs::create_dir(&version_directory).expect("created");
        fs::write(version_directory.join("0001_a.sql"), "select 1").expect("written");
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).expect("linked");
        std::os::unix::fs::symlink("..data/0001_a.sql", folder.path().join("0001_a.sql"))
            .expect("linked");
        let set = MigrationSet::from_directory(folder.path()).expect("the set is valid");
        assert_eq!(set.target_version(), 1);
    }

    #[test]
    fn sources_are_ordered_by_version() {
        let source = |names: &[&str]| -> Vec<(String, Vec<u8>)> {
            let file = |name: &&str| ((*name).to_owned(), b"select 1".to_vec());
            names.iter().map(file).collect()
        };
        let set = MigrationSet::from_sources(vec![
            source(&["2_b.sql", "1_a.sql", "README.md"]),
            source(&["3_c.sql"]),
        ])
        .expect("the set is valid");
        assert_eq!((set.target_version(), set.migrations().len()), (3, 3));
        for (first, second, expected) in [
            (["1_a.sql", "3_c.sql"], "2_b.sql", "3_c.sql"),
            (["1_a.sql", "2_b.sql"], "2_c.sql", "same version"),
            (["1_a.sql", "b.sql"], "3_c.sql", "b.sql"),
        ] {
            let error = MigrationSet::from_sources(vec![source(&first), source(&[second])])
                .expect_err("the set is invalid")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn errors_name_the_missing_directory_or_the_unreadable_file() {
        let folder = tempfile::tempdir().expect("created a directory");
        let missing = folder.path().join("missing");
        let error = MigrationSet::from_directory(&missing)
            .expect_err("the directory does not exist")
            .to_string();
        assert!(error.contains("missing"), "{error}");
        fs::write(folder.path().join("0001_a.sql"), [0xff, 0xfe]).expect("written");
        let error = MigrationSet::from_directory(folder.path())
            .expect_err("the file is not UTF-8")
            .to_string();
        assert!(error.contains("0001_a.sql"), "{error}");
    }
}
