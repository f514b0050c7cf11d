//! What a SchemaRollout applies, and what the linter found in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rollout applies.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutPlan {
    /// Number of migrations that the last completed rollout of the class did not have. If there is none,
    /// all migrations of the class.
    pub migrations: i64,
    /// Their files, at most 100.
    pub files: Vec<String>,
    /// What the linter found in these migrations, by severity. Absent until the linter has read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding_counts: Option<FindingCounts>,
    /// The findings, the most severe first, at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<MigrationFinding>,
    /// Number of findings that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted_findings: i64,
}

/// Findings by severity.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FindingCounts {
    /// Data is lost, queries of the running application fail, or the migration fails.
    pub errors: i64,
    /// Queries have to wait, or a client can be affected.
    pub warnings: i64,
    /// Statements to look at, for example because the linter cannot read them.
    pub notes: i64,
}

/// A statement of a migration that deserves attention before the migration runs.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFinding {
    /// Name of the migration's file.
    pub file: String,
    /// Line, starting at 1.
    pub line: i64,
    /// Name of the rule. The comment `-- squawk-ignore <rule>` on the line above or on the same line
    /// silences it.
    pub rule: String,
    /// How severe the finding is.
    pub severity: FindingSeverity,
    /// What the statement does, and what to do instead.
    pub message: String,
}

/// How severe a finding is; the most severe first.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
pub enum FindingSeverity {
    /// Data is lost, queries of the running application fail, or the migration fails.
    Error,
    /// Queries have to wait, or a client can be affected.
    Warning,
    /// A statement to look at, for example because the linter cannot read it.
    Note,
}

impl FindingCounts {
    /// Counts findings.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a MigrationFinding>) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            match finding.severity {
                FindingSeverity::Error => counts.errors += 1,
                FindingSeverity::Warning => counts.warnings += 1,
                FindingSeverity::Note => counts.notes += 1,
            }
        }
        counts
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
