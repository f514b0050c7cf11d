//! Builds lines from words and sorts them in reading order.
//!
//! Consecutive words on one baseline form a run. Runs on one baseline form a line, whatever their
//! order in the file, unless a column gap separates them. Lines are sorted from top to bottom,
//! column by column, between lines that cross the columns.

use std::ops::Range;

use super::column_gaps::{Span, column_gaps};
use super::page_builder::{BoundingBox, PageBuilder, Script, TextFragment, sin_cos};

/// Maximum gap within a run, in ems. A wider gap may separate columns or cells.
const RUN_GAP_EM: f32 = 1.2;
/// Maximum overlap of a word with the previous word of its run, in ems.
const RUN_OVERLAP_EM: f32 = 0.4;
/// Maximum distance of baselines on the same line, in ems.
const BASELINE_EM: f32 = 0.2;
/// Limits for superscripts and subscripts: their size as a share of the line's size, their distance
/// from the baseline, and their distance from the previous word, the latter two in ems of the line.
const SCRIPT_SIZE: f32 = 0.9;
const SCRIPT_SHIFT_EM: f32 = 0.6;
const SCRIPT_GAP_EM: f32 = 0.5;
/// Minimum width of a space that is not drawn, in ems.
const SPACE_GAP_EM: f32 = 0.13;
/// Minimum gap between two table cells, in ems. Justified text has no gaps of this width.
const CELL_GAP_EM: f32 = 2.0;
/// Minimum number of fragments of a line with letter spacing, most of which are single letters.
const MIN_SPACED_LETTERS: usize = 6;
/// Maximum gap of letter spacing, in ems.
const MAX_SPACED_GAP_EM: f32 = 0.22;
/// Maximum distance of a word that is drawn twice as a shadow, in ems.
const DUPLICATE_EM: f32 = 0.3;
/// Number of previous lines with which a run is compared. Lines of other columns may be between
/// them.
const LINES_BACK: usize = 6;
/// Maximum number of runs of a page with columns. A page with more is a drawing with labels.
const MAX_RUNS_WITH_COLUMNS: usize = 4_000;

/// The lines of a page in reading order.
#[derive(Debug, Default)]
pub(crate) struct PageLines {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Text of all words.
    pub(crate) text: String,
    pub(crate) lines: Vec<TextLine>,
    /// Whether the page has an image.
    pub(crate) has_picture: bool,
}

#[derive(Debug)]
pub(crate) struct TextLine {
    pub(crate) words: Vec<LineWord>,
    /// Index of the column. Lines that cross columns have an index of their own.
    pub(crate) column: usize,
    /// Direction in degrees clockwise.
    pub(crate) angle: u16,
    /// Start, end and baseline along its direction, in points.
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) baseline: f32,
    /// Largest font size in the line.
    pub(crate) em: f32,
    /// Whether it is a row of cells, or an entry with a page number at the margin. The next line
    /// never continues it.
    pub(crate) is_row: bool,
}

#[derive(Debug)]
pub(crate) struct LineWord {
    /// Byte range in the page's text.
    pub(crate) text: Range<u32>,
    /// Whether there is no space between it and the previous word.
    pub(crate) glued: bool,
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

/// Adjacent words with the same direction and baseline.
struct TextRun {
    fragments: Vec<TextFragment>,
    from: f32,
    to: f32,
    baseline: f32,
    em: f32,
    column: usize,
}

/// Whether text of size `em` on `baseline` can be on a line of size `line_em` with `line_baseline`,
/// at this distance.
fn is_same_line(line_baseline: f32, line_em: f32, baseline: f32, em: f32, gap: f32) -> bool {
    let (larger, smaller) = (line_em.max(em), line_em.min(em));
    let shift = (line_baseline - baseline).abs();
    shift <= BASELINE_EM * smaller
        || (smaller <= SCRIPT_SIZE * larger
            && shift <= SCRIPT_SHIFT_EM * larger
            && (-RUN_OVERLAP_EM * larger..=SCRIPT_GAP_EM * larger).contains(&gap))
}

impl TextRun {
    fn of(fragment: TextFragment) -> Self {
        Self {
            from: fragment.from,
            to: fragment.to,
            baseline: fragment.baseline,
            em: fragment.em,
            fragments: vec![fragment],
            column: 0,
        }
    }

