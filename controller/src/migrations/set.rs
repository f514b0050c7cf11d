//! The checked, ordered set of migrations that a tenant database is to have.
//!
//! Everything that can be known wrong without a database is refused when the set is made, so later steps cannot meet it:
//! two files of one version, SQL that would break out of its transaction, a set with nothing in it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::file_name;
use super::sources::MigrationSetError;
use super::statements::{self, Statement};

/// How many migrations a set may have.
pub(super) const MIGRATIONS_MAX: usize = 10_000;
/// How large the SQL of a set may be, in bytes.
pub(super) const SQL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a migration begins with that must not run in a transaction; sqlx's word.
const NO_TRANSACTION: &str = "-- no-transaction";

/// One migration, known to be well formed.
pub struct Migration {
    file_name: String,
    migration: Migration,
    statements: Vec<Statement>,
}

impl Migration {
    /// The number at the start of the file name; more than zero, and unique in the set.
    pub fn version(&self) -> i64 {
        self.migration.version
    }

    /// The rest of the file name, with spaces for `_`.
    pub fn description(&self) -> &str {
        &self.migration.description
    }

    /// The name of the file, or the key in the ConfigMap.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The text of the file.
    pub fn sql(&self) -> &str {
        self.migration.sql.as_str()
    }

    /// sqlx's checksum of the text (SHA-384).
    pub fn checksum(&self) -> &[u8] {
        &self.migration.checksum
    }

    /// Whether it must not run in a transaction; it is one statement then, and may be run twice.
    pub fn no_transaction(&self) -> bool {
        self.migration.no_tx
    }

    /// Its statements, in order; at least one.
    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Reads one file. `Ok(None)` where the name is not that of SQL.
    fn read(file_name: String, sql: String) -> Result<Option<Self>, MigrationSetError> {
        let name = match file_name::parse(&file_name) {
            Ok(Some(name)) => name,
            Ok(None) => return Ok(None),
            Err(why) => {
                return Err(MigrationSetError::BadName {
                    file: file_name,
                    why,
                });
            }
        };
        let no_transaction = sql.starts_with(NO_TRANSACTION);
        let statements = check(&file_name, &sql, no_transaction)?;
        let migration = Migration::new(
            name.version,
            name.description.into(),
            MigrationType::Simple,
            // Running text that came from a file is what a migrator is for.
            AssertSqlSafe(sql).into_sql_str(),
            no_transaction,
        );
        Ok(Some(Self {
            file_name,
            migration,
            statements,
        }))
    }
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name)
    }
}

/// The statements of a file, if it keeps the rules.
fn check(file: &str, sql: &str, no_transaction: bool) -> Result<Vec<Statement>, MigrationSetError> {
    if let Some(at) = sql.find('\0') {
        let line = 1 + sql[..at].matches('\n').count();
        return Err(MigrationSetError::Forbidden {
            file: file.to_owned(),
            line,
            what: "a zero byte",
        });
    }
    let found = statements::split(sql).map_err(|open| MigrationSetError::Unterminated {
        file: file.to_owned(),
        line: open.line,
        what: open.what,
    })?;
    for statement in &found {
        let what = match statement.head.first().map_or("", String::as_str) {
            _ if statement.copies_from_client => "COPY ... FROM stdin, for which nothing is sent",
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
            | "RELEASE" => "transaction control, but the file is one transaction already",
            "PREPARE"
                if statement
                    .head
                    .get(1)
                    .is_some_and(|word| word == "TRANSACTION") =>
            {
                "transaction control, but the file is one transaction already"
            }
            "\\" => "a command of psql's",
            _ => continue,
        };
        return Err(MigrationSetError::Forbidden {
            file: file.to_owned(),
            line: statement.line,
            what,
        });
    }
    match found.len() {
        0 => Err(MigrationSetError::NoStatement {
            file: file.to_owned(),
        }),
        1 => Ok(found),
        count if no_transaction => Err(MigrationSetError::NotOneStatement {
            file: file.to_owned(),
            count,
        }),
        _ => Ok(found),
    }
}

/// The migrations of a schema, in order; never empty. Cloning is cheap.
#[derive(Clone)]
pub struct MigrationSet(Arc<Inner>);

struct Inner {
    migrations: Vec<Migration>,
    /// The digest up to and with the migration at the same place.
    digests: Vec<String>,
    target_version: i64,
}

impl MigrationSet {
    /// A set of (file name, text) pairs, such as a ConfigMap's `data`, in any order. Names that do not end in `.sql` are left
    /// out.
    pub fn from_files<N, T>(files: impl IntoIterator<Item = (N, T)>) -> Result<Self, MigrationSetError>
    where
        N: Into<String>,
        T: Into<String>,
    {
        let mut migrations: Vec<Migration> = Vec::new();
        let mut bytes = 0_usize;
        for (name, text) in files {
            let text = text.into();
            let length = text.len();
            let Some(migration) = Migration::read(name.into(), text)? else {
                continue;
            };
            bytes = bytes.saturating_add(length);
            migrations.push(migration);
            if migrations.len() > MIGRATIONS_MAX || bytes > SQL_BYTES_MAX {
                return Err(MigrationSetError::TooLarge);
            }
        }
        migrations.sort_by_key(Migration::version);
        if let Some([first, second]) = migrations
            .array_windows()
            .find(|[a, b]| a.version() == b.version())
        {
            let mut files = [first.file_name.clone(), second.file_name.clone()];
            files.sort();
            let [first, second] = files;
            return Err(MigrationSetError::DuplicateVersion { first, second });
        }
        let Some(target_version) = migrations.last().map(Migration::version) else {
            return Err(MigrationSetError::Empty);
        };
        let digests = digests(&migrations);
        Ok(Self(Arc::new(Inner {
            migrations,
            digests,
            target_version,
        })))
    }

