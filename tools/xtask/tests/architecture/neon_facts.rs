//! Compares the tests that docs/neon-facts.md names with the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::workspace;

const FOLDERS: [&str; 5] = ["app", "controller", "crates", "crds", "tests"];
/// What a row says that no test covers.
const WITHOUT_TEST: &str = "deliberately not";
/// The column of the tests.
const TESTS: &str = "Test, or the reason for none";

#[test]
fn each_fact_about_neon_names_a_test_or_the_reason_for_none() {
    let root = workspace();
    let page = fs::read_to_string(root.join("docs/neon-facts.md")).expect("read the facts");
    let mut functions = BTreeSet::new();
    for folder in FOLDERS {
        collect_functions(&root.join(folder), &mut functions);
    }
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|line| !line.contains(TESTS));
    let mut count = 0;
    for row in rows {
        let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next();
        let cell = cell.unwrap_or_default();
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(
            !tests.is_empty() || cell.starts_with(WITHOUT_TEST),
            "the row names no test: {row}"
        );
        for test in tests {
            assert!(
                functions.contains(test) || !is_test_name(test),
                "there is no test {test}: {row}"
            );
        }
        count += 1;
    }
    assert!(count > 40, "only {count} facts were found");
}

/// Whether the name is a sentence, unlike the name of a setting.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() > 1
}

fn collect_functions(folder: &Path, functions: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("read a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect_functions(&path, functions);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("read a source file");
            let names = source.lines().filter_map(|line| {
                let (_, rest) = line.split_once("fn ")?;
                let end = rest.find(['(', '<'])?;
                Some(rest[..end].to_owned())
            });
            functions.extend(names);
        }
    }
}
