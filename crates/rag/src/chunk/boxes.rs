//! Where a chunk stands on its pages: its words' places, joined line by line.

use std::ops::Range;

use super::joined::Joined;
use super::{Bounds, PlacedWord};

/// The most boxes of a chunk. Lines of a chunk are a few dozen; a file whose every word stands on a line of its own is marked in part.
pub const MAX_BOXES: usize = 256;

pub(super) fn boxes(joined: &Joined<'_>, range: &Range<usize>) -> Vec<Bounds> {
    let mut boxes: Vec<Bounds> = Vec::new();
    for (place, page) in joined.pages_of(range) {
        let from = range.start.saturating_sub(place.start);
        let to = range.end.min(place.end).saturating_sub(place.start);
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

fn is_drawn(word: &PlacedWord) -> bool {
    [word.x, word.y, word.width, word.height]
        .iter()
        .all(|length| length.is_finite())
        && word.width > 0.0
        && word.height > 0.0
}

/// A word goes on with a line if they share half the height of the lower one, and it stands not far from where the line ends: columns side by
/// side are lines of their own.
fn is_on_line(line: &Bounds, word: &PlacedWord) -> bool {
    let shared = (line.y + line.height).min(word.y + word.height) - line.y.max(word.y);
    let gap = (word.x - (line.x + line.width)).max(line.x - (word.x + word.width));
    shared >= line.height.min(word.height) / 2.0 && gap <= 3.0 * line.height.max(word.height)
}

fn extend(line: &mut Bounds, word: &PlacedWord) {
    let right = (line.x + line.width).max(word.x + word.width);
    let bottom = (line.y + line.height).max(word.y + word.height);
    line.x = line.x.min(word.x);
    line.y = line.y.min(word.y);
    line.width = right - line.x;
    line.height = bottom - line.y;
}
