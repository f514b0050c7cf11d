//! Lints one file.

use std::borrow::Cow;
use std::ops::Range;

use crds::MigrationFinding;
use squawk_lexer::TokenKind;
use squawk_linter::{Linter, Rule};
use squawk_syntax::{Parse, SourceFile};

use super::LintFile;
use super::ignores::Ignores;
use super::lines::Lines;
use super::rules::{
    self, NOT_ANALYZED, SYNTAX_ERROR, UNUSED_IGNORE, finding, is_own_rule, not_analyzed, rule,
};
use super::statements::{changes_of_new_tables, check_statements};

/// Largest file that is read, in bytes. The syntax tree takes many times as much memory.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Tokens of the longest statement that is read: a token nests the parser by at most one level.
pub(super) const MAX_STATEMENT_TOKENS: usize = 10_000;
/// Syntax errors of a file that are reported: most of them follow from the first.
const MAX_SYNTAX_ERRORS: usize = 3;

/// The findings of a file in the order of the lines.
pub(super) fn lint_file(file: &LintFile) -> Vec<MigrationFinding> {
    if file.sql.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has more than {MAX_FILE_BYTES} bytes, so that the linter did not read it; check it by hand"
        );
        return vec![not_analyzed(&file.name, 1, &message)];
    }
    let lines = Lines::of(&file.sql);
    let long = long_statements(&file.sql);
    let sql = without(&file.sql, &long);
    let parse = SourceFile::parse(&sql);
    let mut found: Vec<Found> = long
        .iter()
        .map(|range| {
            let message = format!(
                "the statement has more than {MAX_STATEMENT_TOKENS} tokens, so that the linter did not read it; check it by hand"
            );
            (range.start, NOT_ANALYZED, Some(message))
        })
        .collect();
    found.extend(syntax_errors(&parse, &lines));
    found.extend(violations(&parse, &sql, file.no_transaction));
    let root = parse.syntax_node();
    let ignores = Ignores::of(&root, &lines);
    let mut findings: Vec<MigrationFinding> = found
        .into_iter()
        .map(|(offset, rule, message)| (lines.line(offset), rule, message))
        .filter(|(line, rule, _)| !ignores.contains(*line, rule))
        .filter_map(|(line, name, message)| {
            let rule = rule(name)?;
            let message = message.as_deref().unwrap_or(rule.message);
            Some(finding(&file.name, line, rule, message))
        })
        .collect();
    findings.sort_by(|a, b| (a.line, &a.rule).cmp(&(b.line, &b.rule)));
    findings.dedup_by(|a, b| (a.line, &a.rule) == (b.line, &b.rule));
    findings
}

/// The offset of a finding in bytes, its rule, and its message if it is not that of the rule.
type Found = (usize, &'static str, Option<String>);

fn syntax_errors(parse: &Parse<SourceFile>, lines: &Lines) -> Vec<Found> {
    let mut errors: Vec<Found> = parse
        .errors()
        .into_iter()
        .map(|error| {
            let message = format!(
                "the linter does not understand this: {}. It may have missed statements; Postgres decides whether they are valid",
                error.message()
            );
            (usize::from(error.range().start()), SYNTAX_ERROR, Some(message))
        })
        .collect();
    errors.dedup_by_key(|(offset, ..)| lines.line(*offset));
    errors.truncate(MAX_SYNTAX_ERRORS);
    errors
}

/// What the rules of squawk and our own ones find.
fn violations(parse: &Parse<SourceFile>, sql: &str, no_transaction: bool) -> Vec<Found> {
    let mut linter = Linter::from(rules::of_squawk(no_transaction));
    linter.settings.assume_in_transaction = !no_transaction;
    let of_squawk = linter.lint(parse, sql).into_iter().filter_map(|violation| {
        let range = Range::<usize>::from(violation.text_range);
        if violation.code == Rule::UnusedIgnore {
            let is_known = sql.get(range.clone()).is_some_and(is_own_rule);
            let message = format!("the comment silences no rule: {}", violation.message);
            return (!is_known).then_some((range.start, UNUSED_IGNORE, Some(message)));
        }
        let rule = rule(&violation.code.to_string())?;
        let message = rule.message.is_empty().then_some(violation.message);
        Some((range.start, rule.name, message))
    });
    let root = parse.syntax_node();
    let own = check_statements(&root, no_transaction);
    let own = own.into_iter().map(|(offset, rule)| (offset, rule, None));
    // A table that the same transaction created has no rows, and no other session knows it.
    let unobserved = if no_transaction {
        Vec::new()
    } else {
        changes_of_new_tables(&root)
    };
    of_squawk
        .chain(own)
        .filter(|(offset, rule, _)| {
            rules::concerns_any_table(rule)
                || !unobserved.iter().any(|range| range.contains(offset))
        })
        .collect()
}

/// The ranges of the statements that are too long to be read.
fn long_statements(sql: &str) -> Vec<Range<usize>> {
    let mut long = Vec::new();
    let (mut offset, mut depth, mut tokens) = (0_usize, 0_usize, 0_usize);
    let mut start = None;
    for token in squawk_lexer::tokenize(sql) {
        let end = offset + usize::try_from(token.len).unwrap_or_default();
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            // Within parentheses, the parser may take it for an error and go on.
            TokenKind::Semi if depth == 0 => {
                long.extend(
                    start
                        .take()
                        .filter(|_| tokens > MAX_STATEMENT_TOKENS)
                        .map(|start| start..end),
                );
                tokens = 0;
            }
            kind => {
                start.get_or_insert(offset);
                tokens += 1;
                match kind {
                    TokenKind::OpenParen | TokenKind::OpenBracket => depth += 1,
                    TokenKind::CloseParen | TokenKind::CloseBracket => {
                        depth = depth.saturating_sub(1);
                    }
                    _ => {}
                }
            }
        }
        offset = end;
    }
    long.extend(
        start
            .filter(|_| tokens > MAX_STATEMENT_TOKENS)
            .map(|start| start..offset),
    );
    long
}

/// The text with spaces in place of these ranges, so that offsets and lines stay the same.
fn without<'a>(sql: &'a str, ranges: &[Range<usize>]) -> Cow<'a, str> {
    if ranges.is_empty() {
        return sql.into();
    }
    let is_left_out = |at: usize| ranges.iter().any(|range| range.contains(&at));
    let mut text = String::with_capacity(sql.len());
    for (at, character) in sql.char_indices() {
        if is_left_out(at) && !matches!(character, '\n' | '\r') {
            text.extend(std::iter::repeat_n(' ', character.len_utf8()));
        } else {
            text.push(character);
        }
    }
    text.into()
}
