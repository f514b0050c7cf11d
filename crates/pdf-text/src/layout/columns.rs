//! Finds columns of prose. A table has gaps too, but it must be read row by row. A gap therefore
//! counts only if the text on both sides flows from line to line, as prose does.

mod paired_rows;
mod side;

use std::ops::Range;

use super::rows::Line;
use super::rulings::Rulings;
use side::{RunText, Side};

/// Minimum width of a gap between columns, in ems. Spaces of justified text are narrower.
const MIN_GAP_EM: f32 = 0.6;
/// Maximum distance of left edges that are aligned, in points.
const ALIGNED_POINTS: f32 = 2.5;
/// Maximum number of gaps that are examined, those with the most lines first.
const MAX_CANDIDATES: usize = 24;
/// Minimum number of lines of a column.
const MIN_COLUMN_LINES: usize = 2;
/// Minimum width of a column, in ems. Line numbers and dates are narrower.
const MIN_COLUMN_EM: f32 = 6.5;
/// Minimum share of a column's width that its lines cover on average.
const MIN_COVERED_SHARE: f32 = 0.5;
/// Minimum vertical overlap of two columns, as a share of the height of the shorter one.
const BESIDE_SHARE: f32 = 0.3;
/// Minimum share of the lines of prose that start with a lower-case letter. English prose has
/// about 75 %, German prose 55 %, a list of references 40 %.
const FLOW_SHARE: f32 = 0.3;
/// Number of lines below which chance matters more.
const FEW_LINES: usize = 5;
/// Share of lines with the same baseline on both sides below which the columns are independent.
/// The cells of a table share baselines.
const INDEPENDENT_SHARE: f32 = 0.4;
/// Minimum share of the lines of the shorter column that are beside a line of the other, if the rows
/// of both belong together.
const PAIRED_SHARE: f32 = 0.8;
/// Minimum number of lines of independent columns.
const MIN_INDEPENDENT_LINES: usize = 5;
/// Minimum vertical overlap of names and numbers of a table, as a share of the height of both.
const TABLE_SHARE: f32 = 0.85;
/// Limits for columns of entries, such as an index: minimum ratio of the widths of the columns,
/// and minimum length of a line, in bytes.
const EQUAL_WIDTH_RATIO: f32 = 0.75;
const MIN_ENTRY_BYTES: f32 = 22.0;
/// Gap between the lines of a band, as a multiple of the usual one, above which the first and last
/// lines of a band are not part of its columns but headers and footers.
const BAND_END_LEADING: f32 = 2.2;
/// Minimum distance of the lines of a column, in ems. Other columns have lines between them.
const MIN_LEADING_EM: f32 = 1.2;

/// Lines with two columns.
pub(super) struct Band {
    pub(super) lines: Range<usize>,
    /// The lines of each row, if the columns are read row by row.
    pub(super) rows: Vec<Range<usize>>,
    /// Position between the columns.
    pub(super) gap: f32,
    /// Whether the right column is read first.
    pub(super) right_first: bool,
}

/// Finds the band with the most lines in two columns.
pub(super) fn find(lines: &[Line], rulings: &Rulings, text: &str) -> Option<Band> {
    if lines.len() < MIN_COLUMN_LINES {
        return None;
    }
    let em = usual_em(lines)?;
    let min_gap = MIN_GAP_EM * em;
    let extents: Vec<Vec<(f32, f32)>> = lines.iter().map(extents).collect();
    let mut candidates: Vec<(usize, Strip)> = candidates(&extents)
        .into_iter()
        .flat_map(|right| strips(&extents, right, min_gap))
        .collect();
    if candidates.is_empty() {
        return None;
    }
    let texts: Vec<Vec<RunText>> = lines.iter().map(|line| run_texts(line, text)).collect();
    candidates.sort_by_key(|(score, strip)| (std::cmp::Reverse(*score), strip.lines.start));
    candidates
        .dedup_by(|(_, a), (_, b)| a.lines == b.lines && a.before.total_cmp(&b.before).is_eq());
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .find_map(|(_, strip)| {
            let strip = strip.trimmed(lines, em)?;
            let columns = Columns::of(lines, &texts, &strip)?;
            columns.is_prose(rulings).then(|| Band {
                rows: if columns.may_be_paired() {
                    paired_rows::find(lines, &strip, em)
                } else {
                    Vec::new()
                },
                right_first: columns.is_right_to_left,
                gap: f32::midpoint(strip.before, strip.after),
                lines: strip.lines,
            })
        })
}

