//! Splits a page by meaning into segments with a maximum number of tokens.
//!
//! `text-splitter` decides where to split. It scans the remaining text for each segment, which is
//! quadratic in the length of the page. A long page is therefore split in windows, and segments
//! near the end of a window, where the rest of the paragraph is not visible, are split again in the
//! next one.

use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};

use crate::Tokens;

/// Size of a window: some forty segments.
const WINDOW_BYTES: usize = 32 * 1024;
/// Segments this close to the end of a window are discarded.
const MARGIN_BYTES: usize = 4 * 1024;
/// Length of a run without gaps that is not treated as natural language. It is split wherever a
/// segment is full, without looking for words.
const UNBROKEN_BYTES: usize = 4 * 1024;

struct Sizer<'tokens> {
    tokens: &'tokens Tokens,
    limit: usize,
}

impl ChunkSizer for Sizer<'_> {
    fn size(&self, chunk: &str) -> usize {
        self.tokens.count_up_to(chunk, self.limit)
    }
}

/// Returns the byte ranges of the segments of a page, in order and without overlap. Together they
/// contain all text except white space.
pub(super) fn split(
    text: &str,
    page: Range<usize>,
    max_tokens: usize,
    tokens: &Tokens,
) -> Vec<Range<usize>> {
    let text = &text[..page.end];
    let sizer = Sizer {
        tokens,
        // The splitter checks whether a text exceeds the limit by a quarter.
        limit: max_tokens + max_tokens / 2,
    };
    let splitter = TextSplitter::new(ChunkConfig::new(max_tokens).with_sizer(sizer));
    let mut segments = Vec::new();
    let mut cursor = page.start;
    while let Some(start) = after_white_space(text, cursor) {
        let end = text.floor_char_boundary(start + WINDOW_BYTES);
        let window = &text[start..end];
        cursor = end;
        if let Some(unbroken) = unbroken(window) {
            cursor = start + fill(unbroken, max_tokens, tokens);
            segments.push(start..cursor);
            continue;
        }
        let is_last = end == text.len();
        let mut taken = false;
        for (offset, segment) in splitter.chunk_indices(window) {
            let segment = start + offset..start + offset + segment.len();
            if taken && !is_last && segment.end + MARGIN_BYTES > end {
                break;
            }
            taken = true;
            cursor = segment.end;
            segments.push(segment);
        }
    }
    segments
}

fn after_white_space(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let trimmed = rest.trim_start();
    (!trimmed.is_empty()).then(|| text.len() - trimmed.len())
}

/// Returns the start of the window if it is one long run of characters without a gap.
fn unbroken(window: &str) -> Option<&str> {
    let start_of_window = &window[..window.floor_char_boundary(UNBROKEN_BYTES)];
    (start_of_window.len() + 4 > UNBROKEN_BYTES
        && !start_of_window.contains(|character: char| {
            character.is_whitespace() || matches!(character, '。' | '、' | '，' | '．' | '・')
        }))
    .then_some(start_of_window)
}

/// Returns how many bytes of the text have at most `max_tokens` tokens, close to the maximum.
fn fill(text: &str, max_tokens: usize, tokens: &Tokens) -> usize {
    let (mut fits, mut too_many) = (0, text.len() + 1);
    // In most runs of this kind, a token has about three bytes.
    let mut candidate = text.floor_char_boundary(max_tokens * 3);
    while candidate > fits {
        if tokens.count(&text[..candidate]) <= max_tokens {
            fits = candidate;
        } else {
            too_many = candidate;
        }
        // Close enough: at most a sixteenth of the segment remains unused.
        if fits > 0 && too_many - fits <= fits / 16 {
            break;
        }
        let middle = if too_many > text.len() {
            (fits * 2).min(text.len())
        } else {
            fits + (too_many - fits) / 2
        };
        candidate = text.floor_char_boundary(middle);
    }
    if fits == 0 {
        text.ceil_char_boundary(1)
    } else {
        fits
    }
}
