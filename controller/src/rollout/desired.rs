//! Builds the rollout of a class's changed migrations, and its plan.

use crds::{
    FindingCounts, RolloutPlan, RolloutTarget, SchemaRollout, SchemaRolloutSpec,
    SchemaRolloutStatus, TenantClass,
};
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};
use std::sync::Arc;

use crate::migrations::{LintFile, Migration, MigrationSet, lint};

/// Characters of the digest in a rollout's name.
const NAME_DIGEST_CHARS: usize = 8;
/// Longest part of a rollout's name that comes from its class; a name has at most 253 characters.
const MAX_CLASS_CHARS: usize = 190;
/// Files that the plan lists.
const MAX_PLANNED_FILES: usize = 100;
/// Findings of the linter that the plan lists.
const MAX_PLANNED_FINDINGS: usize = 50;

/// The rollout to create for this content. `rollouts` are those of the class, oldest first.
pub fn desired_rollout(
    class: &TenantClass,
    content: &MigrationSet,
    rollouts: &[Arc<SchemaRollout>],
) -> SchemaRollout {
    let revision = rollouts
        .last()
        .map_or(1, |newest| newest.spec.revision.saturating_add(1));
    let spec = SchemaRolloutSpec {
        class_name: class.name_any(),
        revision,
        target: RolloutTarget {
            version: content.target_version(),
            digest: content.digest().to_owned(),
            versions: content.versions().collect(),
        },
        rollout: class.spec.rollout.clone(),
        paused: false,
        approved: false,
        skip: Vec::new(),
    };
    let mut owner = class.owner_ref(&());
    if let Some(owner) = &mut owner {
        owner.controller = Some(true);
    }
    SchemaRollout {
        metadata: ObjectMeta {
            name: Some(name(&spec, rollouts)),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// `<class>-<version>-<digest>`. If the class has had this content before, the revision follows.
fn name(spec: &SchemaRolloutSpec, rollouts: &[Arc<SchemaRollout>]) -> String {
    let class: String = spec.class_name.chars().take(MAX_CLASS_CHARS).collect();
    let digest = spec.target.digest.trim_start_matches("sha256:");
    let digest: String = digest.chars().take(NAME_DIGEST_CHARS).collect();
    let name = format!("{class}-{}-{digest}", spec.target.version);
    if rollouts.iter().any(|rollout| rollout.name_any() == name) {
        format!("{name}-r{}", spec.revision)
    } else {
        name
    }
}

/// What the rollout applies to a database that has the migrations of the last completed rollout, and
/// what the linter finds in it. Blocks.
pub fn rollout_plan(content: &MigrationSet, completed: Option<&SchemaRollout>) -> RolloutPlan {
    let known = completed.map_or(&[][..], |completed| &completed.spec.target.versions);
    let new = || {
        let migrations = content.migrations().iter();
        migrations.filter(|migration| !known.contains(&migration.version()))
    };
    let mut findings = lint(new().map(LintFile::from).collect());
    let finding_counts = FindingCounts::of(&findings);
    findings.sort_by_key(|finding| finding.severity);
    let omitted = findings.len().saturating_sub(MAX_PLANNED_FINDINGS);
    findings.truncate(MAX_PLANNED_FINDINGS);
    RolloutPlan {
        migrations: i64::try_from(new().count()).unwrap_or(i64::MAX),
        files: new()
            .take(MAX_PLANNED_FILES)
            .map(Migration::file_name)
            .map(str::to_owned)
            .collect(),
        finding_counts: Some(finding_counts),
        findings,
        omitted_findings: i64::try_from(omitted).unwrap_or(i64::MAX),
    }
}

/// The status of a rollout that has none, from the API server's default.
pub fn recorded_status(rollout: &SchemaRollout) -> SchemaRolloutStatus {
    rollout.status.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests;
