//! The rules that squawk lacks, and which statements change a table that the same file creates.

use std::collections::BTreeSet;
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode as _};
use squawk_syntax::{SyntaxElement, SyntaxKind as Kind, SyntaxNode};

/// The offsets of statements or of parts of them, each with the name of a rule.
pub(super) fn check_statements(
    root: &SyntaxNode,
    no_transaction: bool,
) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for statement in root.children() {
        if !no_transaction && runs_outside_transactions(&statement) {
            found.push((start(&statement), "needs-no-transaction"));
        }
        // The statements in them do not run with the migration.
        if matches!(
            statement.kind(),
            Kind::CREATE_FUNCTION | Kind::CREATE_PROCEDURE | Kind::CREATE_RULE | Kind::PREPARE
        ) {
            continue;
        }
        for part in statement.descendants() {
            if let Some(rule) = rule(&part, &statement) {
                found.push((start(&part), rule));
            }
        }
    }
    found
}

/// The rule that a statement or a part of it violates.
fn rule(part: &SyntaxNode, statement: &SyntaxNode) -> Option<&'static str> {
    let is_statement = || {
        let parent = part.parent();
        parent.is_some_and(|parent| match parent.kind() {
            Kind::SOURCE_FILE | Kind::WITH_TABLE => true,
            // Only with this option does the statement run.
            Kind::EXPLAIN => has_word(&parent, "analyze") || has_word(&parent, "analyse"),
            _ => false,
        })
    };
    let rule = match part.kind() {
        Kind::TRUNCATE if is_statement() => "truncate-table",
        Kind::DELETE if is_statement() && !has_condition(part) => "delete-all-rows",
        Kind::UPDATE if is_statement() && !has_condition(part) => "update-all-rows",
        Kind::DROP_SCHEMA
        | Kind::DROP_OWNED
        | Kind::DROP_EXTENSION
        | Kind::DROP_SEQUENCE
        | Kind::DROP_FOREIGN_TABLE
        | Kind::DROP_ATTRIBUTE => "drop-data",
        Kind::DROP_VIEW
        | Kind::DROP_MATERIALIZED_VIEW
        | Kind::DROP_FUNCTION
        | Kind::DROP_PROCEDURE
        | Kind::DROP_ROUTINE
        | Kind::DROP_AGGREGATE
        | Kind::DROP_OPERATOR
        | Kind::DROP_TYPE
        | Kind::DROP_DOMAIN => {
            if has_word(part, "cascade") {
                "drop-data"
            } else {
                "drop-object"
            }
        }
        Kind::TYPE_RENAME_TO
        | Kind::VIEW_RENAME_TO
        | Kind::SCHEMA_RENAME_TO
        | Kind::SEQUENCE_RENAME_TO
        | Kind::FUNCTION_RENAME_TO
        | Kind::PROCEDURE_RENAME_TO
        | Kind::ROUTINE_RENAME_TO
        | Kind::AGGREGATE_RENAME_TO
        | Kind::DOMAIN_RENAME_TO
        | Kind::DATABASE_RENAME_TO
        | Kind::ROLE_RENAME_TO
        | Kind::RENAME_ATTRIBUTE
        | Kind::RENAME_VALUE
        | Kind::SET_SCHEMA => "rename-object",
        // squawk reports those of tables.
        Kind::TABLE_RENAME_TO | Kind::RENAME_COLUMN if statement.kind() != Kind::ALTER_TABLE => {
            "rename-object"
        }
        Kind::LOCK if is_statement() => "lock-table",
        Kind::CLUSTER | Kind::SET_LOGGED | Kind::SET_UNLOGGED => "rewrite-table",
        Kind::VACUUM if has_word(part, "full") => "rewrite-table",
        Kind::REFRESH if !has_word(part, "concurrently") => "refresh-materialized-view",
        Kind::REVOKE if is_statement() => "revoke-privilege",
        Kind::DO if is_statement() => "opaque-statement",
        _ => return None,
    };
    Some(rule)
}

/// Whether Postgres rejects the statement in a transaction.
fn runs_outside_transactions(statement: &SyntaxNode) -> bool {
    match statement.kind() {
        Kind::VACUUM | Kind::CREATE_DATABASE | Kind::DROP_DATABASE | Kind::ALTER_SYSTEM => true,
        Kind::CREATE_INDEX | Kind::DROP_INDEX | Kind::REINDEX | Kind::ALTER_TABLE => {
            has_word(statement, "concurrently")
        }
        _ => false,
    }
}

/// The ranges of the `ALTER TABLE` and `CREATE INDEX` statements whose table a statement before them
/// creates.
pub(super) fn changes_of_new_tables(root: &SyntaxNode) -> Vec<Range<usize>> {
    let mut created = BTreeSet::new();
    let mut changes = Vec::new();
    for statement in root.children() {
        if let Some(table) = ast::CreateTable::cast(statement.clone()) {
            if table.if_not_exists().is_none() {
                created.extend(created_name(&table));
            }
        } else if changed_name(&statement).is_some_and(|name| created.contains(&name)) {
            changes.push(Range::from(statement.text_range()));
        }
    }
    changes
}

/// The ranges of the names of the tables that the file creates, without their schemas.
pub(super) fn created_names(root: &SyntaxNode) -> Vec<Range<usize>> {
    root.children()
        .filter_map(ast::CreateTable::cast)
        .filter_map(|table| table.table_name()?.path()?.segment())
        .map(|name| Range::from(name.syntax().text_range()))
        .collect()
}

/// The parts of a table's name. A name with a schema and one without can mean different tables, so they
/// are not equal, except for the schema in which migrations run.
type TableName = Vec<String>;

fn created_name(table: &ast::CreateTable) -> Option<TableName> {
    let path = table.table_name()?.path()?;
    qualified(path.qualifier(), path.segment()?.text())
}

fn changed_name(statement: &SyntaxNode) -> Option<TableName> {
    let relation = ast::AlterTable::cast(statement.clone())
        .and_then(|table| table.table_relation_name())
        .or_else(|| ast::CreateIndex::cast(statement.clone())?.table_relation_name())?;
    let path = relation.table_name_ref()?.path_ref()?;
    qualified(path.qualifier(), path.segment()?.text())
}

fn qualified(mut qualifier: Option<ast::PathRef>, name: String) -> Option<TableName> {
    let mut parts = vec![name];
    while let Some(path) = qualifier {
        parts.push(path.segment()?.text());
        qualifier = path.qualifier();
    }
    if parts.get(1).is_some_and(|schema| schema == "public") {
        parts.truncate(1);
    }
    Some(parts)
}

fn has_condition(part: &SyntaxNode) -> bool {
    let mut kinds = part.children().map(|child| child.kind());
    kinds.any(|kind| matches!(kind, Kind::WHERE_CLAUSE | Kind::WHERE_CURRENT_OF))
}

/// Whether one of the tokens is this word.
pub(super) fn has_word(part: &SyntaxNode, word: &str) -> bool {
    let mut tokens = part
        .descendants_with_tokens()
        .filter_map(SyntaxElement::into_token);
    tokens.any(|token| token.text().eq_ignore_ascii_case(word))
}

/// The offset of the first token that is neither space nor a comment.
pub(super) fn start(part: &SyntaxNode) -> usize {
    let mut tokens = part
        .descendants_with_tokens()
        .filter_map(SyntaxElement::into_token);
    let first = tokens.find(|token| !token.kind().is_trivia());
    first
        .map_or(part.text_range(), |token| token.text_range())
        .start()
        .into()
}
