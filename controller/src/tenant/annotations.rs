//! Reads the annotations of a Tenant that have an effect. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crds::{GROUP, annotations};
use jiff::Timestamp;
use neon_client::ids::ProjectId;

/// Longest value that requests a reconciliation, in bytes. It is copied into the status.
const MAX_RECONCILE_AT_BYTES: usize = 128;
/// Longest part of a name or value in a warning, in characters.
const MAX_QUOTED_CHARS: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantAnnotations {
    /// Whether the finalizer may be removed although the project remains.
    pub orphan: bool,
    /// The duplicate project that the user wants to be deleted.
    pub delete_duplicate: Option<ProjectId>,
    /// The Tenant's project or, for a Tenant without one, the project to take back.
    pub project: Option<ProjectId>,
    /// Projects of earlier Tenants that the Tenant does not take back.
    pub ignored_projects: BTreeSet<ProjectId>,
    /// A changed value requests a reconciliation.
    pub reconcile_at: Option<String>,
    /// When the application last used the database.
    pub used_at: Option<Timestamp>,
    /// Warnings about annotations that are ignored because their name or value is invalid.
    pub problems: Vec<String>,
}

impl TenantAnnotations {
    pub fn read(all: &BTreeMap<String, String>) -> Self {
        let mut read = Self::default();
        for (name, value) in all {
            match name.as_str() {
                annotations::ORPHAN => read.read_orphan(value),
                annotations::RECONCILE_AT => read.read_reconcile_at(value),
                annotations::DELETE_DUPLICATE => {
                    read.delete_duplicate = read.project_id(annotations::DELETE_DUPLICATE, value);
                }
                annotations::PROJECT_ID => {
                    read.project = read.project_id(annotations::PROJECT_ID, value);
                }
                annotations::IGNORE_PROJECT => read.read_ignored_projects(value),
                annotations::USED_AT => read.read_used_at(value),
                _ => read.problems.extend(near_miss(name)),
            }
        }
        read
    }

    fn read_orphan(&mut self, value: &str) {
        match value {
            "true" => self.orphan = true,
            "false" | "" => {}
            _ => self.problems.push(format!(
                "annotation {} is ignored: its value must be \"true\" (got {:?})",
                annotations::ORPHAN,
                shortened(value),
            )),
        }
    }

    fn read_ignored_projects(&mut self, value: &str) {
        for id in value.split(',') {
            if let Some(id) = self.project_id(annotations::IGNORE_PROJECT, id.trim()) {
                self.ignored_projects.insert(id);
            }
        }
    }

    fn project_id(&mut self, annotation: &str, value: &str) -> Option<ProjectId> {
        let id = value.trim().parse().ok();
        if id.is_none() {
            self.problems.push(format!(
                "annotation {annotation} is ignored: its value must be the id of a Neon project (got {:?})",
                shortened(value),
            ));
        }
        id
    }

    fn read_used_at(&mut self, value: &str) {
        self.used_at = value.parse().ok();
        if self.used_at.is_none() {
            self.problems.push(format!(
                "annotation {} is ignored: its value must be a time such as 2026-01-01T00:00:00Z (got {:?})",
                annotations::USED_AT,
                shortened(value),
            ));
        }
    }

    fn read_reconcile_at(&mut self, value: &str) {
        if value.len() <= MAX_RECONCILE_AT_BYTES {
            self.reconcile_at = Some(value.to_owned());
        } else {
            self.problems.push(format!(
                "annotation {} is ignored: its value must have at most {MAX_RECONCILE_AT_BYTES} bytes (got {}); use, for \
                 example, the current time",
                annotations::RECONCILE_AT,
                value.len(),
            ));
        }
    }
}

