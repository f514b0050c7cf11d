//! Joins lines that are beside each other in one row of a table: cells whose baselines differ a
//! little, the parts of a ruled row with different borders, and names beside a ruled table that
//! have no border around them. Text that is beside a table by chance, such as prose, stays apart.

use super::grid::merged;
use super::rows::{Cell, Line, Row};
use super::rulings::Rulings;
use super::runs::{self, TextRun};

/// Maximum difference of the baselines of cells in one row, in ems.
const MAX_SHIFT_EM: f32 = 0.45;
/// Maximum number of cells of one row whose baselines differ.
const MAX_CELLS: usize = 100;
/// Minimum gap between cells whose baselines differ, in ems.
const MIN_GAP_EM: f32 = 0.3;
/// Maximum distance of a row's ruling above and below its baseline, in ems.
const ABOVE_EM: f32 = 2.5;
const BELOW_EM: f32 = 1.5;
/// Maximum distance of a name from its row, in lines.
const NEAR_LINES: usize = 3;
/// Maximum distance of the left edges of the rows of one table, in points.
const SAME_EDGE_POINTS: f32 = 3.0;
/// Minimum number of rows with a name, and their minimum share of the table's rows.
const MIN_NAMES: usize = 2;
const MIN_NAMES_PERCENT: usize = 60;
/// Maximum share of the lines beside a table that are not on one of its rows, as a divisor. Prose
/// has other distances between its lines.
const MAX_OTHERS: usize = 4;

/// Joins lines of a region without columns, which are sorted from top to bottom.
pub(super) fn join(lines: Vec<Line>, rulings: &Rulings) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        let rest = match joined.last_mut() {
            Some(before) => join_to(before, line, rulings),
            None => Some(line),
        };
        joined.extend(rest);
    }
    if joined.iter().any(|line| matches!(line, Line::Grid(_))) {
        join_names(joined)
    } else {
        joined
    }
}

/// Joins a line with the one before it. Returns it if it is not in the same row.
fn join_to(before: &mut Line, line: Line, rulings: &Rulings) -> Option<Line> {
    match (before, line) {
        (Line::Runs(before), Line::Runs(mut runs)) if are_cells(before, &runs) => {
            before.append(&mut runs);
            before.sort_by(|a, b| a.from.total_cmp(&b.from));
            None
        }
        (Line::Grid(before), Line::Grid(row)) if are_ruled(before, &row, rulings) => {
            add_cells(before, row.cells);
            None
        }
        (_, line) => Some(line),
    }
}

/// Whether the runs of two lines are cells of one row whose baselines differ a little.
fn are_cells(before: &[TextRun], runs: &[TextRun]) -> bool {
    let ems = before.iter().chain(runs).map(|run| run.em);
    let em = ems.fold(f32::INFINITY, f32::min);
    let shift = runs::baseline(runs) - runs::baseline(before);
    let is_apart = |a: &TextRun, b: &TextRun| (b.from - a.to).max(a.from - b.to) >= MIN_GAP_EM * em;
    shift.abs() <= MAX_SHIFT_EM * em
        && before.len().max(runs.len()) <= MAX_CELLS
        && runs
            .iter()
            .all(|run| before.iter().all(|other| is_apart(run, other)))
}

/// Whether two rows of ruled tables are on one line, with a ruling along both.
fn are_ruled(a: &Row, b: &Row, rulings: &Rulings) -> bool {
    let em = a.em.min(b.em);
    let (left, right) = if a.from <= b.from { (a, b) } else { (b, a) };
    let baseline = a.baseline.min(b.baseline);
    let along = baseline - ABOVE_EM * em..=baseline + BELOW_EM * em;
    left.to < right.from
        && (a.baseline - b.baseline).abs() <= MAX_SHIFT_EM * em
        && rulings.horizontal.iter().any(|ruling| {
            along.contains(&ruling.at) && ruling.from < left.to && ruling.to > right.from
        })
}

/// Adds cells to a row of a ruled table.
fn add_cells(row: &mut Row, cells: Vec<Cell>) {
    let mut all = std::mem::take(&mut row.cells);
    all.extend(cells);
    all.sort_by(|a, b| a.extent().0.total_cmp(&b.extent().0));
    *row = Row {
        grid: row.grid,
        has_cells: true,
        ..Row::new(all)
    };
}

/// A line beside rows of ruled tables.
struct Beside {
    line: usize,
    is_left: bool,
    /// Index of the table, by the left edge of its rows.
    table: usize,
    /// Index of the row that it is on, or `None` if it is between rows.
    row: Option<usize>,
}

