//! A page, cut by meaning into stretches that hold a number of tokens at most.
//!
//! `text-splitter` decides where. It looks at all that is left for every stretch, which takes the square of the page's length, so of a long page it is shown a
//! window at a time; what it cuts near a window's end, where it cannot see how a paragraph goes on, is cut again in the next.

use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};

use crate::Tokens;

/// How much of the text the splitter sees at a time: some forty stretches.
const WINDOW_BYTES: usize = 32 * 1024;
/// What it cuts so close to the window's end is not taken.
const MARGIN_BYTES: usize = 4 * 1024;
/// So long without a gap is no language: it is cut wherever it is full, without looking for words.
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

/// The stretches of a page, by their bytes in the text: in order and apart from each other, and together all that is not white space.
pub(super) fn split(
    text: &str,
    page: Range<usize>,
    max_tokens: usize,
    tokens: &Tokens,
) -> Vec<Range<usize>> {
    let text = &text[..page.end];
    let sizer = Sizer {
        tokens,
        // The splitter asks whether something is a quarter too large.
        limit: max_tokens + max_tokens / 2,
    };
    let splitter = TextSplitter::new(ChunkConfig::new(max_tokens).with_sizer(sizer));
    let mut stretches = Vec::new();
    let mut cursor = page.start;
    while let Some(start) = after_white_space(text, cursor) {
        let end = text.floor_char_boundary(start + WINDOW_BYTES);
        let window = &text[start..end];
        cursor = end;
        if let Some(unbroken) = unbroken(window) {
            cursor = start + fill(unbroken, max_tokens, tokens);
            stretches.push(start..cursor);
            continue;
        }
        let is_last = end == text.len();
        let mut taken = false;
        for (offset, stretch) in splitter.chunk_indices(window) {
            let stretch = start + offset..start + offset + stretch.len();
            if taken && !is_last && stretch.end + MARGIN_BYTES > end {
                break;
            }
            taken = true;
            cursor = stretch.end;
            stretches.push(stretch);
        }
    }
    stretches
}

fn after_white_space(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let trimmed = rest.trim_start();
    (!trimmed.is_empty()).then(|| text.len() - trimmed.len())
}

/// The beginning of the window, if it is one long run of characters without any gap.
fn unbroken(window: &str) -> Option<&str> {
    let beginning = &window[..window.floor_char_boundary(UNBROKEN_BYTES)];
    (beginning.len() + 4 > UNBROKEN_BYTES
        && !beginning.contains(|character: char| {
            character.is_whitespace() || matches!(character, '。' | '、' | '，' | '．' | '・')
        }))
    .then_some(beginning)
}

/// How many bytes of the text make at most so many tokens: nearly as many as there can be.
fn fill(text: &str, max_tokens: usize, tokens: &Tokens) -> usize {
    let (mut fits, mut too_many) = (0, text.len() + 1);
    // A token has some three bytes in most runs of this kind.
    let mut candidate = text.floor_char_boundary(max_tokens * 3);
    while candidate > fits {
        if tokens.count(&text[..candidate]) <= max_tokens {
            fits = candidate;
        } else {
            too_many = candidate;
        }
        // Near enough: a sixteenth of it is left unused at most.
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
