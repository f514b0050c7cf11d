//! Counting tokens as `cl100k_base` does, fast enough to be asked for every candidate of every chunk.
//!
//! The encoding first cuts a text into pieces by a pattern and then merges bytes within each piece, so a text has as many tokens as its
//! pieces have together. Texts repeat their words: the cut is made here by hand, and what a piece counts is remembered.

mod pieces;

use std::cell::RefCell;
use std::collections::HashMap;

use tiktoken_rs::{CoreBPE, cl100k_base_singleton};

/// So many pieces are remembered at most: more than the words of a large book, a few megabytes.
const REMEMBERED_PIECES: usize = 200_000;
/// Longer pieces are not remembered: they do not repeat.
const REMEMBERED_BYTES: usize = 48;
/// Of a longer piece, its beginning is counted first where only a limit is asked for.
const PROBE_BYTES: usize = 1_024;

/// Counts tokens, and remembers the pieces that it has counted. One for each thread or document.
pub struct Tokens {
    encoding: &'static CoreBPE,
    counts: RefCell<HashMap<Box<str>, u32>>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// A counter that remembers nothing yet. The first of a process reads the encoding's table, which takes some 100 ms.
    pub fn new() -> Self {
        Self {
            encoding: cl100k_base_singleton(),
            counts: RefCell::default(),
        }
    }

    /// How many tokens the text has.
    pub fn count(&self, text: &str) -> usize {
        pieces::pieces(text).map(|piece| self.piece(piece)).sum()
    }

    /// How many tokens the text has if these are not more than `limit`; else some number above it. It does not read on once the
    /// limit is passed, so that a long text costs no more than a short one.
    pub fn count_up_to(&self, text: &str, limit: usize) -> usize {
        let mut count = 0;
        for piece in pieces::pieces(text) {
            if piece.len() > PROBE_BYTES {
                let beginning = &piece[..piece.floor_char_boundary(PROBE_BYTES)];
                // Twice, because the beginning of a piece may have some tokens more than within the whole.
                if self.encode(beginning) > limit.saturating_mul(2) {
                    return usize::MAX;
                }
            }
            count += self.piece(piece);
            if count > limit {
                return count;
            }
        }
        count
    }

    fn piece(&self, piece: &str) -> usize {
        if piece.len() > REMEMBERED_BYTES {
            return self.encode(piece);
        }
        if let Some(count) = self.counts.borrow().get(piece) {
            return *count as usize;
        }
        let count = self.encode(piece);
        let mut counts = self.counts.borrow_mut();
        if counts.len() >= REMEMBERED_PIECES {
            counts.clear();
        }
        counts.insert(piece.into(), u32::try_from(count).unwrap_or(u32::MAX));
        count
    }

    fn encode(&self, piece: &str) -> usize {
        self.encoding.count_ordinary(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(text: &str) -> usize {
        cl100k_base_singleton().count_ordinary(text)
    }

    #[test]
    fn every_character_counts_as_the_encoding_counts_it_but_for_the_newest_by_a_token_or_two() {
        let tokens = Tokens::new();
        let (mut differing, mut farthest) = (0, 0);
        // Beyond are planes without characters.
        for character in '\0'..='\u{33fff}' {
            // Beside a letter, a digit, a space and a sign: which of them it joins tells what class it was taken for.
            let text =
                format!("a{character}{character}b 1{character}2 !{character}'s  {character}");
            let difference = tokens.count(&text).abs_diff(exact(&text));
            differing += usize::from(difference > 0);
            farthest = farthest.max(difference);
        }
        // The encoding's tables are a version of Unicode behind: what that version added are letters here and signs there.
        assert!(differing < 6_000, "{differing} characters differ");
        assert!(farthest <= 4, "by up to {farthest} tokens");
    }

    proptest! {
        #[test]
        fn a_text_counts_as_the_encoding_counts_it(text in "\\PC{0,200}") {
            prop_assert_eq!(Tokens::new().count(&text), exact(&text));
        }

        #[test]
        fn white_space_signs_and_contractions_count_as_the_encoding_counts_them(
            text in "([ \t\r\n\u{a0}\u{2003}]{1,5}|[a-z]{1,9}|[0-9]{1,7}|'(s|T|ll|VE|re|d|m|x|\u{17f})|[.,;:!?\"()$-]{1,4}|\u{301}|\u{661}|\u{5d0}){0,60}"
        ) {
            prop_assert_eq!(Tokens::new().count(&text), exact(&text));
        }

        #[test]
        fn counting_to_a_limit_is_exact_below_it_and_above_it_beyond(text in "([a-z]{1,8} ?|[ \n]{1,3}|\\PC){0,80}", limit in 1_usize..60) {
            let tokens = Tokens::new();
            let (all, limited) = (tokens.count(&text), tokens.count_up_to(&text, limit));
            if all <= limit { prop_assert_eq!(limited, all) } else { prop_assert!(limited > limit) }
        }
    }
}
