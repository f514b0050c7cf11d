//! The validated, ordered set of migrations that a tenant database should have.
//!
//! Creating a set checks everything that can be checked without a database, so that later steps
//! need not: duplicate versions, SQL that would leave its transaction, an empty set.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha384};
use sqlx::migrate::{Migration as SqlxMigration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::file_name;
use super::limits::{MAX_MIGRATIONS, MAX_SQL_BYTES};
use super::set_error::MigrationSetError;
use super::statements::{self, InvalidSql, SqlProblem, Statement};

/// sqlx's marker, at the start of a file, for a migration that must not run in a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

pub struct Migration {
    file_name: String,
    inner: SqlxMigration,
    statements: Vec<Statement>,
}

impl Migration {
    /// The number at the start of the file name; not negative, and unique in the set.
    pub fn version(&self) -> i64 {
        self.inner.version
    }

    /// The rest of the file name, with each `_` replaced by a space.
    pub fn description(&self) -> &str {
        &self.inner.description
    }

    /// The name of the file, or the key in the ConfigMap.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    pub fn sql(&self) -> &str {
        self.inner.sql.as_str()
    }

    /// SHA-384 of the SQL, as in `_sqlx_migrations`.
    pub fn checksum(&self) -> &[u8] {
        &self.inner.checksum
    }

    /// Whether the SQL has this checksum with LF or CRLF as its line endings.
    pub(super) fn equals_except_line_endings(&self, checksum: &[u8]) -> bool {
        let lf = self.sql().replace("\r\n", "\n");
        let crlf = lf.replace('\n', "\r\n");
        [lf, crlf]
            .iter()
            .any(|sql| Sha384::digest(sql)[..] == *checksum)
    }

    /// Whether the migration must not run in a transaction. It then consists of one statement,
    /// which must be safe to run twice.
    pub fn no_transaction(&self) -> bool {
        self.inner.no_tx
    }

    /// The statements in order; at least one.
    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Returns `Ok(None)` for a file that is not SQL.
    fn parse(file_name: String, sql: String) -> Result<Option<Self>, MigrationSetError> {
        let name = match file_name::parse(&file_name) {
            Ok(Some(name)) => name,
            Ok(None) => return Ok(None),
            Err(problem) => {
                return Err(MigrationSetError::InvalidFileName {
                    file: file_name,
                    problem,
                });
            }
        };
        let no_transaction = sql.starts_with(NO_TRANSACTION);
        let statements = parse_statements(&file_name, &sql, no_transaction)?;
        let inner = SqlxMigration::new(
            name.version,
            name.description.into(),
            MigrationType::Simple,
            // A migration is SQL from a file by definition.
            AssertSqlSafe(sql).into_sql_str(),
            no_transaction,
        );
        Ok(Some(Self {
            file_name,
            inner,
            statements,
        }))
    }
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name)
    }
}

/// Splits a file into statements and rejects those that a migration must not contain.
fn parse_statements(
    file: &str,
    sql: &str,
    no_transaction: bool,
) -> Result<Vec<Statement>, MigrationSetError> {
    if let Some(at) = sql.find('\0') {
        let line = statements::line_of(sql, 1 + sql[..at].chars().count());
        return Err(MigrationSetError::Forbidden {
            file: file.to_owned(),
            line,
            what: "a zero byte",
        });
    }
    let statements = statements::split(sql).map_err(|InvalidSql { line, problem }| {
        let file = file.to_owned();
        match problem {
            SqlProblem::Unterminated(what) => MigrationSetError::Unterminated { file, line, what },
            SqlProblem::Forbidden(what) => MigrationSetError::Forbidden { file, line, what },
        }
    })?;
    match statements.len() {
        0 => Err(MigrationSetError::NoStatement {
            file: file.to_owned(),
        }),
        1 => Ok(statements),
        count if no_transaction => Err(MigrationSetError::MultipleStatements {
            file: file.to_owned(),
            count,
        }),
        _ => Ok(statements),
    }
}

/// The migrations in order. Cloning is cheap.
///
/// A selection of a set knows all migrations, so that a database may have more than the selected
/// ones, but only these are applied.
#[derive(Clone)]
pub struct MigrationSet {
    all: Arc<SetInner>,
    /// `None` selects all migrations.
    selection: Option<Arc<Selection>>,
}

struct Selection {
    /// In order; at least one.
    versions: Vec<i64>,
    digest: String,
}

struct SetInner {
    migrations: Vec<Migration>,
    /// For each migration, the digest over all migrations up to and including it.
    digests: Vec<String>,
    target_version: i64,
}