/// Returns the runs of a line. A row of a ruled table is one run.
fn extents(line: &Line) -> Vec<(f32, f32)> {
    match line {
        Line::Runs(runs) => runs.iter().map(|run| (run.from, run.to)).collect(),
        Line::Grid(row) => vec![(row.from, row.to)],
    }
}

/// Returns what the text of the runs of a line looks like.
fn run_texts(line: &Line, text: &str) -> Vec<RunText> {
    match line {
        Line::Runs(runs) => runs.iter().map(|run| RunText::of(run, text)).collect(),
        Line::Grid(_) => Vec::new(),
    }
}

fn usual_em(lines: &[Line]) -> Option<f32> {
    let mut ems: Vec<f32> = lines
        .iter()
        .flat_map(|line| match line {
            Line::Runs(runs) => runs.as_slice(),
            Line::Grid(_) => &[],
        })
        .map(|run| run.em)
        .collect();
    ems.sort_by(f32::total_cmp);
    ems.get(ems.len() / 2).copied()
}

/// Returns positions where a column may start: left edges of runs that are aligned, or have text
/// before them on their line.
fn candidates(extents: &[Vec<(f32, f32)>]) -> Vec<f32> {
    let mut edges: Vec<f32> = extents.iter().flatten().map(|(from, _)| *from).collect();
    edges.sort_by(f32::total_cmp);
    let mut clusters: Vec<(f32, usize)> = Vec::new();
    for edge in edges {
        match clusters.last_mut() {
            Some((first, count)) if edge - *first <= ALIGNED_POINTS => *count += 1,
            _ => clusters.push((edge, 1)),
        }
    }
    clusters
        .into_iter()
        .skip(1) // the left margin
        .filter(|(_, count)| *count >= MIN_COLUMN_LINES)
        .map(|(edge, _)| edge)
        .collect()
}

/// A vertical strip without text.
#[derive(Debug, Clone)]
struct Strip {
    lines: Range<usize>,
    /// Rightmost end of the text before it and leftmost start of the text after it.
    before: f32,
    after: f32,
}

/// Returns the strips of `min_gap` before `right`, each as long as possible, with the number of
/// lines that have text on both sides or on either.
fn strips(extents: &[Vec<(f32, f32)>], right: f32, min_gap: f32) -> Vec<(usize, Strip)> {
    let mut strips = Vec::new();
    let mut start = 0;
    for end in 0..=extents.len() {
        let crosses = extents.get(end).is_none_or(|line| {
            line.iter()
                .any(|&(from, to)| from < right - 0.5 && to > right - min_gap)
        });
        if !crosses {
            continue;
        }
        let (mut left_lines, mut right_lines) = (0, 0);
        let (mut before, mut after) = (f32::NEG_INFINITY, f32::INFINITY);
        for line in extents.get(start..end).unwrap_or_default() {
            let (mut has_left, mut has_right) = (false, false);
            for &(from, to) in line {
                if to <= right - min_gap {
                    before = before.max(to);
                    has_left = true;
                } else {
                    after = after.min(from);
                    has_right = true;
                }
            }
            left_lines += usize::from(has_left);
            right_lines += usize::from(has_right);
        }
        let smaller = left_lines.min(right_lines);
        if smaller >= MIN_COLUMN_LINES {
            strips.push((
                smaller * 2 + left_lines.max(right_lines),
                Strip {
                    lines: start..end,
                    before,
                    after,
                },
            ));
        }
        start = end + 1;
    }
    strips
}

impl Strip {
    /// Removes lines at both ends that have a large distance from the others, such as headers.
    fn trimmed(mut self, lines: &[Line], em: f32) -> Option<Self> {
        let baselines: Vec<f32> = lines
            .get(self.lines.clone())?
            .iter()
            .map(Line::baseline)
            .collect();
        let mut leadings: Vec<f32> = baselines
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
            .filter(|leading| *leading > 0.5 * em)
            .collect();
        leadings.sort_by(f32::total_cmp);
        let usual = leadings.get(leadings.len() / 2)?.max(MIN_LEADING_EM * em);
        let is_far = |a: usize, b: usize| {
            baselines
                .get(b)
                .zip(baselines.get(a))
                .is_some_and(|(b, a)| b - a > BAND_END_LEADING * usual)
        };
        let count = baselines.len();
        // At most two lines, as headers have.
        let first = (1..=2).rev().find(|&at| at < count && is_far(at - 1, at));
        let last = (1..=2)
            .rev()
            .find(|&at| at < count && is_far(count - at - 1, count - at));
        self.lines.start += first.unwrap_or(0);
        self.lines.end -= last.unwrap_or(0);
        (self.lines.len() >= MIN_COLUMN_LINES).then_some(self)
    }
}

