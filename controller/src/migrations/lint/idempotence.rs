//! Which statements of a file with `-- no-transaction` are not idempotent. Outside a transaction, a statement
//! can take effect without the file being recorded, and then runs again.

use std::iter::once;

use squawk_syntax::{SyntaxKind as Kind, SyntaxNode};

use super::statements::{has_word, start};

/// The offsets of the statements, or of the actions of an `ALTER`, that fail or have their effect again if
/// they run again.
pub(super) fn not_idempotent(root: &SyntaxNode) -> Vec<usize> {
    let mut found = Vec::new();
    for statement in root.children() {
        let actions = actions(&statement);
        let parts = once(statement).chain(actions);
        found.extend(
            parts
                .filter(|part| !is_idempotent(part))
                .map(|part| start(&part)),
        );
    }
    found
}

/// The actions of an `ALTER` statement, including those on columns.
fn actions(statement: &SyntaxNode) -> Vec<SyntaxNode> {
    if !name(statement).starts_with("ALTER_") {
        return Vec::new();
    }
    let is_column = |action: &SyntaxNode| action.kind() == Kind::ALTER_COLUMN;
    let (columns, others): (Vec<_>, Vec<_>) = statement.children().partition(is_column);
    let of_columns = columns.iter().flat_map(SyntaxNode::children);
    others.into_iter().chain(of_columns).collect()
}

/// Whether a statement or an action has no further effect, and does not fail, when it runs again.
fn is_idempotent(node: &SyntaxNode) -> bool {
    let name = name(node);
    match node.kind() {
        Kind::INSERT => has(node, Kind::ON_CONFLICT_CLAUSE) || has_word(node, "exists"),
        Kind::ADD_COLUMN | Kind::ADD_VALUE | Kind::ADD_ATTRIBUTE => has(node, Kind::IF_NOT_EXISTS),
        Kind::ADD_CONSTRAINT => node.parent().is_some_and(|table| {
            let mut actions = table.children();
            actions.any(|action| {
                action.kind() == Kind::DROP_CONSTRAINT && has(&action, Kind::IF_EXISTS)
            })
        }),
        // They have no IF EXISTS, and a second time they do nothing.
        Kind::DROP_DEFAULT | Kind::DROP_NOT_NULL | Kind::DROP_OWNED => true,
        Kind::ADD_GENERATED
        | Kind::ATTACH_PARTITION
        | Kind::MERGE_PARTITIONS
        | Kind::SPLIT_PARTITION
        | Kind::INHERIT_TABLE
        | Kind::NO_INHERIT_TABLE
        | Kind::SET_SCHEMA => false,
        // A temporary table ends with the session.
        Kind::CREATE_TABLE | Kind::CREATE_TABLE_AS if has(node, Kind::TEMP) => true,
        _ if name.starts_with("CREATE_") => {
            has(node, Kind::IF_NOT_EXISTS) || has(node, Kind::OR_REPLACE)
        }
        _ if name.starts_with("DROP_") => has(node, Kind::IF_EXISTS),
        _ => !name.starts_with("RENAME_") && !name.ends_with("_RENAME_TO"),
    }
}

/// Whether the statement or action has this clause.
fn has(node: &SyntaxNode, clause: Kind) -> bool {
    node.children().any(|child| child.kind() == clause)
}

/// The name of the kind, such as `DROP_TABLE`.
fn name(node: &SyntaxNode) -> String {
    format!("{:?}", node.kind())
}
