//! Gutters: the empty strips between columns of prose. A table has empty strips too, but its cells do not fill their columns,
//! and it is read row by row; so a strip counts only if the lines on both sides of it fill their side.

/// A run of text on one line, in the frame of its direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) baseline: f32,
}

/// Fewer lines on a side than this are no column.
const COLUMN_LINES_MIN: usize = 8;
/// A gutter is at least this wide, in points.
const GUTTER_WIDTH_MIN: f32 = 7.0;
/// Of the lines beside a gutter, this share may run across it: headings, wide figures.
const CROSSING_SHARE_MAX: f32 = 0.25;
/// Gutters stand at least this share of the text's width away from its edges.
const EDGE_SHARE: f32 = 0.15;
/// The lines of a side cover this share of its width.
const COVERED_SHARE_MIN: f32 = 0.55;
/// Baselines closer than this, in points, are one line's.
const BASELINE_POINTS: f32 = 3.0;
/// Columns stand beside each other over this share of the lower one's height.
const BESIDE_SHARE: f32 = 0.3;
/// Pages are looked at in steps of a point, and no page in more steps than this.
const STEPS_MAX: usize = 2_000;
/// Two cuts make up to four columns.
const DEPTH_MAX: u8 = 2;

/// The places of the gutters, from left to right.
pub(super) fn gutters(runs: &[Run]) -> Vec<f32> {
    let mut found = Vec::new();
    search(runs, DEPTH_MAX, &mut found);
    found.sort_by(f32::total_cmp);
    found
}

fn search(runs: &[Run], depth: u8, found: &mut Vec<f32>) {
    if depth == 0 {
        return;
    }
    if let Some(gutter) = gutter(runs) {
        found.push(gutter);
        let side = |left: bool| -> Vec<Run> {
            runs.iter()
                .filter(|run| {
                    if left {
                        run.to <= gutter
                    } else {
                        run.from >= gutter
                    }
                })
                .copied()
                .collect()
        };
        search(&side(true), depth - 1, found);
        search(&side(false), depth - 1, found);
    }
}

/// The middle of the widest strip that parts the runs into two columns.
fn gutter(runs: &[Run]) -> Option<f32> {
    if runs.len() < 2 * COLUMN_LINES_MIN {
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
    let steps = step(width).filter(|&steps| (32..=STEPS_MAX).contains(&steps))?;
    // How many runs cover each point: +1 where one begins, -1 behind its end.
    let mut change = vec![0_i32; steps + 2];
    for run in runs {
        let first = step(run.from - left)?.min(steps);
        let last = step(run.to - left)?.min(steps);
        *change.get_mut(first)? += 1;
        *change.get_mut(last + 1)? -= 1;
    }
    let crossing_max = CROSSING_SHARE_MAX * points(runs.len()) / 2.0;
    let edge = EDGE_SHARE * width;
    let mut covering = 0;
    let mut strip: Option<usize> = None;
    let mut best: Option<(usize, usize)> = None;
    for (at, change) in change.iter().enumerate() {
        covering += change;
        let open = points(usize::try_from(covering).unwrap_or(0)) <= crossing_max
            && (edge..=width - edge).contains(&points(at));
        strip = match (strip, open) {
            (None, true) => Some(at),
            (Some(from), false) => {
                if best.is_none_or(|(from, to)| to - from < at - from) {
                    best = Some((from, at));
                }
                None
            }
            (strip, _) => strip,
        };
    }
    let (from, to) = best?;
    if points(to - from) < GUTTER_WIDTH_MIN {
        return None;
    }
    let gutter = left + f32::midpoint(points(from), points(to));
    let near = points(to - from) / 2.0;
    let before: Vec<Run> = runs
        .iter()
        .filter(|run| run.to <= gutter)
        .copied()
        .collect();
    let after: Vec<Run> = runs
        .iter()
        .filter(|run| run.from >= gutter)
        .copied()
        .collect();
    let crossing = runs.len() - before.len() - after.len();
    let fewer = before.len().min(after.len());
    let sound = fewer >= COLUMN_LINES_MIN
        && points(crossing) <= CROSSING_SHARE_MAX * points(runs.len())
        && fills(&before, gutter - near - left)
        && fills(&after, right - gutter - near)
        && beside(&before, &after);
    sound.then_some(gutter)
}

/// Whether the runs, line by line, fill a side of this width, as prose does in one column or in several.
fn fills(runs: &[Run], width: f32) -> bool {
    let mut baselines: Vec<f32> = runs.iter().map(|run| run.baseline).collect();
    baselines.sort_by(f32::total_cmp);
    let lines = baselines
        .chunk_by(|baseline, next| next - baseline < BASELINE_POINTS)
        .count();
    let covered: f32 = runs.iter().map(|run| run.to - run.from).sum();
    covered >= COVERED_SHARE_MIN * width * points(lines)
}

/// Whether the two stand beside each other, and not one below the other.
fn beside(before: &[Run], after: &[Run]) -> bool {
    let span = |runs: &[Run]| {
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

/// Whole points, if there are some.
fn step(points: f32) -> Option<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be small and positive"
    )]
    let step = |points: f32| points as usize;
    (points.is_finite() && (0.0..1e6).contains(&points)).then(|| step(points))
}

/// A count of steps or lines as a measure.
fn points(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(from: f32, to: f32) -> impl Iterator<Item = Run> {
        (0..30_u8).map(move |line| Run {
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
    fn two_columns_of_prose_have_a_gutter_between_them() {
        let runs: Vec<Run> = column(50.0, 280.0).chain(column(300.0, 540.0)).collect();
        let found = gutters(&runs);
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|gutter| (280.0..=300.0).contains(gutter)));
    }

    #[test]
    fn three_columns_have_two_gutters() {
        let runs: Vec<Run> = column(40.0, 200.0)
            .chain(column(220.0, 380.0))
            .chain(column(400.0, 560.0))
            .collect();
        assert_eq!(gutters(&runs).len(), 2);
    }

    #[test]
    fn a_table_with_short_cells_is_read_by_rows() {
        let cells = (0..30_u8).flat_map(|row| {
            [(50.0, 110.0), (300.0, 350.0)].map(|(from, to)| Run {
                from,
                to,
                baseline: f32::from(row) * 12.0,
            })
        });
        // One wide line says how broad the text is.
        let wide = Run {
            from: 50.0,
            to: 540.0,
            baseline: -20.0,
        };
        let runs: Vec<Run> = cells.chain([wide]).collect();
        assert_eq!(gutters(&runs), Vec::<f32>::new());
    }

    #[test]
    fn one_column_has_no_gutter() {
        let runs: Vec<Run> = column(50.0, 540.0).collect();
        assert_eq!(gutters(&runs), Vec::<f32>::new());
    }
}
