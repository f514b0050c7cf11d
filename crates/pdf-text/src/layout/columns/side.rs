//! The text on one side of a gap, and whether it flows as prose does.

use super::{FEW_LINES, FLOW_SHARE, MIN_COLUMN_EM, MIN_COVERED_SHARE, ratio};
use crate::layout::runs::TextRun;
use crate::layout::tables::has_number;

/// Minimum share of the lines of prose that start with a lower-case letter, for fewer than
/// [`FEW_LINES`] lines.
const FLOW_SHARE_OF_FEW: f32 = 0.45;
/// Share of lines with a lower-case letter above which the lines are rather cells, each with a
/// lower-case word. Prose has some sentences and names that start a line.
const CELLS_SHARE: f32 = 0.96;
/// Minimum number of lines for [`CELLS_SHARE`].
const MIN_CELLS: usize = 10;

/// What the text of a run looks like. A run is on the sides of many strips.
pub(super) struct RunText {
    bytes: usize,
    /// Whether it has a word that is mostly digits.
    has_number: bool,
    first: Option<char>,
}

impl RunText {
    pub(super) fn of(run: &TextRun, text: &str) -> Self {
        Self {
            bytes: run.fragments.iter().map(|word| word.text.len()).sum(),
            has_number: has_number(run, text),
            first: run.first_text(text).chars().next(),
        }
    }
}

#[derive(Default)]
pub(super) struct Side {
    pub(super) lines: usize,
    pub(super) runs: usize,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) top: f32,
    pub(super) bottom: f32,
    /// Sum of the lengths of the runs, and of the products of their lengths and font sizes.
    pub(super) covered: f32,
    pub(super) covered_em: f32,
    pub(super) bytes: usize,
    /// Number of runs that are mostly numbers.
    pub(super) numbers: usize,
    /// Number of runs that start with a lower-case letter.
    pub(super) lower: usize,
    /// Number of runs that start with a letter of a script without case.
    pub(super) caseless: usize,
    pub(super) right_to_left: usize,
    pub(super) first_line_to: f32,
}

impl Side {
    pub(super) fn new() -> Self {
        Self {
            from: f32::INFINITY,
            to: f32::NEG_INFINITY,
            top: f32::INFINITY,
            bottom: f32::NEG_INFINITY,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, run: &TextRun, text: &RunText) {
        if self.runs == 0 {
            self.first_line_to = run.to;
        }
        self.runs += 1;
        self.from = self.from.min(run.from);
        self.to = self.to.max(run.to);
        self.top = self.top.min(run.baseline);
        self.bottom = self.bottom.max(run.baseline);
        self.covered += run.to - run.from;
        self.covered_em += (run.to - run.from) * run.em;
        self.bytes += text.bytes;
        self.numbers += usize::from(text.has_number);
        let first = text.first;
        self.lower += usize::from(first.is_some_and(char::is_lowercase));
        self.caseless += usize::from(first.is_some_and(|first| {
            first.is_alphabetic() && !first.is_lowercase() && !first.is_uppercase()
        }));
        self.right_to_left +=
            usize::from(first.is_some_and(|first| matches!(first, '\u{590}'..='\u{8ff}')));
    }

    /// Mean font size. A large initial or heading has little weight.
    pub(super) fn em(&self) -> f32 {
        self.covered_em / self.covered.max(1.0)
    }

    pub(super) fn width(&self) -> f32 {
        self.to - self.from
    }

    pub(super) fn share(&self, count: usize) -> f32 {
        ratio(count, self.runs)
    }

    /// Whether its lines fill its width, and sentences continue from line to line.
    pub(super) fn flows(&self) -> bool {
        let fills = self.covered >= MIN_COVERED_SHARE * self.width() * ratio(self.lines, 1);
        let lower = self.share(self.lower);
        let is_prose = if self.share(self.caseless) > 0.5 {
            // Without upper and lower case only the length of the lines shows that they flow.
            self.lines >= FEW_LINES && self.covered >= 0.75 * self.width() * ratio(self.lines, 1)
        } else if self.lines < FEW_LINES {
            // Its first line is full, or the second would not continue it.
            lower >= FLOW_SHARE_OF_FEW && self.first_line_to >= self.to - 0.25 * self.width()
        } else {
            lower >= FLOW_SHARE && !(self.runs >= MIN_CELLS && lower > CELLS_SHARE)
        };
        fills && is_prose && self.width() >= MIN_COLUMN_EM * self.em()
    }
}
