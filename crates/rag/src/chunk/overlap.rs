//! Determines how much of the preceding text a chunk repeats.
//!
//! The overlap starts at a sentence if one is near enough, otherwise at a word. It never includes
//! text of the previous page, so that a citation leads to the page that contains the cited text.

use std::ops::Range;

use super::ChunkConfig;
use crate::Tokens;

/// Maximum distance to look back, in bytes. It is more than the overlap can hold.
const LOOK_BACK_BYTES: usize = 1_024;

/// Returns the start of the segment's chunk, not before `earliest`.
pub(super) fn start(
    text: &str,
    earliest: usize,
    segment: &Range<usize>,
    config: &ChunkConfig,
    tokens: &Tokens,
) -> usize {
    if config.overlap_tokens == 0 {
        return segment.start;
    }
    let from = text
        .ceil_char_boundary(segment.start.saturating_sub(LOOK_BACK_BYTES))
        .max(earliest);
    let fits = |at: &usize| {
        tokens.count_up_to(text[*at..segment.start].trim_end(), config.overlap_tokens)
            <= config.overlap_tokens
            && tokens.count_up_to(&text[*at..segment.end], config.max_tokens) <= config.max_tokens
    };
    let starts: Vec<(usize, bool)> = starts(text, from, segment.start);
    // From the nearest start backwards, as long as the chunk fits.
    let reachable = starts.iter().rev().take_while(|(at, _)| fits(at));
    let (mut word, mut sentence) = (None, None);
    for (at, begins_sentence) in reachable {
        word = Some(*at);
        if *begins_sentence {
            sentence = Some(*at);
        }
    }
    sentence.or(word).unwrap_or(segment.start)
}

/// Returns the starts of words in a range, and whether a sentence starts there.
fn starts(text: &str, from: usize, to: usize) -> Vec<(usize, bool)> {
    let mut starts = Vec::new();
    let mut before_is_gap = from == 0;
    let mut before_ends_sentence = false;
    // The look-back may start within a word, so the character before it is checked too.
    if let Some(character) = text[..from].chars().next_back() {
        before_is_gap = character.is_whitespace();
    }
    for (offset, character) in text[from..to].char_indices() {
        if character.is_whitespace() {
            before_is_gap = true;
        } else {
            if before_is_gap {
                starts.push((from + offset, before_ends_sentence));
            }
            before_is_gap = matches!(character, '。' | '！' | '？' | '、' | '，');
            before_ends_sentence = matches!(character, '.' | '!' | '?' | '。' | '！' | '？');
        }
    }
    starts
}