impl MigrationSet {
    /// Creates a set from pairs of file name and content, such as a ConfigMap's `data`, in any
    /// order. Skips names that do not end in `.sql`.
    pub fn from_files<N, T>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, MigrationSetError>
    where
        N: Into<String>,
        T: Into<String>,
    {
        let mut migrations: Vec<Migration> = Vec::new();
        let mut bytes = 0_usize;
        for (name, sql) in files {
            let sql = sql.into();
            let length = sql.len();
            let Some(migration) = Migration::parse(name.into(), sql)? else {
                continue;
            };
            bytes = bytes.saturating_add(length);
            migrations.push(migration);
            if migrations.len() > MAX_MIGRATIONS || bytes > MAX_SQL_BYTES {
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
        Ok(Self::whole(SetInner {
            migrations,
            digests,
            target_version,
        }))
    }

    fn whole(all: SetInner) -> Self {
        Self {
            all: Arc::new(all),
            selection: None,
        }
    }

    /// A set without migrations: the controller does not manage the schema.
    pub fn unmanaged() -> Self {
        Self::whole(SetInner {
            migrations: Vec::new(),
            digests: Vec::new(),
            target_version: 0,
        })
    }

    /// The selection of these versions. `None` if the set lacks one of them, or if their content does
    /// not have this digest: a file was changed or removed.
    pub fn select(&self, versions: &[i64], digest: &str) -> Option<Self> {
        let mut versions = versions.to_vec();
        versions.sort_unstable();
        versions.dedup();
        if versions.is_empty() || self.digest_of(&versions)? != digest {
            return None;
        }
        let digest = digest.to_owned();
        Some(Self {
            all: self.all.clone(),
            selection: Some(Arc::new(Selection { versions, digest })),
        })
    }

    /// The selection of the migrations up to a version. `None` if their content does not have this
    /// digest.
    pub fn select_up_to(&self, version: i64, digest: &str) -> Option<Self> {
        if self.digest_up_to(version)? != digest {
            return None;
        }
        let versions: Vec<i64> = self.versions().filter(|one| *one <= version).collect();
        self.select(&versions, digest)
    }

    /// Whether the controller does not manage the schema.
    pub fn is_empty(&self) -> bool {
        self.all.migrations.is_empty()
    }

    /// All migrations in order, including those that are not selected.
    pub fn migrations(&self) -> &[Migration] {
        &self.all.migrations
    }

    /// The versions of all migrations in order.
    pub fn versions(&self) -> impl Iterator<Item = i64> + '_ {
        self.all.migrations.iter().map(Migration::version)
    }

    /// The migrations to apply, in the order in which they run.
    pub fn selected(&self) -> impl Iterator<Item = &Migration> {
        let selection = self.selection.as_deref();
        self.all.migrations.iter().filter(move |migration| {
            selection.is_none_or(|selection| {
                let version = migration.version();
                selection.versions.binary_search(&version).is_ok()
            })
        })
    }

    pub fn get(&self, version: i64) -> Option<&Migration> {
        let index = self
            .all
            .migrations
            .binary_search_by_key(&version, Migration::version);
        index.ok().and_then(|index| self.all.migrations.get(index))
    }

    /// The highest selected version; 0 for an empty set.
    pub fn target_version(&self) -> i64 {
        self.selection
            .as_ref()
            .and_then(|selection| selection.versions.last().copied())
            .unwrap_or(self.all.target_version)
    }

    /// The highest version, whether it is selected or not; 0 for an empty set.
    pub fn newest_version(&self) -> i64 {
        self.all.target_version
    }

    /// `sha256:...` over the versions and checksums of the selected migrations. It does not depend on
    /// the source of the migrations or on their descriptions.
    pub fn digest(&self) -> &str {
        match &self.selection {
            Some(selection) => &selection.digest,
            None => self.all.digests.last().map_or("", String::as_str),
        }
    }

    /// The digest of all migrations up to this version. `None` if the set has no migration up to
    /// this version.
    pub fn digest_up_to(&self, version: i64) -> Option<&str> {
        let count = self
            .all
            .migrations
            .partition_point(|migration| migration.version() <= version);
        let digest = self.all.digests.get(count.checked_sub(1)?)?;
        Some(digest)
    }

    /// The digest of these versions, which are in order. `None` if the set lacks one of them.
    pub fn digest_of(&self, versions: &[i64]) -> Option<String> {
        let mut hasher = Sha256::new();
        for version in versions {
            update(&mut hasher, self.get(*version)?);
        }
        Some(text(hasher))
    }
}

fn digests(migrations: &[Migration]) -> Vec<String> {
    let mut hasher = Sha256::new();
    migrations
        .iter()
        .map(|migration| {
            update(&mut hasher, migration);
            text(hasher.clone())
        })
        .collect()
}

fn update(hasher: &mut Sha256, migration: &Migration) {
    hasher.update(migration.version().to_be_bytes());
    hasher.update(migration.checksum());
}

fn text(hasher: Sha256) -> String {
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

impl PartialEq for MigrationSet {
    /// Two sets are equal if they have the same versions with the same checksums.
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for MigrationSet {}

impl fmt::Debug for MigrationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the SQL, because the debug output of larger values contains sets.
        f.debug_list().entries(self.selected()).finish()
    }
}

#[cfg(test)]
mod tests;
