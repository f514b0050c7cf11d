//! Prints findings as text, as annotations of GitHub Actions, and in SARIF.

use std::fmt::Write as _;

use crds::{FindingCounts, FindingSeverity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::LocatedFinding;
use crate::migrations::RULES;

/// Where the rules are documented.
const RULES_URL: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/blob/main/docs/operations/migration-lint.md"
);
/// Characters of a path that a URI contains as they are not.
const ESCAPED_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// A line per finding, and a summary.
pub(super) fn text(findings: &[LocatedFinding], files: usize) -> String {
    let mut text = String::new();
    for found in findings {
        let finding = &found.finding;
        let file = if found.path.ends_with(&finding.file) {
            String::new()
        } else {
            format!("{}, line {}: ", finding.file, finding.line)
        };
        let line = format!(
            "{}:{}: {}[{}]: {file}{}",
            found.path.display(),
            found.line,
            lower_case(finding.severity),
            finding.rule,
            finding.message
        );
        let _ = writeln!(text, "{}", without_control_characters(&line));
    }
    let counts = FindingCounts::of(findings.iter().map(|found| &found.finding));
    let _ = writeln!(
        text,
        "files: {files}, errors: {}, warnings: {}, notes: {}",
        counts.errors, counts.warnings, counts.notes
    );
    text
}

/// Workflow commands, which GitHub shows at the lines of a pull request.
pub(super) fn github(findings: &[LocatedFinding]) -> String {
    let mut text = String::new();
    for found in findings {
        let finding = &found.finding;
        let command = match finding.severity {
            FindingSeverity::Error => "error",
            FindingSeverity::Warning => "warning",
            FindingSeverity::Note => "notice",
        };
        let message = format!("{}: {}", finding.file, finding.message);
        let _ = writeln!(
            text,
            "::{command} file={},line={},title={}::{}",
            property(&found.path.display().to_string()),
            found.line,
            property(&finding.rule),
            data(&message)
        );
    }
    text
}

/// SARIF 2.1.0, which GitHub, GitLab and editors read.
pub(super) fn sarif(findings: &[LocatedFinding]) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            let description = if rule.message.is_empty() {
                rule.name
            } else {
                rule.message
            };
            json!({
                "id": rule.name,
                "shortDescription": { "text": description },
                "helpUri": RULES_URL,
                "defaultConfiguration": { "level": lower_case(rule.severity) },
            })
        })
        .collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|found| {
            let path = found.path.display().to_string();
            let uri = utf8_percent_encode(&path, ESCAPED_IN_PATHS).to_string();
            json!({
                "ruleId": found.finding.rule,
                "level": lower_case(found.finding.severity),
                "message": { "text": format!("{}: {}", found.finding.file, found.finding.message) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri },
                    "region": { "startLine": found.line },
                }}],
            })
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tenant-controller lint",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": RULES_URL,
                "rules": rules,
            }},
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// The level in texts and in SARIF.
fn lower_case(severity: FindingSeverity) -> &'static str {
    match severity {
        FindingSeverity::Error => "error",
        FindingSeverity::Warning => "warning",
        FindingSeverity::Note => "note",
    }
}

/// Names and messages can contain what a terminal would interpret.
fn without_control_characters(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
