//! Computes the position of a chunk: the positions of its words, joined line by line.

use std::ops::Range;

use super::document_text::DocumentText;
use super::{Bounds, PositionedWord};

/// Maximum number of boxes of a chunk. A chunk has a few dozen lines. A file with every word on its
/// own line is highlighted partially.
pub const MAX_BOXES: usize = 256;

pub(super) fn boxes(document: &DocumentText<'_>, range: &Range<usize>) -> Vec<Bounds> {
    let mut boxes: Vec<Bounds> = Vec::new();
    for (range_of_page, page) in document.pages_of(range) {
        let from = range.start.saturating_sub(range_of_page.start);
        let to = range
            .end
            .min(range_of_page.end)
            .saturating_sub(range_of_page.start);
        let first = page.words.partition_point(|word| word.range.end <= from);
        let words = page.words[first..]
            .iter()
            .take_while(|word| word.range.start < to)
            .filter(|word| is_drawn(word));
        for word in words {
            let line = boxes
                .last_mut()
                .filter(|line| line.page == page.number && is_on_line(line, word));
            if let Some(line) = line {
                extend(line, word);
                continue;
            }
            if boxes.len() == MAX_BOXES {
                return boxes;
            }
            boxes.push(Bounds {
                page: page.number,
                x: word.x,
                y: word.y,
                width: word.width,
                height: word.height,
            });
        }
    }
    boxes
}

fn is_drawn(word: &PositionedWord) -> bool {
    [word.x, word.y, word.width, word.height]
        .iter()
        .all(|length| length.is_finite())
        && word.width > 0.0
        && word.height > 0.0
}

/// Whether a word is on the line: they overlap vertically by half the height of the lower one, and
/// the gap between them is small, so that adjacent columns have separate lines.
fn is_on_line(line: &Bounds, word: &PositionedWord) -> bool {
    let shared = (line.y + line.height).min(word.y + word.height) - line.y.max(word.y);
    let gap = (word.x - (line.x + line.width)).max(line.x - (word.x + word.width));
    shared >= line.height.min(word.height) / 2.0 && gap <= 3.0 * line.height.max(word.height)
}

fn extend(line: &mut Bounds, word: &PositionedWord) {
    let right = (line.x + line.width).max(word.x + word.width);
    let bottom = (line.y + line.height).max(word.y + word.height);
    line.x = line.x.min(word.x);
    line.y = line.y.min(word.y);
    line.width = right - line.x;
    line.height = bottom - line.y;
}
