//! The lines of a page in reading order.

use std::ops::Range;

use super::geometry::{BoundingBox, sin_cos};
use super::page_builder::PageSummary;

#[derive(Debug, Default)]
pub(crate) struct PageLines {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Text of all words.
    pub(crate) text: String,
    pub(crate) lines: Vec<TextLine>,
    pub(crate) summary: PageSummary,
    /// Printed label of the page, if it is not its number.
    pub(crate) label: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct TextLine {
    pub(crate) words: Vec<LineWord>,
    /// Index of the column or band. The text of a column continues on its next line.
    pub(crate) column: usize,
    /// Direction in degrees clockwise.
    pub(crate) angle: u16,
    /// Start, end and baseline along its direction, in points.
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) baseline: f32,
    /// Baseline of the last line of a row whose cells have several lines.
    pub(crate) last_baseline: f32,
    /// Largest font size in the line.
    pub(crate) em: f32,
    /// Whether it is a row of cells, or an entry with a page number at the margin. The next line
    /// never continues it.
    pub(crate) is_row: bool,
    /// Index of the table on the page.
    pub(crate) table: Option<usize>,
    /// Whether it names the columns of the table.
    pub(crate) is_header: bool,
}

/// What separates a word from the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordGap {
    /// Nothing: parts of one word.
    None,
    Space,
    /// The border of a table cell, or a gap as wide as one.
    Cell,
    /// The start of the next line of a table cell.
    CellLine,
}

#[derive(Debug, Clone)]
pub(crate) struct LineWord {
    /// Byte range in the page's text.
    pub(crate) text: Range<u32>,
    /// The separation from the previous word.
    pub(crate) gap: WordGap,
    /// Number of empty cells before it.
    pub(crate) empty_cells: u8,
    /// Length along its line, in points.
    pub(crate) length: f32,
    pub(crate) bounds: BoundingBox,
}

impl PageLines {
    pub(crate) fn word(&self, word: &LineWord) -> &str {
        self.text
            .get(word.text.start as usize..word.text.end as usize)
            .unwrap_or_default()
    }
}

impl TextLine {
    /// Vertical position of the middle of the baseline, in points from the top.
    pub(crate) fn y(&self) -> f32 {
        let (sin, cos) = sin_cos(self.angle);
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let (sin, cos) = (sin as f32, cos as f32);
        f32::midpoint(self.from, self.to) * sin + self.baseline * cos
    }
}
