//! Straight lines that a page draws: the borders of table cells, underlines and frames.

use std::ops::Range;

/// Minimum length of a ruling, in points. Shorter lines are parts of drawings.
const MIN_LENGTH_POINTS: f32 = 8.0;
/// Maximum thickness of a ruling that is drawn as a filled rectangle, in points. The sides of a
/// thicker rectangle are four rulings.
const MAX_THICKNESS_POINTS: f32 = 3.0;
/// Maximum distance of rulings that continue each other, in points.
const JOIN_POINTS: f32 = 2.0;
/// Maximum number of rulings of a page. A page with more is a drawing.
const MAX_RULINGS: usize = 4_000;

/// A horizontal or vertical line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ruling {
    /// The coordinate that is the same along the line: y of a horizontal line.
    pub(super) at: f32,
    pub(super) from: f32,
    pub(super) to: f32,
}

#[derive(Debug, Default)]
pub(crate) struct Rulings {
    pub(super) horizontal: Vec<Ruling>,
    pub(super) vertical: Vec<Ruling>,
    is_drawing: bool,
}

impl Rulings {
    /// Adds a line between two points if it is horizontal or vertical.
    pub(crate) fn line(&mut self, a: (f64, f64), b: (f64, f64)) {
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let (ax, ay, bx, by) = (a.0 as f32, a.1 as f32, b.0 as f32, b.1 as f32);
        if (ay - by).abs() <= 1.0 {
            self.push(true, f32::midpoint(ay, by), ax.min(bx)..ax.max(bx));
        } else if (ax - bx).abs() <= 1.0 {
            self.push(false, f32::midpoint(ax, bx), ay.min(by)..ay.max(by));
        }
    }

    /// Adds a filled rectangle: one ruling if it is thin, otherwise its sides.
    pub(crate) fn rectangle(&mut self, a: (f64, f64), b: (f64, f64)) {
        let (width, height) = ((a.0 - b.0).abs(), (a.1 - b.1).abs());
        let middle = (f64::midpoint(a.0, b.0), f64::midpoint(a.1, b.1));
        let max_thickness = f64::from(MAX_THICKNESS_POINTS);
        if height <= max_thickness && height < width {
            self.line((a.0, middle.1), (b.0, middle.1));
        } else if width <= max_thickness {
            self.line((middle.0, a.1), (middle.0, b.1));
        } else {
            self.line(a, (b.0, a.1));
            self.line((a.0, b.1), b);
            self.line(a, (a.0, b.1));
            self.line((b.0, a.1), b);
        }
    }

    fn push(&mut self, is_horizontal: bool, at: f32, along: Range<f32>) {
        let length = along.end - along.start;
        if !(length.is_finite() && at.is_finite()) || length < MIN_LENGTH_POINTS {
            return;
        }
        let rulings = if is_horizontal {
            &mut self.horizontal
        } else {
            &mut self.vertical
        };
        if rulings.len() >= MAX_RULINGS {
            self.is_drawing = true;
            return;
        }
        rulings.push(Ruling {
            at,
            from: along.start,
            to: along.end,
        });
    }

    /// Whether a line along a side of an area continues beyond it, as between the cells of a table.
    pub(crate) fn continue_beyond(&self, across: Range<f64>, down: Range<f64>) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let range = |range: &Range<f64>| range.start as f32..range.end as f32;
        let (across, down) = (range(&across), range(&down));
        let continues = |rulings: &[Ruling], along: &Range<f32>, at: &Range<f32>| {
            rulings.iter().any(|ruling| {
                let is_side = (ruling.at - at.start).abs() <= JOIN_POINTS
                    || (ruling.at - at.end).abs() <= JOIN_POINTS;
                let overlaps = ruling.from < along.end && ruling.to > along.start;
                let is_longer =
                    ruling.from < along.start - JOIN_POINTS || ruling.to > along.end + JOIN_POINTS;
                is_side && overlaps && is_longer
            })
        };
        continues(&self.horizontal, &across, &down) || continues(&self.vertical, &down, &across)
    }

    /// Joins rulings that continue or repeat each other, and sorts them.
    pub(super) fn joined(&self) -> Self {
        if self.is_drawing {
            return Self::default();
        }
        Self {
            horizontal: joined(&self.horizontal),
            vertical: joined(&self.vertical),
            is_drawing: false,
        }
    }
}

fn joined(rulings: &[Ruling]) -> Vec<Ruling> {
    let mut sorted = rulings.to_vec();
    sorted.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut joined: Vec<Ruling> = Vec::new();
    let same = |a: &Ruling, b: &Ruling| b.at - a.at <= JOIN_POINTS;
    let mut rest = sorted.as_mut_slice();
    while let Some(first) = rest.first().copied() {
        // All lines within a small distance of the first are drawn at one place.
        let count = rest
            .iter()
            .take_while(|ruling| same(&first, ruling))
            .count();
        let (group, after) = rest.split_at_mut(count);
        rest = after;
        group.sort_by(|a, b| a.from.total_cmp(&b.from));
        let start = joined.len();
        for ruling in group {
            match joined.get_mut(start..).and_then(<[Ruling]>::last_mut) {
                Some(last) if ruling.from <= last.to + JOIN_POINTS => {
                    last.to = last.to.max(ruling.to);
                }
                _ => joined.push(*ruling),
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_of_adjacent_cells_are_one_ruling() {
        let mut rulings = Rulings::default();
        for column in 0..4 {
            let x = f64::from(column) * 50.0;
            rulings.rectangle((x, 100.0), (x + 50.0, 120.0));
        }
        let joined = rulings.joined();
        assert_eq!(
            joined.horizontal,
            [100.0, 120.0].map(|at| Ruling {
                at,
                from: 0.0,
                to: 200.0
            })
        );
        assert_eq!(joined.vertical.len(), 5);
    }

    #[test]
    fn a_thin_rectangle_is_one_ruling() {
        let mut rulings = Rulings::default();
        rulings.rectangle((10.0, 50.0), (200.0, 50.8));
        assert_eq!(rulings.joined().horizontal.len(), 1);
    }
}
