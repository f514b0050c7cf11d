use crds::{FindingCounts, FindingSeverity};
use serde_json::json;

use super::*;

fn set(files: &[(&str, &str)]) -> MigrationSet {
    MigrationSet::from_files(files.iter().copied()).unwrap()
}

/// A rollout of these versions.
fn rollout(versions: &[i64]) -> SchemaRollout {
    serde_json::from_value(json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "SchemaRollout",
        "metadata": { "name": "before" },
        "spec": {
            "className": "standard",
            "revision": 1,
            "target": { "version": 1, "digest": "d", "versions": versions },
        },
    }))
    .unwrap()
}

#[test]
fn the_plan_lists_the_files_that_the_completed_rollout_did_not_have() {
    let content = set(&[
        ("1_a.sql", "drop table old;"),
        ("2_b.sql", "create table notes (id bigint);"),
        (
            "3_c.sql",
            "create index on notes (id);\ndrop view v;\n\ndrop table old;",
        ),
    ]);
    let plan = rollout_plan(&content, Some(&rollout(&[1])));
    assert_eq!(plan.migrations, 2);
    assert_eq!(plan.files, ["2_b.sql", "3_c.sql"]);
    let found: Vec<(&str, i64, &str)> = plan
        .findings
        .iter()
        .map(|finding| (&*finding.file, finding.line, &*finding.rule))
        .collect();
    // The most severe first.
    assert_eq!(
        found,
        [
            ("3_c.sql", 4, "ban-drop-table"),
            ("3_c.sql", 1, "require-concurrent-index-creation"),
            ("3_c.sql", 2, "drop-object"),
        ]
    );
    let counts = FindingCounts {
        errors: 1,
        warnings: 2,
        notes: 0,
    };
    assert_eq!(
        (plan.finding_counts, plan.omitted_findings),
        (Some(counts), 0)
    );
    let all = rollout_plan(&content, None);
    let errors = all.finding_counts.map(|counts| counts.errors);
    assert_eq!((all.migrations, errors), (3, Some(2)));
}

#[test]
fn the_plan_of_a_large_change_is_bounded_and_counts_what_it_leaves_out() {
    let name = |version: usize| format!("{version}_step.sql");
    let files = (1..=200).map(|version| (name(version), "drop table a;\ncreate index on b (c);"));
    let plan = rollout_plan(&MigrationSet::from_files(files).unwrap(), None);
    assert_eq!(
        (plan.migrations, plan.files.len()),
        (200, MAX_PLANNED_FILES)
    );
    assert_eq!(plan.findings.len(), MAX_PLANNED_FINDINGS);
    let errors = |finding: &crds::MigrationFinding| finding.severity == FindingSeverity::Error;
    assert!(plan.findings.iter().all(errors), "{:?}", plan.findings);
    assert_eq!(plan.omitted_findings, 350);
    let counts = plan.finding_counts.unwrap();
    assert_eq!((counts.errors, counts.warnings), (200, 200));
}
