//! Assigns the cells of a table to its columns, so that an empty cell does not move the cells after
//! it to other columns, and joins the lines of cells that continue on the next line.

use std::collections::BTreeSet;

use super::{ALIGNED_EM, CELL_GAP_EM, CELL_LEADING_EM, is_aligned};
use crate::layout::rows::{Cell, Row};

/// Maximum number of columns of a table.
const MAX_COLUMNS: usize = 40;
/// Maximum distance of the left edges of cells in one column of a ruled table, in points.
const SAME_EDGE_POINTS: f32 = 3.0;
/// Minimum overlap of cells in one column, in points.
const OVERLAP_POINTS: f32 = 0.5;
/// Minimum number of rows of a table in which a single cell does not make a column.
const MIN_ROWS_WITH_STRAYS: usize = 4;
/// Maximum share of rows with two cells in one column, as a divisor. With more, the columns are not
/// known.
const MAX_CONFLICTS: usize = 5;
/// Distance of the rows with which a line of a single cell is compared, in rows.
const NEAR_ROWS: usize = 8;
/// Width of a space, in ems, when checking whether another word would have fitted in a cell.
const SPACE_EM: f32 = 0.25;
/// Variation of the line ends of a cell, in ems.
const MARGIN_EM: f32 = 0.5;

/// Assigns the cells of a table's rows to columns, and joins lines that continue cells.
pub(super) fn arrange(mut rows: Vec<Row>, text: &str) -> Vec<Row> {
    if rows.iter().any(|row| row.grid.is_some()) {
        assign_by_borders(&mut rows);
        return rows;
    }
    for row in &mut rows {
        row.cells = joined(std::mem::take(&mut row.cells));
    }
    let Some(columns) = columns(&rows) else {
        return rows;
    };
    let Some(assigned) = assign(&rows, &columns) else {
        return rows;
    };
    for (row, assigned) in rows.iter_mut().zip(assigned) {
        for (cell, column) in row.cells.iter_mut().zip(assigned) {
            cell.column = column;
        }
        row.has_cells = true;
        row.breaks.clear();
        row.columns = columns.len();
    }
    let shapes: Vec<Shape> = (0..columns.len())
        .map(|column| Shape::of(column, &rows, text))
        .collect();
    let mut joined: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match joined.last_mut() {
            Some(before) if continues(before, &row, &shapes, text) => append(before, row),
            _ => joined.push(row),
        }
    }
    joined
}

/// Assigns the cells of a ruled table by the left edges of their areas. A cell that spans columns
/// belongs to the first one.
fn assign_by_borders(rows: &mut [Row]) {
    let mut edges: Vec<f32> = rows
        .iter()
        .flat_map(|row| &row.cells)
        .map(|cell| cell.left)
        .collect();
    edges.sort_by(f32::total_cmp);
    edges.dedup_by(|edge, before| *edge - *before <= SAME_EDGE_POINTS);
    if edges.len() > MAX_COLUMNS {
        return;
    }
    for row in rows {
        row.columns = edges.len();
        for cell in &mut row.cells {
            let column = edges.partition_point(|edge| *edge <= cell.left + SAME_EDGE_POINTS);
            cell.column = column.checked_sub(1);
        }
    }
}

/// Joins the runs of a line that are in one cell.
fn joined(runs: Vec<Cell>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::with_capacity(runs.len());
    for run in runs.into_iter().flat_map(|cell| cell.lines) {
        match cells.last_mut().and_then(|cell| cell.lines.last_mut()) {
            Some(before) if run.from - before.to < CELL_GAP_EM * run.em => before.merge(run),
            _ => {
                let left = run.from;
                cells.push(Cell::new(vec![run], left));
            }
        }
    }
    cells
}

/// A column of an unruled table.
struct Column {
    from: f32,
    to: f32,
    /// Indices of the rows with a cell in it.
    rows: BTreeSet<usize>,
}

impl Column {
    fn overlaps(&self, (from, to): (f32, f32)) -> bool {
        to.min(self.to) - from.max(self.from) >= OVERLAP_POINTS
    }

    fn add(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.rows.extend(&other.rows);
    }
}

/// Finds the columns: groups of cells that overlap. The narrowest cells come first, because the
/// widest may span several columns.
fn columns(rows: &[Row]) -> Option<Vec<Column>> {
    let mut cells: Vec<Column> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.cells.len() >= 2)
        .flat_map(|(at, row)| row.cells.iter().map(move |cell| (at, cell.extent())))
        .map(|(at, (from, to))| Column {
            from,
            to,
            rows: BTreeSet::from([at]),
        })
        .collect();
    cells.sort_by(|a, b| (a.to - a.from).total_cmp(&(b.to - b.from)));
    let mut columns: Vec<Column> = Vec::new();
    for cell in cells {
        let count = columns.len();
        let mut overlapping = columns
            .iter_mut()
            .filter(|column| column.overlaps((cell.from, cell.to)));
        match (overlapping.next(), overlapping.next()) {
            (Some(column), None) => column.add(&cell),
            (Some(_), Some(_)) => {}
            (None, _) if count < MAX_COLUMNS => columns.push(cell),
            (None, _) => return None,
        }
    }
    columns.sort_by(|a, b| a.from.total_cmp(&b.from));
    let names = |row: &usize| *row == 0 || rows.get(*row).is_some_and(|row| row.is_header);
    join_names(&mut columns, &names);
    if rows.len() >= MIN_ROWS_WITH_STRAYS {
        columns.retain(|column| column.rows.len() >= 2 || column.rows.iter().any(names));
    }
    (columns.len() >= 2).then_some(columns)
}