/// Joins the rows of ruled tables with the names beside them.
fn join_names(mut lines: Vec<Line>) -> Vec<Line> {
    let tables = Tables::of(&lines);
    let beside: Vec<Beside> = (0..lines.len())
        .filter_map(|at| tables.beside(&lines, at))
        .collect();
    for (table, row_count) in tables.row_counts.iter().enumerate() {
        for is_left in [true, false] {
            let is_here = |other: &&Beside| other.table == table && other.is_left == is_left;
            let of_table: Vec<&Beside> = beside.iter().filter(is_here).collect();
            let mut rows: Vec<usize> = of_table.iter().filter_map(|name| name.row).collect();
            rows.sort_unstable();
            rows.dedup();
            if rows.len() >= MIN_NAMES
                && rows.len() * 100 >= row_count * MIN_NAMES_PERCENT
                && (of_table.len() - rows.len()) * MAX_OTHERS <= of_table.len()
            {
                add_names(&mut lines, &of_table);
            }
        }
    }
    lines.retain(|line| !matches!(line, Line::Runs(runs) if runs.is_empty()));
    lines
}

/// Moves lines to the rows that they name, as cells of one column.
fn add_names(lines: &mut [Line], names: &[&Beside]) {
    let mut moved: Vec<(usize, TextRun)> = Vec::with_capacity(names.len());
    for name in names {
        if let (Some(row), Some(Line::Runs(runs))) = (name.row, lines.get_mut(name.line)) {
            moved.extend(merged(std::mem::take(runs)).map(|run| (row, run)));
        }
    }
    let edges = moved.iter().map(|(_, run)| run.from);
    let left = edges.fold(f32::INFINITY, f32::min);
    moved.sort_by_key(|(row, _)| *row);
    for names in moved.chunk_by(|a, b| a.0 == b.0) {
        let row = names.first().and_then(|(row, _)| lines.get_mut(*row));
        if let Some(Line::Grid(row)) = row {
            let runs = names.iter().map(|(_, run)| run.clone()).collect();
            add_cells(row, vec![Cell::new(runs, left)]);
        }
    }
}

/// The ruled tables of a region.
struct Tables {
    /// Left edge and number of rows of each table.
    lefts: Vec<f32>,
    row_counts: Vec<usize>,
    /// The table of each line that is a row.
    of_lines: Vec<Option<usize>>,
}

impl Tables {
    fn of(lines: &[Line]) -> Self {
        let mut tables = Self {
            lefts: Vec::new(),
            row_counts: Vec::new(),
            of_lines: Vec::with_capacity(lines.len()),
        };
        for line in lines {
            let left = match line {
                Line::Grid(row) => row.cells.first().map(|cell| cell.left),
                Line::Runs(_) => None,
            };
            let table = left.map(|left| tables.count_row(left));
            tables.of_lines.push(table);
        }
        tables
    }

    fn count_row(&mut self, left: f32) -> usize {
        let known = self
            .lefts
            .iter()
            .position(|other| (other - left).abs() <= SAME_EDGE_POINTS);
        let table = known.unwrap_or(self.lefts.len());
        if known.is_none() {
            self.lefts.push(left);
            self.row_counts.push(0);
        }
        if let Some(count) = self.row_counts.get_mut(table) {
            *count += 1;
        }
        table
    }

    /// Returns where a line is if it is on one side of the rows near it.
    fn beside(&self, lines: &[Line], at: usize) -> Option<Beside> {
        let Some(Line::Runs(runs)) = lines.get(at) else {
            return None;
        };
        let near = |row: usize| match (lines.get(row), self.of_lines.get(row)) {
            (Some(Line::Grid(grid)), Some(Some(table))) => {
                let is_left = runs.iter().all(|run| run.to < grid.from);
                let is_right = runs.iter().all(|run| run.from > grid.to);
                (is_left || is_right).then_some((row, grid, *table, is_left))
            }
            _ => None,
        };
        let above = || (at.saturating_sub(NEAR_LINES)..at).rev().find_map(near);
        let below = || (at + 1..=at + NEAR_LINES).find_map(near);
        let baseline = runs::baseline(runs);
        let is_on = |row: &Row| {
            let shift = MAX_SHIFT_EM * row.em;
            (row.baseline - shift..=row.last_baseline + shift).contains(&baseline)
        };
        let (above, below) = (above(), below());
        let on = [above, below]
            .into_iter()
            .flatten()
            .find(|(_, row, ..)| is_on(row));
        let (row, _, table, is_left) = on.or_else(|| {
            let (above, below) = (above?, below?);
            (above.2 == below.2 && above.3 == below.3).then_some(above)
        })?;
        Some(Beside {
            line: at,
            is_left,
            table,
            row: on.map(|_| row),
        })
    }
}
