//! Words broken at the end of a line. The hyphen is removed unless the document writes the word
//! with one elsewhere.

use std::collections::HashSet;

use crate::layout::{PageLines, TextLine};

/// Maximum number of compounds that are remembered. A book has some thousand.
const MAX_COMPOUNDS: usize = 100_000;

/// What to do with a hyphen at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hyphen {
    /// It marks the line break. The parts form one word.
    Remove,
    /// It belongs to the word. The parts are joined with it.
    Keep,
}

/// The words that the document writes with a hyphen within a line.
pub(super) struct Compounds(HashSet<String>);

impl Compounds {
    pub(super) fn of<'a>(pages: impl Iterator<Item = &'a PageLines>) -> Self {
        let mut compounds = HashSet::new();
        for page in pages {
            if !page.text.contains('-') {
                continue;
            }
            for word in page.lines.iter().flat_map(|line: &TextLine| &line.words) {
                let word = trim_punctuation(page.word(word));
                if compounds.len() < MAX_COMPOUNDS && word.contains('-') {
                    compounds.insert(word.to_lowercase());
                }
            }
        }
        Self(compounds)
    }

    /// Returns what to do with the hyphen if a line ends with `left` and the next one starts with
    /// `right`. `None` if `left` does not end with a hyphen.
    pub(super) fn hyphen(&self, left: &str, right: &str) -> Option<Hyphen> {
        let left = left.strip_suffix('-')?;
        if !left.chars().next_back().is_some_and(char::is_alphanumeric) {
            return None; // a dash, or an option such as `--`
        }
        let next = right.chars().next()?;
        if !next.is_alphanumeric() {
            return None;
        }
        let broken =
            next.is_lowercase() && left.chars().next_back().is_some_and(char::is_alphabetic);
        let left = trim_punctuation(left);
        // state-of-the-|art, Smith-|Jones, COVID-|19
        if !broken || left.contains('-') {
            return Some(Hyphen::Keep);
        }
        let compound = format!("{left}-{}", trim_punctuation(right)).to_lowercase();
        Some(if self.0.contains(&compound) {
            Hyphen::Keep
        } else {
            Hyphen::Remove
        })
    }
}

/// Returns a word without the surrounding punctuation.
fn trim_punctuation(word: &str) -> &str {
    word.trim_matches(|character: char| !character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compounds(words: &[&str]) -> Compounds {
        Compounds(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn a_hyphen_of_a_line_break_is_removed() {
        let none = compounds(&[]);
        assert_eq!(none.hyphen("exam-", "ple."), Some(Hyphen::Remove));
        assert_eq!(none.hyphen("(über-", "setzt)"), Some(Hyphen::Remove));
    }

    #[test]
    fn a_hyphen_of_a_compound_is_kept() {
        let known = compounds(&["well-known"]);
        assert_eq!(known.hyphen("well-", "known,"), Some(Hyphen::Keep));
        assert_eq!(known.hyphen("state-of-the-", "art"), Some(Hyphen::Keep));
        assert_eq!(known.hyphen("Smith-", "Jones"), Some(Hyphen::Keep));
        assert_eq!(known.hyphen("COVID-", "19"), Some(Hyphen::Keep));
    }

    #[test]
    fn dashes_and_options_are_not_hyphens() {
        let none = compounds(&[]);
        assert_eq!(none.hyphen("-", "word"), None);
        assert_eq!(none.hyphen("--", "word"), None);
        assert_eq!(none.hyphen("word", "word"), None);
        assert_eq!(none.hyphen("word-", "(x)"), None);
    }
}
