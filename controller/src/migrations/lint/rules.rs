//! The rules: those of squawk that matter when many databases are migrated while an application uses
//! them, and our own. squawk's rules about style are not among them.

use crds::FindingSeverity::{self, Error, Note, Warning};
use crds::MigrationFinding;
use squawk_linter::Rule;

/// Longest message of a finding, in characters: some contain names from the file.
const MAX_MESSAGE_CHARS: usize = 400;

pub(super) const SYNTAX_ERROR: &str = "syntax-error";
pub(super) const NOT_ANALYZED: &str = "not-analyzed";
pub(super) const UNUSED_IGNORE: &str = "unused-ignore";
const NEEDS_NO_TRANSACTION: &str = "needs-no-transaction";

/// A rule of the linter.
#[derive(Debug)]
pub struct RuleInfo {
    /// As in comments that silence it.
    pub name: &'static str,
    pub severity: FindingSeverity,
    /// What the statement does, and what to do instead. Empty if each finding has its own message.
    pub message: &'static str,
    /// Whether squawk evaluates the rule.
    is_of_squawk: bool,
}

const fn squawk(name: &'static str, severity: FindingSeverity, message: &'static str) -> RuleInfo {
    RuleInfo {
        name,
        severity,
        message,
        is_of_squawk: true,
    }
}

const fn own(name: &'static str, severity: FindingSeverity, message: &'static str) -> RuleInfo {
    RuleInfo {
        name,
        severity,
        message,
        is_of_squawk: false,
    }
}

/// A file or a statement that the linter does not read.
const UNREAD: RuleInfo = own(NOT_ANALYZED, Warning, "");
/// A file that cannot be used as a migration.
const INVALID: RuleInfo = own("invalid-migration", Error, "");

/// All rules: those about data, about the running application, about statements that fail, about
/// locks, and about what the linter cannot tell.
pub const RULES: &[RuleInfo] = &[
    squawk(
        "ban-drop-table",
        Error,
        "Dropping a table deletes its data, and queries of the running application that use it fail. Stop using it in one release, \
         and drop it in a later one.",
    ),
    squawk(
        "ban-drop-column",
        Error,
        "Dropping a column deletes its data, and queries of the running application that name it fail. Stop using it in one release, \
         and drop it in a later one.",
    ),
    squawk(
        "ban-drop-database",
        Error,
        "A migration must not drop a database.",
    ),
    own(
        "drop-data",
        Error,
        "This deletes data or dependent objects. Drop the objects one at a time, once no release uses them.",
    ),
    own(
        "truncate-table",
        Error,
        "TRUNCATE deletes all rows of the table.",
    ),
    squawk(
        "ban-truncate-cascade",
        Error,
        "TRUNCATE ... CASCADE also deletes all rows of the tables that refer to this one. Name the tables instead.",
    ),
    own(
        "delete-all-rows",
        Error,
        "DELETE without WHERE deletes all rows.",
    ),
    squawk(
        "renaming-table",
        Error,
        "Queries of the running application that use the old name fail. Create a view with the old name in the same file, or add a \
         new table and move the data.",
    ),
    squawk(
        "renaming-column",
        Error,
        "Queries of the running application that use the old name fail. Add a new column, fill both, and drop the old one in a later \
         release.",
    ),
    own(
        "rename-object",
        Error,
        "Queries of the running application that use the old name fail. Create an object with the new name, and drop the old one in \
         a later release.",
    ),
    squawk(
        "changing-column-type",
        Error,
        "Changing the type can rewrite the table while reads and writes are blocked, and queries of the running application may fail. \
         Add a column with the new type, fill both, and drop the old one in a later release.",
    ),
    squawk(
        "adding-required-field",
        Error,
        "A new column with NOT NULL and without DEFAULT fails on a table with rows, and inserts of the running application fail. Add \
         a DEFAULT, or make the column nullable.",
    ),
    own(
        "drop-object",
        Warning,
        "Queries of the running application that use it fail. Drop it once no release uses it.",
    ),
    squawk(
        "ban-drop-not-null",
        Warning,
        "The running application may not expect NULL in the column.",
    ),
    own(
        "revoke-privilege",
        Warning,
        "Queries of the running application that need the privilege fail.",
    ),
    own(
        NEEDS_NO_TRANSACTION,
        Error,
        "Postgres rejects this statement in a transaction. Move it to a file of its own that begins with -- no-transaction.",
    ),
    own(
        "not-idempotent",
        Warning,
        "Outside a transaction, the statement can take effect without being recorded, and then runs again. Write IF NOT EXISTS, \
         IF EXISTS, OR REPLACE or ON CONFLICT, or move the statement to a file with a transaction.",
    ),
    squawk("ban-duplicate-column-assignments", Error, ""),
    squawk(
        "require-concurrent-index-creation",
        Warning,
        "Building an index blocks writes to the table. On a large table, use CREATE INDEX CONCURRENTLY IF NOT EXISTS in a file of its \
         own that begins with -- no-transaction.",
    ),
    squawk(
        "require-concurrent-index-deletion",
        Warning,
        "Dropping an index blocks reads and writes, and waits for queries that use the table. Use DROP INDEX CONCURRENTLY IF EXISTS in \
         a file of its own that begins with -- no-transaction.",
    ),
    squawk(
        "require-concurrent-reindex",
        Warning,
        "REINDEX blocks writes, and reads that use the index. Use REINDEX ... CONCURRENTLY in a file of its own that begins with \
         -- no-transaction.",
    ),
    squawk(
        "require-concurrent-partition-detach",
        Warning,
        "Detaching a partition blocks reads and writes. Use DETACH PARTITION ... CONCURRENTLY in a file of its own that begins with \
         -- no-transaction.",
    ),
    squawk(
        "constraint-missing-not-valid",
        Warning,
        "All rows are checked while writes are blocked. Add the constraint as NOT VALID, and validate it in a later file: one file is \
         one transaction.",
    ),
    squawk(
        "adding-foreign-key-constraint",
        Warning,
        "All rows are checked while writes to both tables are blocked. Add the foreign key as NOT VALID, and validate it in a later \
         file.",
    ),
    squawk(
        "disallowed-unique-constraint",
        Warning,
        "The index is built while reads and writes are blocked. Build a unique index with CONCURRENTLY, and add the constraint with \
         USING INDEX in a later file.",
    ),
    squawk(
        "adding-serial-primary-key-field",
        Warning,
        "The index of the primary key is built while reads and writes are blocked. Build a unique index with CONCURRENTLY, and add the \
         primary key with USING INDEX in a later file.",
    ),
    squawk(
        "adding-field-with-default",
        Warning,
        "A generated column, or a default that is computed for each row, rewrites the table while reads and writes are blocked. Add the \
         column without it, and fill it in batches.",
    ),
    squawk(
        "adding-not-nullable-field",
        Warning,
        "All rows are checked while reads and writes are blocked. Add a constraint CHECK (column IS NOT NULL) NOT VALID, validate it in \
         a later file, and then set NOT NULL.",
    ),
    squawk(
        "ban-alter-domain-with-add-constraint",
        Warning,
        "All tables with columns of the domain are checked while writes are blocked. Add the constraint to the tables instead.",
    ),
    own(
        "update-all-rows",
        Warning,
        "UPDATE without WHERE rewrites all rows, and locks them until the migration ends. Update in batches outside of migrations.",
    ),
    own(
        "lock-table",
        Warning,
        "The lock is held until the migration ends.",
    ),
    own(
        "rewrite-table",
        Warning,
        "The table is rewritten while reads and writes are blocked.",
    ),
    own(
        "refresh-materialized-view",
        Warning,
        "Reads of the view are blocked until it is refreshed. Use REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index.",
    ),
    own(SYNTAX_ERROR, Warning, ""),
    UNREAD,
    own(
        "opaque-statement",
        Note,
        "The linter does not read the body of DO.",
    ),
    squawk("identifier-too-long", Note, ""),
    own(UNUSED_IGNORE, Note, ""),
    INVALID,
];

