//! Finds the gaps between columns of prose. A table has gaps too, but its cells do not fill their
//! columns, and it is read row by row. A gap therefore counts only if the lines on both sides fill
//! their side.

/// Horizontal extent of a run of text, in the coordinate system of its direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) baseline: f32,
}

/// Minimum number of lines of a column.
const MIN_COLUMN_LINES: usize = 8;
/// Minimum width of a gap, in points.
const MIN_GAP_WIDTH: f32 = 7.0;
/// Maximum share of the lines that may cross a gap, such as headings and wide figures.
const MAX_CROSSING_SHARE: f32 = 0.25;
/// Minimum distance of a gap from the edges of the text, as a share of the text's width.
const EDGE_SHARE: f32 = 0.15;
/// Minimum share of a column's width that its lines cover.
const MIN_COVERED_SHARE: f32 = 0.55;
/// Maximum distance of baselines on the same line, in points.
const BASELINE_POINTS: f32 = 3.0;
/// Minimum vertical overlap of two columns, as a share of the height of the shorter one.
const BESIDE_SHARE: f32 = 0.3;
/// Maximum number of steps (of one point) in which a page is scanned.
const MAX_STEPS: usize = 2_000;
/// Maximum depth of the search. Two levels find up to four columns.
const MAX_DEPTH: u8 = 2;

/// Returns the positions of the gaps, from left to right.
pub(super) fn column_gaps(runs: &[Span]) -> Vec<f32> {
    let mut found = Vec::new();
    search(runs, MAX_DEPTH, &mut found);
    found.sort_by(f32::total_cmp);
    found
}

fn search(runs: &[Span], depth: u8, found: &mut Vec<f32>) {
    if depth == 0 {
        return;
    }
    if let Some(column_gap) = widest_gap(runs) {
        found.push(column_gap);
        let side = |left: bool| -> Vec<Span> {
            runs.iter()
                .filter(|run| {
                    if left {
                        run.to <= column_gap
                    } else {
                        run.from >= column_gap
                    }
                })
                .copied()
                .collect()
        };
        search(&side(true), depth - 1, found);
        search(&side(false), depth - 1, found);
    }
}

/// Returns the middle of the widest gap that separates the runs into two columns.
fn widest_gap(runs: &[Span]) -> Option<f32> {
    if runs.len() < 2 * MIN_COLUMN_LINES {
        return None;
    }
    let left = runs
        .iter()
        .map(|run| run.from)
        .fold(f32::INFINITY, f32::min);
    let right = runs
        .iter()
        .map(|run| run.to)
        .fold(f32::NEG_INFINITY, f32::max);
    let width = right - left;
    let steps = step(width).filter(|&steps| (32..=MAX_STEPS).contains(&steps))?;
    // Number of runs that cover each point: +1 at the start of a run, -1 after its end.
    let mut change = vec![0_i32; steps + 2];
    for run in runs {
        let first = step(run.from - left)?.min(steps);
        let last = step(run.to - left)?.min(steps);
        *change.get_mut(first)? += 1;
        *change.get_mut(last + 1)? -= 1;
    }
    let crossing_max = MAX_CROSSING_SHARE * points(runs.len()) / 2.0;
    let edge = EDGE_SHARE * width;
    let mut covering = 0;
    let mut open_gap: Option<usize> = None;
    let mut best: Option<(usize, usize)> = None;
    for (at, change) in change.iter().enumerate() {
        covering += change;
        let open = points(usize::try_from(covering).unwrap_or(0)) <= crossing_max
            && (edge..=width - edge).contains(&points(at));
        open_gap = match (open_gap, open) {
            (None, true) => Some(at),
            (Some(from), false) => {
                if best.is_none_or(|(from, to)| to - from < at - from) {
                    best = Some((from, at));
                }
                None
            }
            (open_gap, _) => open_gap,
        };
    }
    let (from, to) = best?;
    if points(to - from) < MIN_GAP_WIDTH {
        return None;
    }
    let column_gap = left + f32::midpoint(points(from), points(to));
    let half_width = points(to - from) / 2.0;
    let before: Vec<Span> = runs
        .iter()
        .filter(|run| run.to <= column_gap)
        .copied()
        .collect();
    let after: Vec<Span> = runs
        .iter()
        .filter(|run| run.from >= column_gap)
        .copied()
        .collect();
    let crossing = runs.len() - before.len() - after.len();
    let min_runs = before.len().min(after.len());
    let is_gap = min_runs >= MIN_COLUMN_LINES
        && points(crossing) <= MAX_CROSSING_SHARE * points(runs.len())
        && fills(&before, column_gap - half_width - left)
        && fills(&after, right - column_gap - half_width)
        && overlap_vertically(&before, &after);
    is_gap.then_some(column_gap)
}