/// A warning about a name that differs from an annotation's only in its prefix, its case or its
/// separators.
fn near_miss(name: &str) -> Option<String> {
    let (prefix, suffix) = name.split_once('/').unwrap_or(("", name));
    if !prefix.is_empty() && !prefix.eq_ignore_ascii_case(GROUP) {
        return None;
    }
    let meant = [
        annotations::ORPHAN,
        annotations::RECONCILE_AT,
        annotations::DELETE_DUPLICATE,
        annotations::PROJECT_ID,
        annotations::IGNORE_PROJECT,
        annotations::USED_AT,
    ]
    .into_iter()
    .find(|known| {
        let known = known.split_once('/').map_or("", |(_, suffix)| suffix);
        letters(known) == letters(suffix)
    })?;
    Some(format!(
        "annotation {:?} is ignored: did you mean {meant}?",
        shortened(name)
    ))
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> TenantAnnotations {
        TenantAnnotations::read(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn only_the_exact_annotation_has_an_effect() {
        assert!(read(annotations::ORPHAN, "true").orphan);
        let mut problems = Vec::new();
        for (name, value) in [
            (annotations::ORPHAN, "True"),
            (annotations::ORPHAN, "yes"),
            (annotations::ORPHAN, " true"),
            ("dbpertenant.dev/Orphan", "true"),
            (annotations::DELETE_DUPLICATE, "calm sea"),
            (annotations::PROJECT_ID, "Calm Sea"),
            (annotations::IGNORE_PROJECT, "calm-sea-1, Calm Sea"),
            (annotations::USED_AT, "yesterday"),
            ("dbpertenant.dev/projectId", "calm-sea-1"),
            ("orphan", "true"),
            ("dbpertenant.dev/reconcile_at", "now"),
            ("DBperTenant.dev/reconcileAt", "now"),
        ] {
            let read = read(name, value);
            assert!(
                !read.orphan && read.reconcile_at.is_none(),
                "{name}={value}"
            );
            assert_eq!(read.problems.len(), 1, "{name}={value}");
            problems.extend(read.problems);
        }
        insta::assert_snapshot!(problems.join("\n"), @r#"
        annotation dbpertenant.dev/orphan is ignored: its value must be "true" (got "True")
        annotation dbpertenant.dev/orphan is ignored: its value must be "true" (got "yes")
        annotation dbpertenant.dev/orphan is ignored: its value must be "true" (got " true")
        annotation "dbpertenant.dev/Orphan" is ignored: did you mean dbpertenant.dev/orphan?
        annotation dbpertenant.dev/delete-duplicate is ignored: its value must be the id of a Neon project (got "calm sea")
        annotation dbpertenant.dev/project-id is ignored: its value must be the id of a Neon project (got "Calm Sea")
        annotation dbpertenant.dev/ignore-project is ignored: its value must be the id of a Neon project (got "Calm Sea")
        annotation dbpertenant.dev/used-at is ignored: its value must be a time such as 2026-01-01T00:00:00Z (got "yesterday")
        annotation "dbpertenant.dev/projectId" is ignored: did you mean dbpertenant.dev/project-id?
        annotation "orphan" is ignored: did you mean dbpertenant.dev/orphan?
        annotation "dbpertenant.dev/reconcile_at" is ignored: did you mean dbpertenant.dev/reconcile-at?
        annotation "DBperTenant.dev/reconcileAt" is ignored: did you mean dbpertenant.dev/reconcile-at?
        "#);
    }

    #[test]
    fn projects_are_named_by_their_ids() {
        let id = |text: &str| -> ProjectId { text.parse().unwrap() };
        assert_eq!(
            read(annotations::PROJECT_ID, "calm-sea-1").project,
            Some(id("calm-sea-1"))
        );
        assert_eq!(
            read(annotations::IGNORE_PROJECT, "calm-sea-1, late-sea-2").ignored_projects,
            [id("calm-sea-1"), id("late-sea-2")].into()
        );
    }

    #[test]
    fn other_annotations_are_not_reported() {
        for (name, value) in [
            (annotations::ORPHAN, "false"),
            ("example.com/orphan", "true"),
            ("kubectl.kubernetes.io/restartedAt", "now"),
        ] {
            assert_eq!(read(name, value), TenantAnnotations::default(), "{name}");
        }
    }

    #[test]
    fn a_long_value_does_not_reach_the_status() {
        let short = "2026-01-01T00:00:00Z";
        let read_short = read(annotations::RECONCILE_AT, short);
        assert_eq!(read_short.reconcile_at.as_deref(), Some(short));
        let read_long = read(annotations::RECONCILE_AT, &"x".repeat(200_000));
        assert_eq!(read_long.reconcile_at, None);
        assert!(
            read_long.problems[0].len() < 300,
            "{:?}",
            read_long.problems
        );
        let read_odd = read(annotations::ORPHAN, &"x".repeat(200_000));
        assert!(read_odd.problems[0].len() < 300, "{:?}", read_odd.problems);
    }
}
