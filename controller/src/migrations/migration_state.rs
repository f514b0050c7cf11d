//! Compares the migrations applied to a database with a [`MigrationSet`]. Pure.

use super::applied::AppliedMigration;
use super::set::{Migration, MigrationSet};

/// The state of a database relative to a set of migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationState {
    /// All migrations are applied.
    UpToDate,
    /// Some migrations are missing and can be applied.
    Pending {
        /// The missing versions in order; at least one.
        versions: Vec<i64>,
    },
    /// A migration is applied that is newer than all of the set: a newer set was used before.
    Ahead {
        /// The highest applied version.
        version: i64,
    },
    /// An applied migration was changed afterwards.
    Changed {
        /// The lowest such version.
        version: i64,
        file: String,
        /// Whether the file has the recorded checksum with other line endings.
        only_line_endings: bool,
    },
    /// An applied migration is missing from the set.
    Missing {
        /// The lowest such version.
        version: i64,
    },
    /// A migration that runs in a transaction is recorded as unfinished. The controller never
    /// writes such a row and cannot know what the migration left behind.
    Dirty {
        /// The lowest such version.
        version: i64,
        file: String,
    },
}

/// Compares the applied migrations with `set`. Only selected migrations are pending; the database may
/// have others of the set as well.
///
/// `Ahead` takes precedence over all other findings, because an older set cannot judge a newer
/// database. An unfinished migration that runs outside a transaction is pending, because it can be
/// run again.
pub fn compare(applied: &[AppliedMigration], set: &MigrationSet) -> MigrationState {
    let mut applied: Vec<&AppliedMigration> = applied.iter().collect();
    applied.sort_by_key(|row| row.version);
    if let Some(last) = applied.last()
        && last.version > set.newest_version()
    {
        return MigrationState::Ahead {
            version: last.version,
        };
    }
    if let Some(row) = applied.iter().find(|row| set.get(row.version).is_none()) {
        return MigrationState::Missing {
            version: row.version,
        };
    }
    let known = || {
        applied
            .iter()
            .filter_map(|row| Some((*row, set.get(row.version)?)))
    };
    let file = |migration: &Migration| migration.file_name().to_owned();
    if let Some((row, migration)) =
        known().find(|(row, migration)| row.success && row.checksum != migration.checksum())
    {
        return MigrationState::Changed {
            version: row.version,
            file: file(migration),
            only_line_endings: migration.equals_except_line_endings(&row.checksum),
        };
    }
    if let Some((row, migration)) =
        known().find(|(row, migration)| !row.success && !migration.no_transaction())
    {
        return MigrationState::Dirty {
            version: row.version,
            file: file(migration),
        };
    }
    let is_applied = |version: i64| {
        applied
            .iter()
            .any(|row| row.version == version && row.success)
    };
    let versions: Vec<i64> = set
        .selected()
        .map(Migration::version)
        .filter(|version| !is_applied(*version))
        .collect();
    if versions.is_empty() {
        MigrationState::UpToDate
    } else {
        MigrationState::Pending { versions }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILES: [(&str, &str); 3] = [
        ("0001_a.sql", "select 1"),
        ("0002_b.sql", "-- no-transaction\nselect 2"),
        ("0004_c.sql", "select 4"),
    ];

    fn set() -> MigrationSet {
        MigrationSet::from_files(FILES).expect("a set")
    }

    fn row(version: i64) -> AppliedMigration {
        let checksum = set()
            .get(version)
            .map_or_else(Vec::new, |m| m.checksum().to_vec());
        AppliedMigration {
            version,
            success: true,
            checksum,
        }
    }

    fn unfinished(version: i64) -> AppliedMigration {
        AppliedMigration {
            success: false,
            ..row(version)
        }
    }

    fn changed(version: i64) -> AppliedMigration {
        AppliedMigration {
            checksum: vec![1],
            ..row(version)
        }
    }

    #[test]
    fn each_combination_of_rows_has_a_state() {
        let pending = |versions: &[i64]| MigrationState::Pending {
            versions: versions.to_vec(),
        };
        let of_file = |version: i64| {
            set()
                .get(version)
                .expect("the version exists")
                .file_name()
                .to_owned()
        };
        for (applied, expected) in [
            (vec![], pending(&[1, 2, 4])),
            (vec![row(1)], pending(&[2, 4])),
            (vec![row(4), row(1)], pending(&[2])),
            (vec![row(4), row(2), row(1)], MigrationState::UpToDate),
            (
                vec![row(1), row(2), row(4), row(5)],
                MigrationState::Ahead { version: 5 },
            ),
            (vec![row(9), row(5)], MigrationState::Ahead { version: 9 }),
            (
                vec![changed(1), row(3), row(5)],
                MigrationState::Ahead { version: 5 },
            ),
            (vec![row(1), row(3)], MigrationState::Missing { version: 3 }),
            (
                vec![row(0), changed(1)],
                MigrationState::Missing { version: 0 },
            ),
            (
                vec![changed(4), changed(1)],
                MigrationState::Changed {
                    version: 1,
                    file: of_file(1),
                    only_line_endings: false,
                },
            ),
            (
                vec![unfinished(1)],
                MigrationState::Dirty {
                    version: 1,
                    file: of_file(1),
                },
            ),
            (vec![row(1), unfinished(2)], pending(&[2, 4])),
            // A migration that never succeeded may be corrected in its file.
            (
                vec![
                    row(1),
                    AppliedMigration {
                        success: false,
                        ..changed(2)
                    },
                ],
                pending(&[2, 4]),
            ),
        ] {
            assert_eq!(compare(&applied, &set()), expected, "{applied:?}");
        }
    }

    #[test]
    fn a_difference_in_line_endings_only_is_recognized() {
        let file = |sql: &str| MigrationSet::from_files([("1_a.sql", sql)]).expect("a set");
        let (lf, crlf) = ("select 1;\n\nselect 2\n", "select 1;\r\n\r\nselect 2\r\n");
        for (recorded, current, expected) in [
            (lf, crlf, true),
            (crlf, lf, true),
            (lf, "select 1;\nselect 2\n", false),
        ] {
            let applied = AppliedMigration {
                version: 1,
                success: true,
                checksum: file(recorded).migrations()[0].checksum().to_vec(),
            };
            let state = compare(&[applied], &file(current));
            assert!(
                matches!(state, MigrationState::Changed { only_line_endings, .. } if only_line_endings == expected),
                "{recorded:?} {current:?}: {state:?}"
            );
        }
    }

    fn any_row() -> impl Strategy<Value = AppliedMigration> {
        (0_i64..7, any::<bool>(), any::<bool>()).prop_map(|(version, success, edited)| {
            AppliedMigration {
                success,
                ..if edited {
                    changed(version)
                } else {
                    row(version)
                }
            }
        })
    }

    proptest! {
        #[test]
        fn the_order_of_the_rows_does_not_matter(rows in prop::collection::vec(any_row(), 0..6).prop_shuffle()) {
            let mut reversed = rows.clone();
            reversed.reverse();
            // The primary key of the table rules out two rows with the same version.
            let mut versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
            versions.sort_unstable();
            versions.dedup();
            prop_assume!(versions.len() == rows.len());
            prop_assert_eq!(compare(&rows, &set()), compare(&reversed, &set()));
        }

        #[test]
        fn applying_pending_migrations_in_any_number_of_steps_ends_up_to_date(stop_after in 1_usize..4) {
            let mut applied = Vec::new();
            for _ in 0..4 {
                let MigrationState::Pending { versions } = compare(&applied, &set()) else { break };
                applied.extend(versions.into_iter().take(stop_after).map(row));
            }
            prop_assert_eq!(compare(&applied, &set()), MigrationState::UpToDate);
        }

        #[test]
        fn an_up_to_date_database_has_every_migration_with_its_checksum(rows in prop::collection::vec(any_row(), 0..6)) {
            if compare(&rows, &set()) == MigrationState::UpToDate {
                for migration in set().migrations() {
                    prop_assert!(rows.contains(&row(migration.version())));
                }
            }
        }
    }
}
