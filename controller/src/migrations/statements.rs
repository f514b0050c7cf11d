//! Splits SQL into statements, exactly where Postgres does, and rejects what a migration must not
//! contain.
//!
//! The statements serve two purposes: to reject, before any connection, SQL that would end the
//! transaction of its migration, and to find the line of a statement that failed without a
//! position. This module does not validate SQL; Postgres parses a whole message before it runs any
//! of it, so SQL that is invalid anywhere has no effect. For valid SQL, a `;` ends a statement
//! except in the action list of a rule, which is in parentheses, and in `BEGIN ATOMIC ... END`.

use super::lexer::{Lexer, Token, TokenKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line of the first token, starting at 1.
    pub(super) line: usize,
    /// The first [`MAX_HEAD_TOKENS`] tokens: words in upper case, other tokens as written.
    pub(super) head: Vec<String>,
}

/// Why a text cannot be used as a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidSql {
    /// Where the token starts.
    pub(super) line: usize,
    pub(super) problem: SqlProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlProblem {
    /// A token that does not end, as text for an error message.
    Unterminated(&'static str),
    /// What was found and why it is forbidden, as text for an error message.
    Forbidden(&'static str),
}

/// The number of tokens in `CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS name ON ONLY a . b`.
const MAX_HEAD_TOKENS: usize = 14;

const BYTE_ORDER_MARK: char = '\u{feff}';
const TRANSACTION_CONTROL: &str =
    "transaction control statements: the whole file runs in one transaction";

const UNDO_SECTION: &str = "a section that undoes the migration: keep only the part that applies it, because the migrator runs \
                            the whole file";
/// The comments with which the section begins that undoes a migration, in lower case, with single spaces and
/// without options: those of goose, sql-migrate, dbmate, node-pg-migrate and tern.
const UNDO_MARKERS: [&str; 5] = [
    "-- +goose down",
    "-- +migrate down",
    "-- migrate:down",
    "-- down migration",
    "---- create above / drop below ----",
];

/// Splits `sql` into statements. Skips empty statements, as Postgres does. Stops at the first
/// problem, because what follows may not be SQL, such as the data of `COPY ... FROM stdin`.
pub(super) fn split(sql: &str) -> Result<Vec<Statement>, InvalidSql> {
    let mut splitter = Splitter::default();
    for token in Lexer::new(sql) {
        let line = splitter.lines.current();
        let invalid = |problem| InvalidSql { line, problem };
        let token = token.map_err(|what| invalid(SqlProblem::Unterminated(what)))?;
        splitter
            .push(token)
            .map_err(|what| invalid(SqlProblem::Forbidden(what)))?;
        splitter.lines.advance(token.text);
    }
    splitter.end_statement();
    Ok(splitter.statements)
}

/// Converts a position as Postgres counts it (in characters, starting at 1) to a line, starting at
/// 1. A position beyond the end is on the last line that is not blank.
pub(super) fn line_of(sql: &str, position: usize) -> usize {
    let text = sql.trim_end();
    let before = text
        .char_indices()
        .nth(position.saturating_sub(1))
        .map_or(text, |(end, _)| &text[..end]);
    let mut lines = LineCounter::default();
    lines.advance(before);
    lines.current()
}

/// Counts lines that end with LF, CR or CRLF.
#[derive(Default)]
struct LineCounter {
    breaks: usize,
    ends_with_cr: bool,
}

impl LineCounter {
    fn advance(&mut self, text: &str) {
        for byte in text.bytes() {
            let completes_crlf = byte == b'\n' && self.ends_with_cr;
            if matches!(byte, b'\n' | b'\r') && !completes_crlf {
                self.breaks += 1;
            }
            self.ends_with_cr = byte == b'\r';
        }
    }

    /// The line of the next character, starting at 1.
    fn current(&self) -> usize {
        1 + self.breaks
    }
}

#[derive(Default)]
struct Splitter {
    statements: Vec<Statement>,
    /// The statement that is being read.
    current: Option<Statement>,
    /// In upper case if it is a word.
    previous_token: String,
    parenthesis_depth: usize,
    /// Whether the current token is in the `BEGIN ATOMIC ... END` of a routine, where `;` does not
    /// end the statement.
    in_atomic_body: bool,
    lines: LineCounter,
}

impl Splitter {
    /// The error is text for [`SqlProblem::Forbidden`].
    fn push(&mut self, token: Token<'_>) -> Result<(), &'static str> {
        if token.kind == TokenKind::Space {
            return if is_undo_marker(token.text) {
                Err(UNDO_SECTION)
            } else {
                Ok(())
            };
        }
        let outside_parentheses = self.parenthesis_depth == 0;
        if token.text == ";" && outside_parentheses && !self.in_atomic_body {
            self.end_statement();
            return Ok(());
        }
        let line = self.lines.current();
        let statement = self.current.get_or_insert_with(|| Statement {
            line,
            head: Vec::new(),
        });
        let text = match token.kind {
            TokenKind::Word => token.text.to_ascii_uppercase(),
            _ => token.text.to_owned(),
        };
        if statement.head.len() < MAX_HEAD_TOKENS {
            statement.head.push(text.clone());
        }
        let head: Vec<&str> = statement.head.iter().map(String::as_str).collect();
        if let Some(what) = forbidden(token, &head, &self.previous_token, outside_parentheses) {
            return Err(what);
        }
        match text.as_str() {
            "(" => self.parenthesis_depth += 1,
            ")" => self.parenthesis_depth = self.parenthesis_depth.saturating_sub(1),
            "ATOMIC"
                if outside_parentheses
                    && self.previous_token == "BEGIN"
                    && creates_routine(&head) =>
            {
                self.in_atomic_body = true;
            }
            // Every statement of the body ends with a semicolon, so an END elsewhere belongs to a
            // CASE expression or is a name.
            "END" if self.in_atomic_body && matches!(&*self.previous_token, ";" | "ATOMIC") => {
                self.in_atomic_body = false;
            }
            _ => {}
        }
        self.previous_token = text;
        Ok(())
    }

    fn end_statement(&mut self) {
        self.statements.extend(self.current.take());
        self.previous_token.clear();
        self.parenthesis_depth = 0;
        self.in_atomic_body = false;
    }
}

/// Whether the comment begins a section that undoes the migration.
fn is_undo_marker(comment: &str) -> bool {
    let is_option = |word: &&str| *word == "notransaction" || word.starts_with("transaction:");
    let words: Vec<&str> = comment
        .split_ascii_whitespace()
        .filter(|word| !is_option(word))
        .collect();
    let marker = words.join(" ").to_ascii_lowercase();
    UNDO_MARKERS.contains(&marker.replacen("--+", "-- +", 1).as_str())
}

/// Whether the token, the last of `head` unless the statement is longer, makes its statement
/// unusable in a migration.
fn forbidden(
    token: Token<'_>,
    head: &[&str],
    previous_token: &str,
    outside_parentheses: bool,
) -> Option<&'static str> {
    match (head, token.text) {
        // A backslash is not part of any operator.
        (_, "\\") => Some("psql commands: the migrator sends the file to the server as it is"),
        (_, text) if token.kind == TokenKind::Word && text.contains(BYTE_ORDER_MARK) => {
            Some("a byte order mark: save the file as UTF-8 without one")
        }
        (
            [
                "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT"
                | "RELEASE",
            ]
            | ["PREPARE", "TRANSACTION"],
            _,
        ) => Some(TRANSACTION_CONTROL),
        (["COPY", ..], text) if outside_parentheses && token.kind == TokenKind::Word => {
            let from = previous_token == "FROM" && text.eq_ignore_ascii_case("stdin");
            let to = previous_token == "TO" && text.eq_ignore_ascii_case("stdout");
            match (from, to) {
                (true, _) => Some("COPY ... FROM stdin: the migrator sends no data"),
                (_, true) => Some("COPY ... TO stdout: the migrator reads no data"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether the statement creates a function or a procedure.
fn creates_routine(head: &[&str]) -> bool {
    matches!(
        head,
        ["CREATE", "FUNCTION" | "PROCEDURE", ..]
            | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..]
    )
}

#[cfg(test)]
mod tests;