    fn accepts(&self, fragment: &TextFragment) -> bool {
        let gap = fragment.from - self.to;
        let em = self.em.max(fragment.em);
        (-RUN_OVERLAP_EM * em..=RUN_GAP_EM * em).contains(&gap)
            && is_same_line(self.baseline, self.em, fragment.baseline, fragment.em, gap)
    }

    /// Merges text on the same line. The larger text determines the baseline.
    fn merge(&mut self, mut other: Self) {
        if other.em > self.em {
            self.baseline = other.baseline;
            self.em = other.em;
        }
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.fragments.append(&mut other.fragments);
    }

    fn is_on_line_of(&self, other: &Self) -> bool {
        let gap = if other.from >= self.from {
            other.from - self.to
        } else {
            self.from - other.to
        };
        is_same_line(self.baseline, self.em, other.baseline, other.em, gap)
    }
}

/// Builds the lines of a page.
pub(crate) fn lay_out(builder: PageBuilder) -> PageLines {
    let PageBuilder {
        width,
        height,
        text,
        words,
        has_picture,
        ..
    } = builder;
    let mut page = PageLines {
        width,
        height,
        text,
        lines: Vec::new(),
        has_picture,
    };
    for (angle, fragments) in by_direction(words) {
        let mut runs = runs(fragments);
        let column_count = assign_columns(&mut runs);
        for line in sort_lines(lines(runs), column_count) {
            page.lines
                .extend(build_line(line, angle, (width, height), &page.text));
        }
    }
    page
}

/// Groups words by direction. The most frequent direction comes first, the others in the order of
/// the file.
fn by_direction(words: Vec<TextFragment>) -> Vec<(u16, Vec<TextFragment>)> {
    let mut groups: Vec<(u16, Vec<TextFragment>)> = Vec::new();
    for word in words {
        match groups.iter_mut().find(|(angle, _)| *angle == word.angle) {
            Some((_, group)) => group.push(word),
            None => groups.push((word.angle, vec![word])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

fn runs(fragments: Vec<TextFragment>) -> Vec<TextRun> {
    let mut runs: Vec<TextRun> = Vec::new();
    for fragment in fragments {
        match runs.last_mut() {
            Some(run) if run.accepts(&fragment) => run.merge(TextRun::of(fragment)),
            _ => runs.push(TextRun::of(fragment)),
        }
    }
    runs
}

/// Assigns each run to a column. Runs that cross a gap get the index after the last column. Returns
/// the number of columns.
fn assign_columns(runs: &mut [TextRun]) -> usize {
    if runs.len() > MAX_RUNS_WITH_COLUMNS {
        return 1;
    }
    let extents: Vec<Span> = runs
        .iter()
        .map(|run| Span {
            from: run.from,
            to: run.to,
            baseline: run.baseline,
        })
        .collect();
    let column_gaps = column_gaps(&extents);
    let count = column_gaps.len() + 1;
    for run in runs {
        let first = column_gaps.partition_point(|&column_gap| column_gap <= run.from);
        let last = column_gaps.partition_point(|&column_gap| column_gap < run.to);
        run.column = if first == last { first } else { count };
    }
    count
}

/// Merges runs on one baseline in the same column to lines.
fn lines(mut runs: Vec<TextRun>) -> Vec<TextRun> {
    runs.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    let mut lines: Vec<TextRun> = Vec::with_capacity(runs.len());
    for run in runs {
        let line = lines
            .iter_mut()
            .rev()
            .take(LINES_BACK)
            .find(|line| line.column == run.column && line.is_on_line_of(&run));
        match line {
            Some(line) => line.merge(run),
            None => lines.push(run),
        }
    }
    lines
}

/// Sorts lines from top to bottom, and column by column between two lines that cross all columns.
fn sort_lines(mut lines: Vec<TextRun>, column_count: usize) -> Vec<TextRun> {
    lines.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    if column_count > 1 {
        let mut band = 0_usize;
        let mut keys = Vec::with_capacity(lines.len());
        for line in &lines {
            keys.push((band, line.column));
            band += usize::from(line.column == column_count);
        }
        let mut keyed: Vec<_> = keys.into_iter().zip(lines).collect();
        keyed.sort_by_key(|(key, _)| *key); // stable: keeps the order within a column
        lines = keyed.into_iter().map(|(_, line)| line).collect();
    }
    lines
}

/// Builds a line with its words in order, without duplicates and invisible words.
fn build_line(line: TextRun, angle: u16, size: (f32, f32), text: &str) -> Option<TextLine> {
    let mut fragments = line.fragments;
    fragments.sort_by(|a, b| a.from.total_cmp(&b.from));
    let of = |fragment: &TextFragment| {
        text.get(fragment.text.start as usize..fragment.text.end as usize)
    };
    fragments.dedup_by(|fragment, before| {
        (fragment.from - before.from).abs() <= DUPLICATE_EM * fragment.em
            && (fragment.to - before.to).abs() <= DUPLICATE_EM * fragment.em
            && of(fragment) == of(before)
    });
    let space_gap_em = space_gap_em(&fragments, text);
    let is_row = fragments.windows(2).any(|pair| match pair {
        [before, fragment] => fragment.from - before.to > CELL_GAP_EM * fragment.em.max(before.em),
        _ => false,
    });
    let separated: Vec<bool> = fragments
        .windows(2)
        .map(|pair| match pair {
            [before, fragment] => {
                let drawn = (fragment.space_before && before.text.end == fragment.text.start)
                    || (before.space_before && fragment.text.end == before.text.start);
                drawn || fragment.from - before.to > space_gap_em * fragment.em.max(before.em)
            }
            _ => false,
        })
        .collect();
    let mut words: Vec<LineWord> = Vec::with_capacity(fragments.len());
    let mut before: Option<usize> = None;
    for at in reading_order(&fragments) {
        let Some(fragment) = fragments.get(at) else {
            continue;
        };
        let Some(bounds) = fragment.bounds_on_page(size.0, size.1) else {
            continue;
        };
        // The gap between neighbors is stored with the left one. Fragments that are not neighbors
        // are separated.
        let glued = before.is_some_and(|before| {
            before.abs_diff(at) == 1 && separated.get(before.min(at)) == Some(&false)
        });
        words.push(LineWord {
            text: fragment.text.clone(),
            glued,
            length: fragment.to - fragment.from,
            bounds,
        });
        before = Some(at);
    }
    (!words.is_empty()).then_some(TextLine {
        words,
        column: line.column,
        angle,
        from: line.from,
        to: line.to,
        baseline: line.baseline,
        em: line.em,
        is_row,
    })
}

/// Returns the minimum gap of a space, in ems. With letter spacing, where each letter is a
/// fragment, the letter spacing is added.
fn space_gap_em(fragments: &[TextFragment], text: &str) -> f32 {
    let letter = |fragment: &TextFragment| {
        let mut text = text
            .get(fragment.text.start as usize..fragment.text.end as usize)
            .unwrap_or_default()
            .chars();
        // East Asian characters do not form words of letters.
        text.next()
            .is_some_and(|first| first.is_alphanumeric() && first < '\u{2e80}')
            && text.next().is_none()
    };
    let letters = fragments.iter().filter(|fragment| letter(fragment)).count();
    if fragments.len() < MIN_SPACED_LETTERS || letters * 4 < fragments.len() * 3 {
        return SPACE_GAP_EM;
    }
    let mut gaps: Vec<f32> = fragments
        .windows(2)
        .filter_map(|pair| match pair {
            [before, fragment] if !fragment.space_before => {
                Some((fragment.from - before.to) / fragment.em.max(before.em))
            }
            _ => None,
        })
        .filter(|gap| (0.0..1.0).contains(gap))
        .collect();
    gaps.sort_by(f32::total_cmp);
    let median_gap = gaps.get(gaps.len() * 2 / 5).copied().unwrap_or(0.0);
    if median_gap <= MAX_SPACED_GAP_EM {
        SPACE_GAP_EM + median_gap
    } else {
        SPACE_GAP_EM // one-letter words
    }
}

/// Returns the order in which fragments, given from left to right, are read.
fn reading_order(fragments: &[TextFragment]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fragments.len()).collect();
    let count = |script| {
        fragments
            .iter()
            .filter(|fragment| fragment.script == script)
            .count()
    };
    let right_to_left = count(Script::RightToLeft);
    if right_to_left == 0 {
        return order;
    }
    // The line is read in the direction of most of its words. Runs of the other direction are
    // reversed.
    let inner = if right_to_left > count(Script::LeftToRight) {
        order.reverse();
        Script::LeftToRight
    } else {
        Script::RightToLeft
    };
    let inside = |at: &usize| {
        fragments
            .get(*at)
            .is_some_and(|fragment| fragment.script == inner)
    };
    for run in order.chunk_by_mut(|a, b| inside(a) == inside(b)) {
        if run.first().is_some_and(inside) {
            run.reverse();
        }
    }
    order
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
