//! Comments that silence findings: `-- squawk-ignore rule-1, rule-2` for its line and the next one, and
//! `-- squawk-ignore-file rule`, or without a rule for all of them, for the whole file. These are the
//! comments of squawk, so that it accepts the same files.

use std::collections::{BTreeMap, BTreeSet};

use squawk_linter::ignore::{IgnoreKind, ignore_rule_info};
use squawk_syntax::{SyntaxElement, SyntaxNode};

use super::lines::Lines;

#[derive(Default)]
pub(super) struct Ignores {
    whole_file: bool,
    in_file: BTreeSet<String>,
    /// By the line of the comment.
    in_lines: BTreeMap<usize, BTreeSet<String>>,
}

impl Ignores {
    pub(super) fn of(root: &SyntaxNode, lines: &Lines) -> Self {
        let mut ignores = Self::default();
        let tokens = root
            .descendants_with_tokens()
            .filter_map(SyntaxElement::into_token);
        for token in tokens {
            let Some((names, range, kind)) = ignore_rule_info(&token) else {
                continue;
            };
            let rules = names.split(',').map(|name| name.trim().to_owned());
            let rules = rules.filter(|name| !name.is_empty());
            match kind {
                IgnoreKind::File if names.trim().is_empty() => ignores.whole_file = true,
                IgnoreKind::File => ignores.in_file.extend(rules),
                IgnoreKind::Line => {
                    let line = lines.line(range.start().into());
                    ignores.in_lines.entry(line).or_default().extend(rules);
                }
            }
        }
        ignores
    }

    pub(super) fn contains(&self, line: usize, rule: &str) -> bool {
        let in_line = |line: usize| {
            let rules = self.in_lines.get(&line);
            rules.is_some_and(|rules| rules.contains(rule))
        };
        self.whole_file || self.in_file.contains(rule) || in_line(line) || in_line(line - 1)
    }
}