/// Joins the name of a column that is beside its cells, such as a name on the left of numbers that
/// are aligned on the right.
fn join_names(columns: &mut Vec<Column>, names: &dyn Fn(&usize) -> bool) {
    let mut at = 0;
    while let Some([column, next]) = columns.get_mut(at..at + 2) {
        let is_name = |column: &Column| column.rows.iter().all(names);
        let beside = !column.rows.is_disjoint(&next.rows);
        if !beside && is_name(column) != is_name(next) {
            column.add(next);
            columns.remove(at + 1);
        } else {
            at += 1;
        }
    }
}

/// Returns the column of each cell, or `None` if the columns do not explain the rows.
fn assign(rows: &[Row], columns: &[Column]) -> Option<Vec<Vec<Option<usize>>>> {
    let mut conflicts = 0;
    let mut assigned = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let mut next = 0;
        let mut has_conflict = false;
        let cells: Vec<Option<usize>> = row
            .cells
            .iter()
            .map(|cell| {
                let column = column_of(cell, at, rows, columns)?;
                has_conflict |= column < next;
                (column >= next).then(|| {
                    next = column + 1;
                    column
                })
            })
            .collect();
        conflicts += usize::from(has_conflict);
        assigned.push(cells);
    }
    (conflicts * MAX_CONFLICTS <= rows.len()).then_some(assigned)
}

/// Returns the first column that a cell overlaps. A line with a single cell is in a column only if
/// it is aligned with it; otherwise it is rather a heading.
fn column_of(cell: &Cell, at: usize, rows: &[Row], columns: &[Column]) -> Option<usize> {
    let row = rows.get(at)?;
    let extent = cell.extent();
    let mut overlapping = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.overlaps(extent));
    let (index, column) = overlapping.next()?;
    let tolerance = ALIGNED_EM * row.em + 1.0;
    let mut is_in_column = || {
        overlapping.next().is_none()
            && column
                .rows
                .range(at.saturating_sub(NEAR_ROWS)..=at.saturating_add(NEAR_ROWS))
                .filter_map(|row| rows.get(*row))
                .flat_map(|row| &row.cells)
                .any(|other| {
                    column.overlaps(other.extent()) && is_aligned(extent, other.extent(), tolerance)
                })
    };
    (row.cells.len() >= 2 || is_in_column()).then_some(index)
}

/// What the cells of a column look like.
struct Shape {
    /// Whether most are numbers, which do not continue on the next line.
    is_numeric: bool,
    width: f32,
}

impl Shape {
    fn of(column: usize, rows: &[Row], text: &str) -> Self {
        let (mut cells, mut numbers, mut width) = (0, 0, 0.0_f32);
        for row in rows {
            for cell in row.cells.iter().filter(|cell| cell.column == Some(column)) {
                let (from, to) = cell.extent();
                width = width.max(to - from);
                if !row.is_header {
                    cells += 1;
                    numbers += usize::from(is_amount(cell, text));
                }
            }
        }
        Self {
            is_numeric: numbers * 2 > cells,
            width,
        }
    }
}

/// Whether a cell has more digits than letters: an amount, a date or a code.
fn is_amount(cell: &Cell, text: &str) -> bool {
    let (mut digits, mut letters) = (0, 0);
    for fragment in cell.lines.iter().flat_map(|line| &line.fragments) {
        let range = fragment.text.start as usize..fragment.text.end as usize;
        for character in text.get(range).unwrap_or_default().chars() {
            digits += usize::from(character.is_ascii_digit());
            letters += usize::from(character.is_alphabetic());
        }
    }
    digits > letters
}

/// Whether a row only continues cells of the row before it.
fn continues(before: &Row, row: &Row, shapes: &[Shape], text: &str) -> bool {
    let em = before.em.max(row.em);
    let leading = row.baseline - before.last_baseline;
    let starts_row = |row: &Row| row.cells.first().is_some_and(|cell| cell.column == Some(0));
    // The second line of a name may have a number, such as "on 1 May".
    let is_name = before.is_header && !row.cells.iter().any(|cell| is_amount(cell, text));
    (before.is_header == row.is_header || is_name)
        && (0.0..=CELL_LEADING_EM * em).contains(&leading)
        && starts_row(before)
        && !starts_row(row)
        && row.cells.len() < before.cells.len()
        && row.cells.iter().all(|cell| {
            let above = before
                .cells
                .iter()
                .find(|above| cell.column.is_some() && above.column == cell.column);
            let shape = cell.column.and_then(|column| shapes.get(column));
            match (above, shape) {
                (Some(above), Some(shape)) => {
                    is_aligned(cell.extent(), above.extent(), ALIGNED_EM * em + 1.0)
                        && (is_name || !shape.is_numeric && is_full(above, cell, shape.width))
                }
                _ => false,
            }
        })
}

