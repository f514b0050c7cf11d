//! Finds tables: consecutive lines whose cells are aligned, and rows of ruled tables. The text
//! between two cells is a gap, however narrow, if the lines above or below have one there.

mod cells;

use super::rows::Row;
use super::rulings::Rulings;
use super::runs::TextRun;

/// Minimum gap between two cells of a table, in ems.
const CELL_GAP_EM: f32 = 0.8;
/// Maximum distance of the edges of aligned cells, in ems.
const ALIGNED_EM: f32 = 0.35;
/// Maximum distance of two rows, in ems. A larger one separates two tables.
const MAX_LEADING_EM: f32 = 4.0;
/// Minimum number of rows of a table with a header.
const MIN_ROWS_WITH_HEADER: usize = 3;
/// Maximum number of lines of a header.
const MAX_HEADER_LINES: usize = 3;
/// Maximum number of lines of a cell after its first one.
const MAX_CONTINUED_LINES: usize = 7;
/// Maximum distance of the lines of a cell, in ems.
const CELL_LEADING_EM: f32 = 1.6;

/// Marks the rows of tables. `tables` is the number of tables of the page so far.
pub(super) fn find(
    mut rows: Vec<Row>,
    rulings: Option<&Rulings>,
    text: &str,
    tables: &mut usize,
) -> Vec<Row> {
    let mut found = Vec::with_capacity(rows.len());
    let mut start = 0;
    while start < rows.len() {
        let end = table_end(&rows, start).max(start + 1);
        let mut table: Vec<Row> = rows
            .get_mut(start..end)
            .unwrap_or_default()
            .iter_mut()
            .map(std::mem::take)
            .collect();
        start = end;
        if table.len() < 2 {
            found.append(&mut table);
            continue;
        }
        let header_lines = header_lines(&table, rulings, text);
        for (at, row) in table.iter_mut().enumerate() {
            row.table = Some(*tables);
            row.is_header = at < header_lines;
            row.breaks = breaks(row);
        }
        *tables += 1;
        found.extend(cells::arrange(table, text));
    }
    found
}

/// Returns the index after the table that starts at `start`.
fn table_end(rows: &[Row], start: usize) -> usize {
    let mut last = start; // last row that is aligned
    let mut continued = start; // last line of its cells
    for at in start + 1..rows.len() {
        let (Some(before), Some(above), Some(row)) =
            (rows.get(last), rows.get(at - 1), rows.get(at))
        else {
            break;
        };
        if follows(before, above, row) {
            (last, continued) = (at, at);
        } else if at - last <= MAX_CONTINUED_LINES
            && continued == at - 1
            && is_below_cell(before, above, row)
        {
            continued = at;
        } else if at - last > 1 || before.column != row.column || row.cells.len() > 1 {
            break; // one line between two rows may continue the first cell or be a heading
        }
    }
    // The lines after the last row continue its cells if there is a table.
    if last > start {
        continued + 1
    } else {
        last + 1
    }
}

/// Whether a line of the page can continue a cell of the row `before`: its text is below a cell
/// other than the first one.
fn is_below_cell(before: &Row, above: &Row, row: &Row) -> bool {
    let em = before.em.max(row.em);
    let leading = row.baseline - above.last_baseline;
    let tolerance = ALIGNED_EM * em + 1.0;
    let cells = extents(before);
    row.grid.is_none()
        && before.grid.is_none()
        && before.column == row.column
        && (0.0..=CELL_LEADING_EM * em).contains(&leading)
        && extents(row).iter().all(|&cell| {
            cells
                .iter()
                .skip(1)
                .any(|&other| is_aligned(cell, other, tolerance))
        })
}

/// Whether two rows belong to one table. `above` is the line above `row`.
fn follows(before: &Row, above: &Row, row: &Row) -> bool {
    if before.grid.is_some() || row.grid.is_some() {
        return before.grid == row.grid;
    }
    let em = before.em.max(row.em);
    let leading = row.baseline - above.last_baseline;
    if before.column != row.column || !(0.0..=MAX_LEADING_EM * em).contains(&leading) {
        return false;
    }
    let cells = extents(row);
    let before = extents(before);
    let tolerance = ALIGNED_EM * em + 1.0;
    let aligned = cells
        .iter()
        .filter(|cell| {
            before
                .iter()
                .any(|other| is_aligned(**cell, *other, tolerance))
        })
        .count();
    cells.len() >= 2 && before.len() >= 2 && aligned >= 2
}