    /// Every migration, in the order in which they run.
    pub fn migrations(&self) -> &[Migration] {
        &self.0.migrations
    }

    /// The migration of that version.
    pub fn get(&self, version: i64) -> Option<&Migration> {
        let found = self
            .0
            .migrations
            .binary_search_by_key(&version, Migration::version);
        found.ok().and_then(|at| self.0.migrations.get(at))
    }

    /// The version that the set leads to: its highest.
    pub fn target_version(&self) -> i64 {
        self.0.target_version
    }

    /// `sha256:...` over versions and checksums. The same for the same migrations, wherever they come from.
    pub fn digest(&self) -> &str {
        self.0.digests.last().map_or("", String::as_str)
    }

    /// The digest over the migrations up to and with this version; what [`MigrationSet::digest`] would be if they were all. `None` where there
    /// are none.
    pub fn digest_up_to(&self, version: i64) -> Option<&str> {
        let count = self
            .0
            .migrations
            .partition_point(|migration| migration.version() <= version);
        let digest = self.0.digests.get(count.checked_sub(1)?)?;
        Some(digest)
    }
}

fn digests(migrations: &[Migration]) -> Vec<String> {
    let mut running = Sha256::new();
    migrations
        .iter()
        .map(|migration| {
            running.update(migration.version().to_be_bytes());
            running.update(migration.checksum());
            format!("sha256:{}", hex(&running.clone().finalize()))
        })
        .collect()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl PartialEq for MigrationSet {
    /// The same versions with the same checksums.
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for MigrationSet {}

impl fmt::Debug for MigrationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the SQL: a set stands in many a Debug of something larger.
        f.debug_list().entries(&self.0.migrations).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> Result<MigrationSet, MigrationSetError> {
        MigrationSet::from_files(files.iter().copied())
    }

    fn refused(files: &[(&str, &str)]) -> String {
        set(files).expect_err("it should be refused").to_string()
    }

    #[test]
    fn files_are_ordered_by_number_and_not_by_name() {
        let set = set(&[
            ("10_c.sql", "select 3"),
            ("9_b.sql", "select 2"),
            ("0001_a.sql", "select 1"),
        ])
        .expect("a set");
        let names: Vec<_> = set
            .migrations()
            .iter()
            .map(Migration::file_name)
            .collect();
        assert_eq!(names, ["0001_a.sql", "9_b.sql", "10_c.sql"]);
        assert_eq!(set.target_version(), 10);
        assert_eq!(set.get(9).map(Migration::description), Some("b"));
        assert!(set.get(2).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        assert!(refused(&[]).contains("no migration"));
        assert!(refused(&[("README.md", "hello")]).contains("no migration"));
        let two = refused(&[("1_b.sql", "select 1"), ("0001_a.sql", "select 1")]);
        assert!(
            two.contains("0001_a.sql") && two.contains("1_b.sql"),
            "{two}"
        );
        for (sql, words) in [
            ("", "no statement"),
            ("-- nothing\n;;", "no statement"),
            ("-- no-transaction\nselect 1; select 2", "2 statements"),
            ("select 1;\ncommit", "line 2"),
            ("select 1;\nprepare transaction 'a'", "line 2"),
            ("\\c other", "psql"),
            ("copy a from stdin;\n1\t2\n\\.", "COPY"),
            ("select 1;\nselect 'a", "line 2"),
            ("select 1;\n\0", "zero byte"),
        ] {
            let error = refused(&[("0001_a.sql", sql)]);
            assert!(
                error.contains("0001_a.sql") && error.contains(words),
                "{sql:?}: {error}"
            );
        }
        assert!(refused(&[("a.sql", "select 1")]).contains("a.sql"));
    }

    #[test]
    fn one_statement_may_do_without_a_transaction() {
        let set = set(&[("1_a.sql", "-- no-transaction\n-- why\nselect 1;\n")]).expect("a set");
        assert!(set.migrations()[0].no_transaction());
    }

    #[test]
    fn the_digest_follows_versions_and_text_and_nothing_else() {
        let one = set(&[("1_a.sql", "select 1"), ("2_b.sql", "select 2")]).expect("a set");
        let renamed = set(&[
            ("0002_x.sql", "select 2"),
            ("0001_y.sql", "select 1"),
            ("NOTES", ""),
        ])
        .expect("a set");
        let edited = set(&[("1_a.sql", "select 1 "), ("2_b.sql", "select 2")]).expect("a set");
        let moved = set(&[("1_a.sql", "select 1"), ("3_b.sql", "select 2")]).expect("a set");
        assert_eq!(one, renamed);
        assert_ne!(one, edited);
        assert_ne!(one, moved);
        assert!(one.digest().starts_with("sha256:") && one.digest().len() == 7 + 64);
    }

    #[test]
    fn the_digest_up_to_a_version_is_that_of_the_shorter_set() {
        let long = set(&[("1_a.sql", "select 1"), ("5_b.sql", "select 2")]).expect("a set");
        let short = set(&[("1_a.sql", "select 1")]).expect("a set");
        assert_eq!(long.digest_up_to(0), None);
        for version in [1, 2, 4] {
            assert_eq!(
                long.digest_up_to(version),
                Some(short.digest()),
                "{version}"
            );
        }
        for version in [5, 6, i64::MAX] {
            assert_eq!(long.digest_up_to(version), Some(long.digest()), "{version}");
        }
    }
}
