//! Compares a database with a [`MigrationSet`], purely.

use super::applied::AppliedMigration;
use super::set::{Migration, MigrationSet};

/// How a database stands to a set of migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationState {
    /// It has them all.
    UpToDate,
    /// It lacks these, and nothing is in their way.
    Pending {
        /// Their versions, in the order in which they are to run; at least one.
        versions: Vec<i64>,
    },
    /// It has one that is newer than the whole set: somebody with a newer set was here.
    Ahead {
        /// The highest version that it has.
        version: i64,
    },
    /// A migration that it has was changed afterwards.
    Changed {
        /// The lowest such version.
        version: i64,
        /// Its file in the set.
        file: String,
    },
    /// It has a migration that the set leaves out.
    Missing {
        /// The lowest such version.
        version: i64,
    },
    /// A migration is marked as begun and not finished, though it should be all or nothing: not our doing, and not ours to
    /// guess.
    Dirty {
        /// The lowest such version.
        version: i64,
        /// Its file in the set.
        file: String,
    },
}

/// Compares what a database has with `set`.
///
/// A database that is ahead is left alone whatever else there is: an older set cannot judge it. A migration outside a
/// transaction that was begun and not finished is simply pending, since it may be run twice.
pub fn compare(applied: &[AppliedMigration], set: &MigrationSet) -> MigrationState {
    let mut applied: Vec<&AppliedMigration> = applied.iter().collect();
    applied.sort_by_key(|row| row.version);
    if let Some(last) = applied.last()
        && last.version > set.target_version()
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
    let done = |version: i64| {
        applied
            .iter()
            .any(|row| row.version == version && row.success)
    };
    let versions: Vec<i64> = set
        .migrations()
        .iter()
        .map(Migration::version)
        .filter(|version| !done(*version))
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
    fn each_state_of_a_database_has_its_diagnosis() {
        let pending = |versions: &[i64]| MigrationState::Pending {
            versions: versions.to_vec(),
        };
        let of_file = |version: i64| set().get(version).expect("known").file_name().to_owned();
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
            (vec![row(0), changed(1)], MigrationState::Missing { version: 0 }),
            (
                vec![changed(4), changed(1)],
                MigrationState::Changed {
                    version: 1,
                    file: of_file(1),
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
            // What never went through may be mended in its file.
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
        fn the_order_of_rows_does_not_matter(rows in prop::collection::vec(any_row(), 0..6).prop_shuffle()) {
            let mut reversed = rows.clone();
            reversed.reverse();
            // Rows of one version would be told apart by order alone; the table's primary key rules them out.
            let mut versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
            versions.sort_unstable();
            versions.dedup();
            prop_assume!(versions.len() == rows.len());
            prop_assert_eq!(compare(&rows, &set()), compare(&reversed, &set()));
        }

        #[test]
        fn applying_what_is_pending_in_any_steps_ends_up_to_date(stop_after in 1_usize..4) {
            let mut applied = Vec::new();
            for _ in 0..4 {
                let MigrationState::Pending { versions } = compare(&applied, &set()) else { break };
                applied.extend(versions.into_iter().take(stop_after).map(row));
            }
            prop_assert_eq!(compare(&applied, &set()), MigrationState::UpToDate);
        }

        #[test]
        fn up_to_date_means_every_migration_with_its_own_checksum(rows in prop::collection::vec(any_row(), 0..6)) {
            if compare(&rows, &set()) == MigrationState::UpToDate {
                for migration in set().migrations() {
                    prop_assert!(rows.contains(&row(migration.version())));
                }
            }
        }
    }
}