/// The rule with this name.
pub(super) fn rule(name: &str) -> Option<&'static RuleInfo> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Whether the rule is one that squawk does not know.
pub(super) fn is_own_rule(name: &str) -> bool {
    rule(name).is_some_and(|rule| !rule.is_of_squawk)
}

/// The rules that squawk evaluates.
pub(super) fn of_squawk() -> impl Iterator<Item = Rule> {
    RULES
        .iter()
        .filter(|rule| rule.is_of_squawk)
        .filter_map(|rule| Rule::try_from(rule.name).ok())
}

/// Whether the rule also concerns tables that no other session knows yet.
pub(super) fn concerns_any_table(rule: &str) -> bool {
    matches!(
        rule,
        NEEDS_NO_TRANSACTION
            | UNUSED_IGNORE
            | "ban-duplicate-column-assignments"
            | "identifier-too-long"
    )
}

pub(super) fn finding(file: &str, line: usize, rule: &RuleInfo, message: &str) -> MigrationFinding {
    MigrationFinding {
        file: file.to_owned(),
        line: i64::try_from(line).unwrap_or(i64::MAX),
        rule: rule.name.to_owned(),
        severity: rule.severity,
        message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
    }
}

/// The finding for a file, or for a statement, that was not read.
pub(super) fn not_analyzed(file: &str, line: usize, message: &str) -> MigrationFinding {
    finding(file, line, &UNREAD, message)
}

/// The finding for a file that cannot be used as a migration.
pub fn invalid_migration(file: &str, line: usize, message: &str) -> MigrationFinding {
    finding(file, line, &INVALID, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_names_are_those_of_squawk_or_of_our_own_rules() {
        let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len(), "a name is used twice");
        for rule in RULES {
            let known = Rule::try_from(rule.name).is_ok();
            assert_eq!(known, rule.is_of_squawk, "{}", rule.name);
        }
    }

    #[test]
    fn the_documentation_lists_every_rule_with_its_severity() {
        let docs = include_str!("../../../../docs/operations/migration-lint.md");
        for rule in RULES {
            let row = format!("| `{}` | {:?} |", rule.name, rule.severity);
            assert!(docs.contains(&row), "missing: {row}");
        }
    }
}
