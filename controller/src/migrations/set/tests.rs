use super::*;

fn set(files: &[(&str, &str)]) -> Result<MigrationSet, MigrationSetError> {
    MigrationSet::from_files(files.iter().copied())
}

fn error_of(files: &[(&str, &str)]) -> String {
    set(files).expect_err("the set is invalid").to_string()
}

#[test]
fn a_selection_applies_only_its_migrations_and_knows_all() {
    let files = [
        ("1_a.sql", "select 1"),
        ("2_b.sql", "select 2"),
        ("4_d.sql", "select 4"),
    ];
    let before = set(&[files[0], files[2]]).expect("the set is valid");
    let after = set(&files).expect("the set is valid");
    let selected = after
        .select(&[4, 1], before.digest())
        .expect("the content contains the earlier one");
    assert_eq!(selected.digest(), before.digest());
    assert_eq!(
        selected
            .selected()
            .map(Migration::version)
            .collect::<Vec<_>>(),
        [1, 4]
    );
    assert_eq!(
        (selected.target_version(), selected.newest_version()),
        (4, 4)
    );
    assert!(selected.get(2).is_some());
    let first = after.digest_up_to(1).expect("a digest").to_owned();
    let first = after.select_up_to(1, &first).expect("a selection");
    assert_eq!((first.target_version(), first.newest_version()), (1, 4));
    let changed = set(&[files[0], ("4_d.sql", "select 5")]).expect("the set is valid");
    assert!(changed.select(&[1, 4], before.digest()).is_none());
    assert!(changed.select_up_to(4, before.digest()).is_none());
    assert!(after.select(&[1, 3], before.digest()).is_none());
}

#[test]
fn migrations_are_ordered_by_version_and_not_by_name() {
    let set = set(&[
        ("10_c.sql", "select 3"),
        ("9_b.sql", "select 2"),
        ("0001_a.sql", "select 1"),
    ])
    .expect("the set is valid");
    let names: Vec<_> = set.migrations().iter().map(Migration::file_name).collect();
    assert_eq!(names, ["0001_a.sql", "9_b.sql", "10_c.sql"]);
    assert_eq!(set.target_version(), 10);
    assert_eq!(set.get(9).map(Migration::description), Some("b"));
    assert!(set.get(2).is_none());
}

#[test]
fn errors_name_the_file_and_the_problem() {
    assert!(error_of(&[]).contains("no migrations"));
    assert!(error_of(&[("README.md", "hello")]).contains("no migrations"));
    let duplicate = error_of(&[("1_b.sql", "select 1"), ("0001_a.sql", "select 1")]);
    assert!(
        duplicate.contains("0001_a.sql") && duplicate.contains("1_b.sql"),
        "{duplicate}"
    );
    for (sql, expected) in [
        ("", "no SQL statement"),
        ("-- nothing\n;;", "no SQL statement"),
        ("-- no-transaction\nselect 1; select 2", "got 2"),
        ("select 1;\ncommit", "line 2"),
        ("select 1;\nprepare transaction 'a'", "line 2"),
        ("\\c other", "psql"),
        ("copy a from stdin;\n1\t2\n\\.", "COPY"),
        ("select 1;\nselect 'a", "line 2"),
        ("select 1;\n\0", "zero byte"),
    ] {
        let error = error_of(&[("0001_a.sql", sql)]);
        assert!(
            error.contains("0001_a.sql") && error.contains(expected),
            "{sql:?}: {error}"
        );
    }
    assert!(error_of(&[("a.sql", "select 1")]).contains("a.sql"));
}

#[test]
fn a_single_statement_may_run_outside_a_transaction() {
    let set =
        set(&[("1_a.sql", "-- no-transaction\n-- why\nselect 1;\n")]).expect("the set is valid");
    assert!(set.migrations()[0].no_transaction());
}

#[test]
fn the_digest_depends_only_on_versions_and_sql() {
    let one = set(&[("1_a.sql", "select 1"), ("2_b.sql", "select 2")]).expect("the set is valid");
    let renamed = set(&[
        ("0002_x.sql", "select 2"),
        ("0001_y.sql", "select 1"),
        ("NOTES", ""),
    ])
    .expect("the set is valid");
    let edited =
        set(&[("1_a.sql", "select 1 "), ("2_b.sql", "select 2")]).expect("the set is valid");
    let moved = set(&[("1_a.sql", "select 1"), ("3_b.sql", "select 2")]).expect("the set is valid");
    assert_eq!(one, renamed);
    assert_ne!(one, edited);
    assert_ne!(one, moved);
    assert!(one.digest().starts_with("sha256:") && one.digest().len() == 7 + 64);
}

#[test]
fn the_digest_up_to_a_version_equals_the_digest_of_the_shorter_set() {
    let long = set(&[("1_a.sql", "select 1"), ("5_b.sql", "select 2")]).expect("the set is valid");
    let short = set(&[("1_a.sql", "select 1")]).expect("the set is valid");
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
