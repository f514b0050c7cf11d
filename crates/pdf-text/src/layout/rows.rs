//! Lines of a page, and their cells.

use super::runs::{self, TextRun};

/// A line of the page: runs on one baseline, or a row of a ruled table.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// From left to right. Only the cells of a ruled table have several lines.
    pub(super) cells: Vec<Cell>,
    pub(super) from: f32,
    pub(super) to: f32,
    /// Of the first line.
    pub(super) baseline: f32,
    /// Of the last line.
    pub(super) last_baseline: f32,
    pub(super) em: f32,
    /// Index of the column or band.
    pub(super) column: usize,
    /// Index of the table.
    pub(super) table: Option<usize>,
    /// Whether it names the columns of the table.
    pub(super) is_header: bool,
    /// Identifies the ruled table whose row it is.
    pub(super) grid: Option<usize>,
    /// Positions between the cells of an unruled table whose columns are not known.
    pub(super) breaks: Vec<f32>,
    /// Whether `cells` are the cells of a table. Otherwise each is a run.
    pub(super) has_cells: bool,
    /// Number of columns of the table, if they are known.
    pub(super) columns: usize,
}

#[derive(Debug)]
pub(super) struct Cell {
    /// From top to bottom.
    pub(super) lines: Vec<TextRun>,
    /// Left edge: of the area in a ruled table, otherwise of the text.
    pub(super) left: f32,
    /// Index of its column, if it is known.
    pub(super) column: Option<usize>,
}

impl Cell {
    pub(super) fn new(lines: Vec<TextRun>, left: f32) -> Self {
        Self {
            lines,
            left,
            column: None,
        }
    }

    /// Returns the left and right edge of the text.
    pub(super) fn extent(&self) -> (f32, f32) {
        self.lines
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(from, to), line| {
                (from.min(line.from), to.max(line.to))
            })
    }
}

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        let mut row = Self {
            from: f32::INFINITY,
            to: f32::NEG_INFINITY,
            baseline: f32::INFINITY,
            last_baseline: f32::NEG_INFINITY,
            ..Self::default()
        };
        for run in cells.iter().flat_map(|cell| &cell.lines) {
            row.from = row.from.min(run.from);
            row.to = row.to.max(run.to);
            row.em = row.em.max(run.em);
            row.baseline = row.baseline.min(run.baseline);
            row.last_baseline = row.last_baseline.max(run.baseline);
        }
        row.cells = cells;
        row
    }

    pub(super) fn of_runs(runs: Vec<TextRun>) -> Self {
        let baseline = runs::baseline(&runs);
        let cells = runs
            .into_iter()
            .map(|run| {
                let left = run.from;
                Cell::new(vec![run], left)
            })
            .collect();
        Self {
            baseline,
            last_baseline: baseline,
            ..Self::new(cells)
        }
    }
}

/// A line before its place in the reading order is known.
pub(super) enum Line {
    /// From left to right.
    Runs(Vec<TextRun>),
    Grid(Row),
}

impl Line {
    pub(super) fn baseline(&self) -> f32 {
        match self {
            Self::Runs(runs) => runs::baseline(runs),
            Self::Grid(row) => row.baseline,
        }
    }
}
