//! Two columns whose paragraphs belong together in pairs, such as a name and its description. They are
//! read row by row: the same gaps part the text of both columns, and both start again after each,
//! although the paragraphs of a pair have different numbers of lines.

use std::ops::Range;

use super::Strip;
use crate::layout::rows::Line;

/// Minimum number of rows. Two columns of prose may have a gap at the same height by chance.
const MIN_ROWS: usize = 3;
/// Minimum number of rows whose cells have different numbers of lines. Paragraphs of prose with the same
/// number of lines have gaps at the same height too.
const MIN_DIFFERENT: usize = 2;
/// Minimum gap between two rows, as a multiple of the distance of lines.
const ROW_LEADING: f32 = 1.35;
/// Quantile of the distances between lines that is taken as the distance within a row, as a divisor.
const WITHIN_ROW: usize = 5;
/// Minimum distance of two lines, in ems.
const MIN_LEADING_EM: f32 = 0.5;
/// Maximum mean number of lines of a row.
const MAX_MEAN_LINES: usize = 8;

/// Returns the lines of each row, or nothing if the columns have no rows.
pub(super) fn find(lines: &[Line], strip: &Strip, em: f32) -> Vec<Range<usize>> {
    let leading = |at: usize| Some(lines.get(at + 1)?.baseline() - lines.get(at)?.baseline());
    let start = strip.lines.start;
    let last = strip.lines.end.saturating_sub(1);
    let mut leadings: Vec<f32> = (start..last)
        .filter_map(leading)
        .filter(|leading| *leading >= MIN_LEADING_EM * em)
        .collect();
    leadings.sort_by(f32::total_cmp);
    let Some(usual) = leadings.get(leadings.len() / WITHIN_ROW) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    let mut first = start;
    for at in start..=last {
        if at == last || leading(at).is_some_and(|leading| leading > ROW_LEADING * usual) {
            rows.push(first..at + 1);
            first = at + 1;
        }
    }
    let max_leading = ROW_LEADING * usual;
    let lines_of = |row: &Range<usize>, is_left: bool| -> Vec<usize> {
        let has_text = |at: &usize| match lines.get(*at) {
            Some(Line::Runs(runs)) => runs.iter().any(|run| (run.to <= strip.before) == is_left),
            _ => false,
        };
        row.clone().filter(has_text).collect()
    };
    let (mut different, mut are_cells) = (0, true);
    for row in &rows {
        let cells = [true, false].map(|is_left| lines_of(row, is_left));
        are_cells &= cells.iter().all(|cell| {
            cell.first() == Some(&row.start)
                && cell
                    .windows(2)
                    .all(|pair| is_near(lines, pair, max_leading))
        });
        let [left, right] = cells;
        different += usize::from(left.len() != right.len());
    }
    let is_table = rows.len() >= MIN_ROWS
        && strip.lines.len() <= MAX_MEAN_LINES * rows.len()
        && different >= MIN_DIFFERENT
        && are_cells;
    if is_table { rows } else { Vec::new() }
}

/// Whether two lines of a cell follow each other.
fn is_near(lines: &[Line], pair: &[usize], max_leading: f32) -> bool {
    match pair {
        [above, below] => lines
            .get(*below)
            .zip(lines.get(*above))
            .is_some_and(|(below, above)| below.baseline() - above.baseline() <= max_leading),
        _ => true,
    }
}