/// The text on both sides of a strip.
struct Columns {
    left: Side,
    right: Side,
    top: f32,
    bottom: f32,
    gap: f32,
    /// Number of lines with text on both sides.
    shared_lines: usize,
    is_right_to_left: bool,
}

impl Columns {
    fn of(lines: &[Line], texts: &[Vec<RunText>], strip: &Strip) -> Option<Self> {
        let (mut left, mut right) = (Side::new(), Side::new());
        let mut shared_lines = 0;
        let lines = lines.get(strip.lines.clone())?;
        for (line, texts) in lines.iter().zip(texts.get(strip.lines.clone())?) {
            let Line::Runs(runs) = line else { continue };
            let (mut has_left, mut has_right) = (false, false);
            for (run, text) in runs.iter().zip(texts) {
                if run.to <= strip.before {
                    has_left = true;
                    left.add(run, text);
                } else {
                    has_right = true;
                    right.add(run, text);
                }
            }
            left.lines += usize::from(has_left);
            right.lines += usize::from(has_right);
            shared_lines += usize::from(has_left && has_right);
        }
        let right_to_left = left.right_to_left + right.right_to_left;
        (left.lines >= MIN_COLUMN_LINES && right.lines >= MIN_COLUMN_LINES).then(|| Self {
            top: left.top.min(right.top),
            bottom: left.bottom.max(right.bottom),
            gap: f32::midpoint(strip.before, strip.after),
            shared_lines,
            is_right_to_left: right_to_left * 2 > left.runs + right.runs,
            left,
            right,
        })
    }

    fn is_prose(&self, rulings: &Rulings) -> bool {
        let (left, right) = (&self.left, &self.right);
        let fewer_lines = left.lines.min(right.lines);
        let shared = left.bottom.min(right.bottom) - left.top.max(right.top);
        let beside =
            shared >= BESIDE_SHARE * (left.bottom - left.top).min(right.bottom - right.top);
        // Numbers beside lines from the same top to the same bottom are the cells of a table.
        let is_numeric = |side: &Side| side.numbers * 10 >= side.runs * 8;
        if shared >= TABLE_SHARE * (self.bottom - self.top)
            && (is_numeric(left) || is_numeric(right))
        {
            return false;
        }
        let wide = |side: &Side| side.width() >= MIN_COLUMN_EM * side.em();
        if !beside || !wide(left) || !wide(right) || self.is_ruled(fewer_lines, rulings) {
            return false;
        }
        let independent = fewer_lines >= MIN_INDEPENDENT_LINES
            && ratio(self.shared_lines, fewer_lines) < INDEPENDENT_SHARE;
        (left.flows() && right.flows()) || independent || self.has_entries(fewer_lines)
    }

    /// Whether both sides have one text per line, and the shorter side has lines at the same height as
    /// the other.
    fn may_be_paired(&self) -> bool {
        let (left, right) = (&self.left, &self.right);
        let is_single = |side: &Side| side.runs * 10 <= side.lines * 13;
        is_single(left)
            && is_single(right)
            && ratio(self.shared_lines, left.lines.min(right.lines)) >= PAIRED_SHARE
    }

    /// Whether rulings between the lines cross the gap, as in a table.
    fn is_ruled(&self, lines: usize, rulings: &Rulings) -> bool {
        let em = self.left.em().max(self.right.em());
        let crossing = rulings
            .horizontal
            .iter()
            .filter(|ruling| {
                (self.top..self.bottom).contains(&ruling.at)
                    && ruling.from < self.gap - em
                    && ruling.to > self.gap + em
            })
            .count();
        crossing >= 1 && crossing * 6 >= lines
    }

    /// Whether both sides are lists of entries of the same width, such as an index.
    fn has_entries(&self, fewer_lines: usize) -> bool {
        let (left, right) = (&self.left, &self.right);
        let widths = left.width().min(right.width()) / left.width().max(right.width());
        let is_list = |side: &Side| {
            side.runs * 10 <= side.lines * 13
                && ratio(side.bytes, side.lines) >= MIN_ENTRY_BYTES
                && side.covered >= MIN_COVERED_SHARE * side.width() * ratio(side.lines, 1)
        };
        fewer_lines >= 2 * FEW_LINES
            && widths >= EQUAL_WIDTH_RATIO
            && is_list(left)
            && is_list(right)
            && ratio(left.lower + right.lower, left.runs + right.runs) > FLOW_SHARE / 2.0
    }
}

/// Divides two counts.
fn ratio(count: usize, of: usize) -> f32 {
    let float = |count: usize| f32::from(u16::try_from(count).unwrap_or(u16::MAX));
    float(count) / float(of.max(1))
}
