//! Reading order: parts a page into horizontal bands, and a band into columns.
//!
//! `columns` finds the band with the largest columns of prose. What is above the band is read
//! first, then its left part, its right part, and what is below. Each of the four is parted in the
//! same way. What has no columns is read line by line, which is right for prose and for tables.

use super::beside;
use super::columns::{self, Band};
use super::grid;
use super::rows::{Cell, Line, Row};
use super::rulings::Rulings;
use super::runs::{self, TextRun};

/// Maximum number of nested bands and columns. Newspaper pages need about six.
const MAX_DEPTH: u8 = 12;
/// Maximum number of runs of a page with columns. A page with more is a drawing with labels.
const MAX_RUNS_WITH_COLUMNS: usize = 4_000;

/// Returns the lines of the page in reading order.
pub(super) fn read(runs: Vec<TextRun>, rulings: Option<&Rulings>, text: &str) -> Vec<Row> {
    let rulings = rulings.map(Rulings::joined).unwrap_or_default();
    let (grid_rows, runs) = grid::take_rows(runs, &rulings, text);
    let with_columns = runs.len() <= MAX_RUNS_WITH_COLUMNS;
    let mut region = Region {
        rows: Vec::new(),
        column: 0,
        rulings: &rulings,
        text,
    };
    let mut lines: Vec<Line> = runs::rows(runs).into_iter().map(Line::Runs).collect();
    lines.extend(grid_rows.into_iter().map(Line::Grid));
    lines.sort_by(|a, b| a.baseline().total_cmp(&b.baseline()));
    region.read(lines, if with_columns { MAX_DEPTH } else { 0 });
    region.rows
}

struct Region<'page> {
    rows: Vec<Row>,
    column: usize,
    rulings: &'page Rulings,
    text: &'page str,
}

impl Region<'_> {
    /// Reads lines, sorted from top to bottom.
    fn read(&mut self, mut lines: Vec<Line>, depth: u8) {
        let band = if depth == 0 {
            None
        } else {
            columns::find(&lines, self.rulings, self.text)
        };
        let Some(band) = band else {
            self.column += 1;
            for line in beside::join(lines, self.rulings) {
                let row = match line {
                    Line::Runs(runs) => Row::of_runs(runs),
                    Line::Grid(row) => row,
                };
                self.rows.push(Row {
                    column: self.column,
                    ..row
                });
            }
            return;
        };
        let below = lines.split_off(band.lines.end);
        let within = lines.split_off(band.lines.start);
        self.read(lines, depth - 1);
        if !band.rows.is_empty() {
            self.add_rows(within, &band);
            self.read(below, depth - 1);
            return;
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for line in within {
            match line {
                Line::Runs(runs) => {
                    let (before, after): (Vec<_>, Vec<_>) =
                        runs.into_iter().partition(|run| run.to <= band.gap);
                    left.extend((!before.is_empty()).then_some(Line::Runs(before)));
                    right.extend((!after.is_empty()).then_some(Line::Runs(after)));
                }
                Line::Grid(row) if row.to <= band.gap => left.push(Line::Grid(row)),
                Line::Grid(row) => right.push(Line::Grid(row)),
            }
        }
        if band.right_first {
            std::mem::swap(&mut left, &mut right);
        }
        self.read(left, depth - 1);
        self.read(right, depth - 1);
        self.read(below, depth - 1);
    }

    /// Adds the rows of two columns that are read row by row.
    fn add_rows(&mut self, lines: Vec<Line>, band: &Band) {
        self.column += 1;
        let mut lines = lines.into_iter();
        let rows: Vec<[Vec<TextRun>; 2]> = band
            .rows
            .iter()
            .map(|row| {
                let mut cells = [Vec::new(), Vec::new()];
                for line in lines.by_ref().take(row.len()) {
                    let Line::Runs(runs) = line else { continue };
                    let (left, right): (Vec<_>, Vec<_>) =
                        runs.into_iter().partition(|run| run.to <= band.gap);
                    for (cell, runs) in cells.iter_mut().zip([left, right]) {
                        cell.extend(grid::merged(runs));
                    }
                }
                cells
            })
            .collect();
        let lefts: Vec<f32> = [0, 1]
            .map(|side| {
                let cells = rows.iter().filter_map(|row| row.get(side)).flatten();
                cells.fold(f32::INFINITY, |edge, run| edge.min(run.from))
            })
            .to_vec();
        for row in rows {
            let cells = row
                .into_iter()
                .zip(&lefts)
                .filter(|(lines, _)| !lines.is_empty())
                .map(|(lines, left)| Cell::new(lines, *left))
                .collect();
            self.rows.push(Row {
                grid: Some(usize::MAX - self.column),
                has_cells: true,
                column: self.column,
                ..Row::new(cells)
            });
        }
    }
}
