//! Which statements of a file with `-- no-transaction` cannot run twice. Such a statement can take effect
//! without the file being recorded, and then runs again with the whole file.

use std::collections::BTreeSet;

use squawk_syntax::{SyntaxKind as Kind, SyntaxNode};

use super::statements::{has_word, start};

/// The offsets of the statements, or of the actions of an `ALTER`, that fail or have their effect again if
/// the file runs again.
pub(super) fn unrepeatable(root: &SyntaxNode) -> Vec<usize> {
    let mut found = Vec::new();
    // What earlier statements of the file drop if it exists, by the kind of the statement.
    let mut dropped = BTreeSet::new();
    for statement in root.children() {
        if is_repeatable(&statement, &dropped) {
            dropped.extend(drop_kind(&statement));
        } else {
            found.push(start(&statement));
        }
        for action in actions(&statement) {
            if is_repeatable(&action, &dropped) {
                dropped.extend(drop_kind(&action));
            } else {
                found.push(start(&action));
            }
        }
    }
    found
}

/// The actions of an `ALTER` statement.
fn actions(statement: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    let is_alter = name(statement.kind()).starts_with("ALTER_");
    let actions = is_alter.then(|| statement.children());
    actions.into_iter().flatten()
}

fn is_repeatable(node: &SyntaxNode, dropped: &BTreeSet<String>) -> bool {
    let kind = name(node.kind());
    let has = |clause| node.children().any(|child| child.kind() == clause);
    match node.kind() {
        Kind::INSERT => has(Kind::ON_CONFLICT_CLAUSE) || has_word(node, "exists"),
        Kind::ADD_COLUMN | Kind::ADD_VALUE | Kind::ADD_ATTRIBUTE => has(Kind::IF_NOT_EXISTS),
        Kind::ADD_CONSTRAINT => dropped.contains("CONSTRAINT"),
        // These have no IF EXISTS, and have no effect a second time.
        Kind::DROP_DEFAULT | Kind::DROP_NOT_NULL | Kind::DROP_OWNED => true,
        Kind::ATTACH_PARTITION
        | Kind::DETACH_PARTITION
        | Kind::MERGE_PARTITIONS
        | Kind::SPLIT_PARTITION
        | Kind::INHERIT_TABLE
        | Kind::NO_INHERIT_TABLE
        | Kind::SET_SCHEMA => false,
        // A temporary table ends with the session.
        Kind::CREATE_TABLE | Kind::CREATE_TABLE_AS if is_temporary(node) => true,
        _ if kind.starts_with("CREATE_") => {
            let is_dropped = kind
                .strip_prefix("CREATE_")
                .is_some_and(|created| dropped.contains(created));
            has(Kind::IF_NOT_EXISTS) || has(Kind::OR_REPLACE) || is_dropped
        }
        _ if kind.starts_with("DROP_") => has(Kind::IF_EXISTS),
        _ => !kind.starts_with("RENAME_") && !kind.ends_with("_RENAME_TO"),
    }
}

/// What a statement with `IF EXISTS` drops, as in the names of kinds.
fn drop_kind(node: &SyntaxNode) -> Option<String> {
    let kind = name(node.kind());
    let is_conditional = node.children().any(|child| child.kind() == Kind::IF_EXISTS);
    let dropped = kind.strip_prefix("DROP_").filter(|_| is_conditional);
    dropped.map(str::to_owned)
}

fn is_temporary(table: &SyntaxNode) -> bool {
    has_word(table, "temp") || has_word(table, "temporary")
}

/// The name of the kind, such as `DROP_TABLE`.
fn name(kind: Kind) -> String {
    format!("{kind:?}")
}
