//! Lints one file.

use std::borrow::Cow;
use std::ops::Range;

use crds::MigrationFinding;
use squawk_lexer::TokenKind;
use squawk_linter::{Linter, Rule};
use squawk_syntax::{Parse, SourceFile};

use super::LintFile;
use super::idempotence::not_idempotent;
use super::ignores::Ignores;
use super::lines::Lines;
use super::rules::{
    self, NOT_ANALYZED, SYNTAX_ERROR, UNUSED_IGNORE, finding, is_own_rule, not_analyzed, rule,
};
use super::statements::{changes_of_new_tables, check_statements, created_names};

/// Largest file that is read, in bytes. The syntax tree takes many times as much memory.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a statement that is read. The time for a statement grows with the square of it.
pub(super) const MAX_NESTING: usize = 2_000;
/// Longest name in Postgres, in bytes. The linter reports longer ones.
const MAX_NAME_BYTES: usize = 63;
/// Syntax errors of a file that are reported: most of them follow from the first.
const MAX_SYNTAX_ERRORS: usize = 3;

/// The findings of a file in the order of the lines.
pub(super) fn lint_file(file: &LintFile) -> Vec<MigrationFinding> {
    if file.sql.len() > MAX_FILE_BYTES {
        let message = format!(
            "the linter does not read files larger than {MAX_FILE_BYTES} bytes; review this file yourself"
        );
        return vec![not_analyzed(&file.name, 1, &message)];
    }
    let lines = Lines::of(&file.sql);
    let unread = deep_statements(&file.sql);
    let sql = without(&file.sql, &unread);
    let parse = SourceFile::parse(&sql);
    let mut found: Vec<Found> = unread
        .iter()
        .map(|range| {
            let message = format!(
                "the linter skipped this statement because it may be nested more than {MAX_NESTING} levels deep; review it yourself"
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
    let mut linter = Linter::from(rules::of_squawk());
    linter.settings.assume_in_transaction = !no_transaction;
    let root = parse.syntax_node();
    // squawk takes any table with the name of one that the file creates for a new one, also if it is in
    // another schema or if it may exist already. `changes_of_new_tables` decides instead.
    let sql = with_other_names(sql, &created_names(&root));
    let parse = SourceFile::parse(&sql);
    let of_squawk = linter
        .lint(&parse, &sql)
        .into_iter()
        .filter_map(|violation| {
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
    let mut own = check_statements(&root, no_transaction);
    if no_transaction {
        let offsets = not_idempotent(&root).into_iter();
        own.extend(offsets.map(|offset| (offset, "not-idempotent")));
    }
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

/// The text with other names of the same length in these ranges.
fn with_other_names(sql: &str, names: &[Range<usize>]) -> String {
    let mut text = sql.to_owned();
    for name in names.iter().filter(|name| name.len() <= MAX_NAME_BYTES) {
        text.replace_range(name.clone(), &"_".repeat(name.len()));
    }
    text
}

/// The ranges of the statements that may be nested too deeply to be read.
fn deep_statements(sql: &str) -> Vec<Range<usize>> {
    let mut deep = Vec::new();
    let mut nesting = Nesting::default();
    let mut start = None;
    let mut offset = 0_usize;
    for token in squawk_lexer::tokenize(sql) {
        let end = offset + usize::try_from(token.len).unwrap_or_default();
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            // Inside parentheses, the parser may report the semicolon as an error and continue with the
            // same statement.
            TokenKind::Semi if nesting.outer.is_empty() => {
                let start = start.take().filter(|_| nesting.max > MAX_NESTING);
                deep.extend(start.map(|start| start..end));
                nesting = Nesting::default();
            }
            kind => {
                start.get_or_insert(offset);
                nesting.push(kind);
            }
        }
        offset = end;
    }
    deep.extend(
        start
            .filter(|_| nesting.max > MAX_NESTING)
            .map(|start| start..offset),
    );
    deep
}

/// An upper bound of how deeply the tokens of a statement can be nested: each token by one level, except
/// that the items of a list are beside each other.
#[derive(Default)]
struct Nesting {
    /// Tokens before each open parenthesis, since the last comma at the same level.
    outer: Vec<usize>,
    /// The sum of `outer`.
    below: usize,
    /// Tokens since the last open parenthesis or comma.
    current: usize,
    max: usize,
}

impl Nesting {
    fn push(&mut self, token: TokenKind) {
        self.current += 1;
        self.max = self.max.max(self.below + self.current);
        match token {
            TokenKind::OpenParen | TokenKind::OpenBracket => {
                self.below += self.current;
                self.outer.push(std::mem::take(&mut self.current));
            }
            TokenKind::CloseParen | TokenKind::CloseBracket => {
                if let Some(outer) = self.outer.pop() {
                    self.below -= outer;
                    self.current = outer;
                }
            }
            TokenKind::Comma => self.current = 0,
            _ => {}
        }
    }
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
