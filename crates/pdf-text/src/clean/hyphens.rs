//! Words that the line's end has broken. The hyphen goes, unless the document itself writes the word with one.

use std::collections::HashSet;

use crate::layout::{LaidOut, Line};

/// Compounds that are remembered; a book has some thousand.
const COMPOUNDS_MAX: usize = 100_000;

/// What becomes of the hyphen at a line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hyphen {
    /// It was made by the line's end: it goes, and the parts are one word.
    Goes,
    /// It belongs to the word: it stays, and the parts stand together.
    Stays,
}

/// The words that the document writes with a hyphen in the middle of a line.
pub(super) struct Compounds(HashSet<String>);

impl Compounds {
    pub(super) fn of<'a>(pages: impl Iterator<Item = &'a LaidOut>) -> Self {
        let mut compounds = HashSet::new();
        for page in pages {
            if !page.text.contains('-') {
                continue;
            }
            for word in page.lines.iter().flat_map(|line: &Line| &line.words) {
                let word = bare(page.word(word));
                if compounds.len() < COMPOUNDS_MAX && word.contains('-') {
                    compounds.insert(word.to_lowercase());
                }
            }
        }
        Self(compounds)
    }

    /// What becomes of the hyphen if a line ends with `left` and the next one begins with `right`; `None` if `left` has none.
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
        let left = bare(left);
        // state-of-the-|art, Smith-|Jones, COVID-|19
        if !broken || left.contains('-') {
            return Some(Hyphen::Stays);
        }
        let compound = format!("{left}-{}", bare(right)).to_lowercase();
        Some(if self.0.contains(&compound) {
            Hyphen::Stays
        } else {
            Hyphen::Goes
        })
    }
}

/// A word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|character: char| !character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compounds(words: &[&str]) -> Compounds {
        Compounds(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn a_hyphen_made_by_the_lines_end_goes() {
        let none = compounds(&[]);
        assert_eq!(none.hyphen("exam-", "ple."), Some(Hyphen::Goes));
        assert_eq!(none.hyphen("(über-", "setzt)"), Some(Hyphen::Goes));
    }

    #[test]
    fn a_hyphen_of_the_word_stays() {
        let known = compounds(&["well-known"]);
        assert_eq!(known.hyphen("well-", "known,"), Some(Hyphen::Stays));
        assert_eq!(known.hyphen("state-of-the-", "art"), Some(Hyphen::Stays));
        assert_eq!(known.hyphen("Smith-", "Jones"), Some(Hyphen::Stays));
        assert_eq!(known.hyphen("COVID-", "19"), Some(Hyphen::Stays));
    }

    #[test]
    fn dashes_and_options_are_no_hyphens() {
        let none = compounds(&[]);
        assert_eq!(none.hyphen("-", "word"), None);
        assert_eq!(none.hyphen("--", "word"), None);
        assert_eq!(none.hyphen("word", "word"), None);
        assert_eq!(none.hyphen("word-", "(x)"), None);
    }
}
