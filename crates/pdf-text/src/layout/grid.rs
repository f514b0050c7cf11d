//! Rows of ruled tables: the text between two horizontal rulings that vertical rulings part into
//! cells. The lines of a cell are read before the next cell.

use super::rows::{Cell, Row};
use super::rulings::{Ruling, Rulings};
use super::runs::{self, TextRun};
use super::tables::has_number;

/// Maximum distance between the ends of rulings of one table, in points.
const ALIGNED_POINTS: f32 = 3.0;
/// Minimum share of a row's height that a ruling between two cells covers.
const BORDER_SHARE: f32 = 0.7;
/// Maximum number of lines in a row. A frame with more is a page with ruled columns.
const MAX_ROW_LINES: usize = 14;
/// Maximum number of rows of all tables of a page.
const MAX_ROWS: usize = 500;
/// Maximum number of parts of a row.
const MAX_PARTS: usize = 8;
/// Share of the height of letters above the baseline, in ems, to decide in which row text is.
const MIDDLE_EM: f32 = 0.3;

/// The area of a row.
struct Area {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
    /// Positions of the rulings between the cells.
    borders: Vec<f32>,
}

impl Area {
    /// Whether it is the same row as the one before: its ruling was drawn as two lines.
    fn repeats(&self, before: &Self) -> bool {
        let near = |a: f32, b: f32| (a - b).abs() <= ALIGNED_POINTS;
        near(self.left, before.left)
            && near(self.right, before.right)
            && near(self.top, before.top)
            && near(self.bottom, before.bottom)
    }
}

/// Takes the runs in rows of ruled tables. Returns the rows and the other runs.
pub(super) fn take_rows(
    runs: Vec<TextRun>,
    rulings: &Rulings,
    text: &str,
) -> (Vec<Row>, Vec<TextRun>) {
    let areas = areas(rulings);
    if areas.is_empty() {
        return (Vec::new(), runs);
    }
    let mut contents: Vec<Vec<TextRun>> = areas.iter().map(|_| Vec::new()).collect();
    let mut rest = Vec::new();
    for run in runs {
        let y = run.baseline - MIDDLE_EM * run.em;
        let middle = f32::midpoint(run.from, run.to);
        let area = areas.iter().position(|area| {
            (area.top..area.bottom).contains(&y) && (area.left..area.right).contains(&middle)
        });
        match area.and_then(|area| contents.get_mut(area)) {
            Some(content) => content.push(run),
            None => rest.push(run),
        }
    }
    let mut rows = Vec::new();
    let mut grid = 0;
    let mut before: Option<&Area> = None;
    for (area, content) in areas.iter().zip(contents) {
        let continues = before.is_some_and(|before| {
            (before.left - area.left).abs() <= ALIGNED_POINTS
                && (before.right - area.right).abs() <= ALIGNED_POINTS
                && (area.top - before.bottom).abs() <= ALIGNED_POINTS
        });
        grid += usize::from(!continues);
        before = Some(area);
        match row(area, content, text) {
            Ok(found) => rows.extend(found.into_iter().map(|row| Row {
                grid: Some(grid),
                has_cells: true,
                ..row
            })),
            Err(content) => rest.extend(content),
        }
    }
    (rows, rest)
}

/// Finds the rows: pairs of rulings below each other with a border between cells.
fn areas(rulings: &Rulings) -> Vec<Area> {
    let mut areas = Vec::new();
    if rulings.vertical.len() < 2 {
        return areas;
    }
    for (index, top) in rulings.horizontal.iter().enumerate() {
        let below = || {
            let rest = rulings.horizontal.get(index + 1..).unwrap_or_default();
            rest.iter().filter(|below| {
                below.at - top.at > ALIGNED_POINTS
                    && below.to.min(top.to) - below.from.max(top.from)
                        >= BORDER_SHARE * (top.to - top.from).min(below.to - below.from)
            })
        };
        let Some(nearest) = below().next() else {
            continue;
        };
        // The ruling below may be in several parts.
        for below in below().take_while(|below| below.at - nearest.at <= ALIGNED_POINTS) {
            let area = area(top, below, &rulings.vertical);
            let is_new = |area: &Area| {
                let mut last = areas.iter().rev().take(MAX_PARTS);
                !last.any(|last| area.repeats(last))
            };
            areas.extend(area.filter(is_new));
        }
        if areas.len() > MAX_ROWS {
            return Vec::new();
        }
    }
    areas
}

fn area(top: &Ruling, below: &Ruling, vertical: &[Ruling]) -> Option<Area> {
    let (left, right) = (top.from.max(below.from), top.to.min(below.to));
    let height = below.at - top.at;
    let borders: Vec<f32> = vertical
        .iter()
        .filter(|border| {
            border.to.min(below.at) - border.from.max(top.at) >= BORDER_SHARE * height
                && (left + ALIGNED_POINTS..right - ALIGNED_POINTS).contains(&border.at)
        })
        .map(|border| border.at)
        .collect();
    (!borders.is_empty()).then_some(Area {
        left,
        right,
        top: top.at,
        bottom: below.at,
        borders,
    })
}

/// Builds the row, or several if each of its lines is one. Returns the runs if they are not cells.
fn row(area: &Area, content: Vec<TextRun>, text: &str) -> Result<Vec<Row>, Vec<TextRun>> {
    if content.is_empty() {
        return Ok(Vec::new());
    }
    // Text across a border is not in cells.
    let crosses = |run: &TextRun| {
        area.borders
            .iter()
            .any(|&border| run.from < border - run.em && run.to > border + run.em)
    };
    if content.iter().any(crosses) {
        return Err(content);
    }
    let lines = runs::rows(content.clone());
    // Some tables have a border only every few rows.
    let is_row =
        |line: &Vec<TextRun>| line.len() >= 2 && line.iter().any(|run| has_number(run, text));
    if lines.len() > 1 && lines.iter().all(is_row) {
        return Ok(lines.into_iter().map(|line| cells(area, line)).collect());
    }
    if lines.len() > MAX_ROW_LINES {
        return Err(content);
    }
    Ok(vec![cells(area, content)])
}

/// Assigns runs to the cells of a row.
fn cells(area: &Area, content: Vec<TextRun>) -> Row {
    let mut columns: Vec<Vec<TextRun>> = (0..=area.borders.len()).map(|_| Vec::new()).collect();
    for run in content {
        let middle = f32::midpoint(run.from, run.to);
        let cell = area.borders.partition_point(|&border| border <= middle);
        if let Some(cell) = columns.get_mut(cell) {
            cell.push(run);
        }
    }
    let lefts = std::iter::once(area.left).chain(area.borders.iter().copied());
    let cells = columns
        .into_iter()
        .zip(lefts)
        .filter(|(runs, _)| !runs.is_empty())
        .map(|(runs, left)| {
            let lines = runs::rows(runs).into_iter().filter_map(merged).collect();
            Cell::new(lines, left)
        })
        .collect();
    Row::new(cells)
}

/// Merges the runs of a line.
pub(super) fn merged(runs: Vec<TextRun>) -> Option<TextRun> {
    runs.into_iter().reduce(|mut line, run| {
        line.merge(run);
        line
    })
}