/// Whether the runs fill a side of this width line by line, as prose does in one or several
/// columns.
fn fills(runs: &[Span], width: f32) -> bool {
    let mut baselines: Vec<f32> = runs.iter().map(|run| run.baseline).collect();
    baselines.sort_by(f32::total_cmp);
    let lines = baselines
        .chunk_by(|baseline, next| next - baseline < BASELINE_POINTS)
        .count();
    let covered: f32 = runs.iter().map(|run| run.to - run.from).sum();
    covered >= MIN_COVERED_SHARE * width * points(lines)
}

/// Whether the two groups are next to each other rather than one below the other.
fn overlap_vertically(before: &[Span], after: &[Span]) -> bool {
    let span = |runs: &[Span]| {
        let top = runs
            .iter()
            .map(|run| run.baseline)
            .fold(f32::INFINITY, f32::min);
        let bottom = runs
            .iter()
            .map(|run| run.baseline)
            .fold(f32::NEG_INFINITY, f32::max);
        (top, bottom)
    };
    let ((top_a, bottom_a), (top_b, bottom_b)) = (span(before), span(after));
    let shared = bottom_a.min(bottom_b) - top_a.max(top_b);
    shared >= BESIDE_SHARE * (bottom_a - top_a).min(bottom_b - top_b)
}

/// Converts points to whole steps.
fn step(points: f32) -> Option<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be small and positive"
    )]
    let step = |points: f32| points as usize;
    (points.is_finite() && (0.0..1e6).contains(&points)).then(|| step(points))
}

/// Converts a count to points.
fn points(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(from: f32, to: f32) -> impl Iterator<Item = Span> {
        (0..30_u8).map(move |line| Span {
            from,
            to: if line % 5 == 4 {
                from + (to - from) / 3.0
            } else {
                to
            },
            baseline: f32::from(line) * 12.0,
        })
    }

    #[test]
    fn two_columns_of_prose_have_one_gap() {
        let runs: Vec<Span> = column(50.0, 280.0).chain(column(300.0, 540.0)).collect();
        let found = column_gaps(&runs);
        assert_eq!(found.len(), 1);
        assert!(
            found
                .iter()
                .all(|column_gap| (280.0..=300.0).contains(column_gap))
        );
    }

    #[test]
    fn three_columns_have_two_gaps() {
        let runs: Vec<Span> = column(40.0, 200.0)
            .chain(column(220.0, 380.0))
            .chain(column(400.0, 560.0))
            .collect();
        assert_eq!(column_gaps(&runs).len(), 2);
    }

    #[test]
    fn a_table_with_short_cells_has_no_column_gaps() {
        let cells = (0..30_u8).flat_map(|row| {
            [(50.0, 110.0), (300.0, 350.0)].map(|(from, to)| Span {
                from,
                to,
                baseline: f32::from(row) * 12.0,
            })
        });
        // One wide line defines the width of the text.
        let wide = Span {
            from: 50.0,
            to: 540.0,
            baseline: -20.0,
        };
        let runs: Vec<Span> = cells.chain([wide]).collect();
        assert_eq!(column_gaps(&runs), Vec::<f32>::new());
    }

    #[test]
    fn one_column_has_no_gaps() {
        let runs: Vec<Span> = column(50.0, 540.0).collect();
        assert_eq!(column_gaps(&runs), Vec::<f32>::new());
    }
}
