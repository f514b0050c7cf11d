//! Counts tokens of `cl100k_base`, fast enough to do it for every candidate chunk.
//!
//! The encoding splits a text into pieces with a pattern and then merges bytes within each piece,
//! so the number of tokens of a text is the sum over its pieces. Texts repeat words. Therefore the
//! pattern is implemented by hand, and the token counts of pieces are cached.

mod pieces;

use std::cell::RefCell;
use std::collections::HashMap;

use tiktoken_rs::{CoreBPE, cl100k_base_singleton};

/// Maximum number of cached pieces: more than the words of a large book, a few megabytes.
const MAX_CACHED_PIECES: usize = 200_000;
/// Maximum size of a cached piece. Longer pieces rarely repeat.
const MAX_CACHED_PIECE_BYTES: usize = 48;
/// If only a limit is checked, the start of a longer piece is counted first.
const PROBE_BYTES: usize = 1_024;

/// Token counter with a cache. Use one per thread or document.
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
    /// Creates a counter with an empty cache. The first one of a process loads the encoding's
    /// table, which takes about 100 ms.
    pub fn new() -> Self {
        Self {
            encoding: cl100k_base_singleton(),
            counts: RefCell::default(),
        }
    }

    /// Returns the number of tokens of the text.
    pub fn count(&self, text: &str) -> usize {
        pieces::pieces(text)
            .map(|piece| self.count_piece(piece))
            .sum()
    }

    /// Returns the number of tokens of the text if it is at most `limit`, and otherwise a greater
    /// number. It stops when the limit is exceeded, so that long texts cost no more than short
    /// ones.
    pub fn count_up_to(&self, text: &str, limit: usize) -> usize {
        let mut count = 0;
        for piece in pieces::pieces(text) {
            if piece.len() > PROBE_BYTES {
                let beginning = &piece[..piece.floor_char_boundary(PROBE_BYTES)];
                // Twice the limit, because the start of a piece may have a few tokens more than
                // within the whole piece.
                if self.encode(beginning) > limit.saturating_mul(2) {
                    return usize::MAX;
                }
            }
            count += self.count_piece(piece);
            if count > limit {
                return count;
            }
        }
        count
    }

    fn count_piece(&self, piece: &str) -> usize {
        if piece.len() > MAX_CACHED_PIECE_BYTES {
            return self.encode(piece);
        }
        if let Some(count) = self.counts.borrow().get(piece) {
            return *count as usize;
        }
        let count = self.encode(piece);
        let mut counts = self.counts.borrow_mut();
        if counts.len() >= MAX_CACHED_PIECES {
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
    fn every_character_counts_like_the_encoding_except_for_the_newest() {
        let tokens = Tokens::new();
        let (mut differing, mut max_difference) = (0, 0);
        // The planes beyond have no characters.
        for character in '\0'..='\u{33fff}' {
            // Next to a letter, a digit, a space and a symbol: the character's class determines
            // which of them it joins.
            let text =
                format!("a{character}{character}b 1{character}2 !{character}'s  {character}");
            let difference = tokens.count(&text).abs_diff(exact(&text));
            differing += usize::from(difference > 0);
            max_difference = max_difference.max(difference);
        }
        // The encoding's tables are one Unicode version older. Characters added in that version are
        // letters here and symbols there.
        assert!(differing < 6_000, "{differing} characters differ");
        assert!(max_difference <= 4, "by up to {max_difference} tokens");
    }

    proptest! {
        #[test]
        fn a_text_counts_like_the_encoding(text in "\\PC{0,200}") {
            prop_assert_eq!(Tokens::new().count(&text), exact(&text));
        }

        #[test]
        fn white_space_symbols_and_contractions_count_like_the_encoding(
            text in "([ \t\r\n\u{a0}\u{2003}]{1,5}|[a-z]{1,9}|[0-9]{1,7}|'(s|T|ll|VE|re|d|m|x|\u{17f})|[.,;:!?\"()$-]{1,4}|\u{301}|\u{661}|\u{5d0}){0,60}"
        ) {
            prop_assert_eq!(Tokens::new().count(&text), exact(&text));
        }

        #[test]
        fn counting_up_to_a_limit_is_exact_below_the_limit(text in "([a-z]{1,8} ?|[ \n]{1,3}|\\PC){0,80}", limit in 1_usize..60) {
            let tokens = Tokens::new();
            let (all, limited) = (tokens.count(&text), tokens.count_up_to(&text, limit));
            if all <= limit { prop_assert_eq!(limited, all) } else { prop_assert!(limited > limit) }
        }
    }
}
