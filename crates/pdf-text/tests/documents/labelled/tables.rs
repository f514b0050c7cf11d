//! Tables with names of columns, wrapped cells, empty cells and numbers that are aligned on the right.

use super::helvetica::{width, wrap};
use super::{Labelled, phrase};
use crate::pdf::{Pdf, line};
use crate::random::Random;

const HEIGHT: f64 = 800.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 560.0;
/// Distance between the text and the border of a cell, in points.
const PADDING: f64 = 7.0;
/// Distance between baselines, in ems.
const LEADING: f64 = 1.2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A short code in each row.
    Key,
    /// Text that may be empty or have several lines.
    Text,
    /// A number that may be empty.
    Number,
}

struct Column {
    kind: Kind,
    name: String,
    left: f64,
    right: f64,
}

/// Returns a document with one table.
pub(super) fn document(random: &mut Random, is_ruled: bool) -> Labelled {
    let size = 8.0 + f64::from(u8::try_from(random.below(4)).unwrap_or(0));
    let columns = columns(random, size);
    let padding = f64::from(u8::try_from(random.below(6)).unwrap_or(0)) + 2.0;
    let mut content = String::new();
    let mut lines = Vec::new();
    let mut top = 60.0;
    let mut tops = vec![top];
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut row = 0;
    let mut cells = names;
    while top < HEIGHT - 120.0 {
        let mut height = 1;
        for (column, cell) in columns.iter().zip(&cells) {
            let wrapped = wrap(cell, size, column.right - column.left - 2.0 * PADDING);
            height = height.max(wrapped.len());
            let mut y = top + padding + size;
            for text in wrapped.iter().filter(|text| !text.is_empty()) {
                let x = match column.kind {
                    Kind::Number => column.right - PADDING - width(text, size),
                    Kind::Key | Kind::Text => column.left + PADDING,
                };
                content += &line(x, HEIGHT - y, size, text);
                y += LEADING * size;
            }
        }
        let text = cells.join("\t");
        lines.push(text.trim_end_matches('\t').to_owned());
        let height = f64::from(u32::try_from(height).unwrap_or(1));
        top += 2.0 * padding + LEADING * size * height;
        tops.push(top);
        row += 1;
        cells = columns
            .iter()
            .map(|column| cell(column, row, random))
            .collect();
    }
    if is_ruled {
        content += &rulings(&tops, &columns);
    }
    let mut pdf = Pdf::default();
    let page = pdf.page(&content, "", "");
    Labelled {
        file: pdf.finish(&[page]),
        lines,
    }
}

fn columns(random: &mut Random, size: f64) -> Vec<Column> {
    let count = 3 + random.below(4);
    let mut columns: Vec<Column> = Vec::new();
    let mut left = LEFT;
    for index in 0..count {
        let kind = match index {
            0 => Kind::Key,
            1 => Kind::Text,
            _ if random.below(4) == 0 => Kind::Text,
            _ => Kind::Number,
        };
        let number = index + 1;
        let (name, em) = match kind {
            Kind::Key => ("Code".to_owned(), 6.0),
            Kind::Text => (format!("Text {number}"), 14.0),
            Kind::Number => (format!("Sum {number}"), 7.0),
        };
        let right = left + em * size + 2.0 * PADDING;
        if right > RIGHT {
            break;
        }
        columns.push(Column {
            kind,
            name,
            left,
            right,
        });
        left = right;
    }
    columns
}

fn cell(column: &Column, row: usize, random: &mut Random) -> String {
    let is_empty = random.below(4) == 0;
    match column.kind {
        Kind::Key => format!("K-{}", 100 + row),
        _ if is_empty => String::new(),
        Kind::Text => {
            let words = 1 + random.below(8);
            phrase(random, words)
        }
        Kind::Number => format!("{}.{:02}", random.below(900), random.below(100)),
    }
}

fn rulings(tops: &[f64], columns: &[Column]) -> String {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else {
        return String::new();
    };
    let (Some(top), Some(bottom)) = (tops.first(), tops.last()) else {
        return String::new();
    };
    let across = tops.iter().map(|y| {
        let y = HEIGHT - y;
        format!("{} {y} m {} {y} l S\n", first.left, last.right)
    });
    let sides = columns.iter().map(|column| column.left).chain([last.right]);
    let down = sides.map(|x| format!("{x} {} m {x} {} l S\n", HEIGHT - top, HEIGHT - bottom));
    across.chain(down).collect()
}
