//! How much of what stands before a stretch its chunk repeats.
//!
//! From the beginning of a sentence if one is near enough, else from the beginning of a word, and never from the page before: who follows a
//! citation is to find it on the page that it names.

use std::ops::Range;

use super::Rules;
use crate::Tokens;

/// So far back is looked: more than the overlap can hold of any text with words.
const LOOK_BACK_BYTES: usize = 1_024;

/// Where the chunk of the stretch begins: not before `earliest`.
pub(super) fn start(
    text: &str,
    earliest: usize,
    stretch: &Range<usize>,
    rules: &Rules,
    tokens: &Tokens,
) -> usize {
    if rules.overlap_tokens == 0 {
        return stretch.start;
    }
    let from = text
        .ceil_char_boundary(stretch.start.saturating_sub(LOOK_BACK_BYTES))
        .max(earliest);
    let fits = |at: &usize| {
        tokens.count_up_to(text[*at..stretch.start].trim_end(), rules.overlap_tokens)
            <= rules.overlap_tokens
            && tokens.count_up_to(&text[*at..stretch.end], rules.max_tokens) <= rules.max_tokens
    };
    let starts: Vec<(usize, bool)> = starts(text, from, stretch.start);
    // From the nearest back, as far as there is room.
    let reachable = starts.iter().rev().take_while(|(at, _)| fits(at));
    let (mut word, mut sentence) = (None, None);
    for (at, begins_sentence) in reachable {
        word = Some(*at);
        if *begins_sentence {
            sentence = Some(*at);
        }
    }
    sentence.or(word).unwrap_or(stretch.start)
}

/// Where words begin between two places, and whether a sentence begins there too.
fn starts(text: &str, from: usize, to: usize) -> Vec<(usize, bool)> {
    let mut starts = Vec::new();
    let mut before_is_gap = from == 0;
    let mut before_ends_sentence = false;
    // The first word may have been cut by where the look back began, so what stands before it is looked at too.
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