/// Whether the first word of the next line would not have fitted in the cell.
fn is_full(cell: &Cell, next: &Cell, width: f32) -> bool {
    let (Some(last), Some(next)) = (cell.lines.last(), next.lines.first()) else {
        return false;
    };
    let word = next
        .fragments
        .iter()
        .min_by(|a, b| a.from.total_cmp(&b.from))
        .map_or(0.0, |word| word.to - word.from);
    last.to - last.from + SPACE_EM * last.em + word > width - MARGIN_EM * last.em
}

/// Adds the lines of a row to the cells of the row before it.
fn append(before: &mut Row, row: Row) {
    before.from = before.from.min(row.from);
    before.to = before.to.max(row.to);
    before.last_baseline = row.last_baseline;
    for cell in row.cells {
        if let Some(above) = before
            .cells
            .iter_mut()
            .find(|above| above.column == cell.column)
        {
            above.lines.extend(cell.lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fragment::{Script, TextFragment};
    use crate::layout::runs::TextRun;

    const EM: f32 = 10.0;

    /// Builds a row of cells at positions. Letters are half an em wide.
    fn row(baseline: f32, cells: &[(f32, &str)], text: &mut String) -> Row {
        let runs = cells
            .iter()
            .map(|(from, content)| {
                let start = u32::try_from(text.len()).unwrap();
                text.push_str(content);
                let width = f32::from(u16::try_from(content.len()).unwrap()) * EM / 2.0;
                let fragment = TextFragment {
                    text: start..u32::try_from(text.len()).unwrap(),
                    angle: 0,
                    from: *from,
                    to: from + width,
                    baseline,
                    em: EM,
                    space_before: false,
                    script: Script::LeftToRight,
                };
                TextRun {
                    from: *from,
                    to: from + width,
                    baseline,
                    em: EM,
                    fragments: vec![fragment],
                }
            })
            .collect();
        Row::of_runs(runs)
    }

    fn columns_of(rows: &[Row]) -> Vec<Vec<Option<usize>>> {
        rows.iter()
            .map(|row| row.cells.iter().map(|cell| cell.column).collect())
            .collect()
    }

    #[test]
    fn an_empty_cell_keeps_the_columns_of_the_cells_after_it() {
        let mut text = String::new();
        let rows = vec![
            row(
                0.0,
                &[(0.0, "Date"), (100.0, "Debit"), (200.0, "Credit")],
                &mut text,
            ),
            row(20.0, &[(0.0, "1 May"), (105.0, "40.00")], &mut text),
            row(40.0, &[(0.0, "2 May"), (205.0, "70.00")], &mut text),
            row(60.0, &[(0.0, "3 May"), (105.0, "9.00")], &mut text),
        ];
        assert_eq!(
            columns_of(&arrange(rows, &text)),
            [
                vec![Some(0), Some(1), Some(2)],
                vec![Some(0), Some(1)],
                vec![Some(0), Some(2)],
                vec![Some(0), Some(1)],
            ]
        );
    }

    #[test]
    fn the_name_of_a_column_may_be_beside_its_numbers() {
        let mut text = String::new();
        let rows = vec![
            row(0.0, &[(0.0, "Item"), (100.0, "Price")], &mut text),
            row(20.0, &[(0.0, "Rope"), (150.0, "4.00")], &mut text),
            row(40.0, &[(0.0, "Buoy"), (145.0, "70.00")], &mut text),
        ];
        assert_eq!(
            columns_of(&arrange(rows, &text)),
            vec![vec![Some(0), Some(1)]; 3]
        );
    }

    #[test]
    fn a_full_cell_continues_on_the_next_line_and_a_short_one_does_not() {
        let mut text = String::new();
        let rows = vec![
            row(
                0.0,
                &[(0.0, "A1"), (100.0, "a rope of polyester"), (300.0, "4.00")],
                &mut text,
            ),
            row(12.0, &[(100.0, "with eight strands")], &mut text),
            row(
                24.0,
                &[(0.0, "A2"), (100.0, "a buoy"), (295.0, "70.00")],
                &mut text,
            ),
            row(36.0, &[(100.0, "a lamp")], &mut text),
        ];
        let rows = arrange(rows, &text);
        let lines: Vec<Vec<usize>> = rows
            .iter()
            .map(|row| row.cells.iter().map(|cell| cell.lines.len()).collect())
            .collect();
        assert_eq!(lines, [vec![1, 2, 1], vec![1, 1, 1], vec![1]]);
    }
}