/// Whether the left edges, the right edges or the middles of two cells are aligned.
fn is_aligned(a: (f32, f32), b: (f32, f32), tolerance: f32) -> bool {
    (a.0 - b.0).abs() <= tolerance
        || (a.1 - b.1).abs() <= tolerance
        || (f32::midpoint(a.0, a.1) - f32::midpoint(b.0, b.1)).abs() <= tolerance
}

/// Returns the left and right edge of each cell.
fn extents(row: &Row) -> Vec<(f32, f32)> {
    let mut cells: Vec<(f32, f32)> = Vec::new();
    for run in row.cells.iter().flat_map(|cell| &cell.lines) {
        match cells.last_mut() {
            Some((_, to)) if run.from - *to < CELL_GAP_EM * run.em => *to = to.max(run.to),
            _ => cells.push((run.from, run.to)),
        }
    }
    cells
}

/// Returns positions between the cells of a row.
fn breaks(row: &Row) -> Vec<f32> {
    extents(row)
        .windows(2)
        .filter_map(|pair| match pair {
            [(_, before), (after, _)] => Some(f32::midpoint(*before, *after)),
            _ => None,
        })
        .collect()
}

/// Returns the number of first lines that name the columns: lines without numbers above rows with
/// numbers, or above a ruling that the other rows do not have.
fn header_lines(table: &[Row], rulings: Option<&Rulings>, text: &str) -> usize {
    if table.len() < MIN_ROWS_WITH_HEADER && table.iter().all(|row| row.grid.is_none()) {
        return 0;
    }
    let row_has_number = |row: &Row| {
        let mut runs = row.cells.iter().flat_map(|cell| &cell.lines);
        runs.any(|run| has_number(run, text))
    };
    let numbers: Vec<bool> = table.iter().map(row_has_number).collect();
    let names = numbers
        .iter()
        .take_while(|has_number| !**has_number)
        .count();
    let with_numbers = numbers.iter().filter(|has_number| **has_number).count();
    let is_row = |row: &Row| extents(row).len() >= 2;
    if (1..=MAX_HEADER_LINES).contains(&names) && with_numbers * 2 >= table.len() - names {
        let first_rows = table.get(..names).unwrap_or_default();
        return if first_rows.iter().any(is_row) {
            names
        } else {
            0
        };
    }
    let is_ruled = |pair: &[Row]| match (pair, rulings) {
        ([above, below], Some(rulings)) => rulings.horizontal.iter().any(|ruling| {
            (above.last_baseline..below.baseline).contains(&ruling.at)
                && ruling.to.min(above.to) - ruling.from.max(above.from)
                    >= (above.to - above.from) / 2.0
        }),
        _ => false,
    };
    let ruled = table.windows(2).filter(|pair| is_ruled(pair)).count();
    let first_is_ruled = table.get(..2).is_some_and(is_ruled);
    let all_ruled = table.iter().all(|row| row.grid.is_some()) && has_rulings(table, rulings);
    let has_header = names > 0 && ((first_is_ruled && ruled == 1) || all_ruled);
    usize::from(has_header && table.first().is_some_and(is_row))
}

/// Whether there are horizontal rulings among the rows.
fn has_rulings(table: &[Row], rulings: Option<&Rulings>) -> bool {
    let (Some(first), Some(last), Some(rulings)) = (table.first(), table.last(), rulings) else {
        return false;
    };
    let above = first.baseline - MAX_LEADING_EM * first.em;
    let below = last.last_baseline + MAX_LEADING_EM * last.em;
    let mut horizontal = rulings.horizontal.iter();
    horizontal.any(|ruling| (above..below).contains(&ruling.at))
}

/// Whether a word consists mostly of digits, as amounts and dates do.
pub(super) fn has_number(run: &TextRun, text: &str) -> bool {
    run.fragments.iter().any(|fragment| {
        let range = fragment.text.start as usize..fragment.text.end as usize;
        text.get(range).is_some_and(is_number)
    })
}

/// Whether most of the characters are digits. A year is not a number, because the names of columns
/// contain years.
fn is_number(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return false;
    }
    let letters = word.chars().filter(|mark| mark.is_alphabetic()).count();
    let is_year =
        digits == 4 && word.len() == 4 && (word.starts_with("19") || word.starts_with("20"));
    digits > letters && !is_year
}
