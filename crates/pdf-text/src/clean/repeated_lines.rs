//! Detects headers, footers and page numbers: lines at the edge of the page that are repeated on
//! the following pages.
//!
//! A line in the outer part of the page ([`EDGE_SHARE`]) is removed if the same line, apart from
//! numbers, is at the same edge of at least [`MIN_REPEATS`] pages, with at most [`MAX_PAGES_APART`]
//! pages from one to the next (left and right pages differ, and headers change with the chapter).
//! Lines of numbers only are the same if their numbers increase with the page number.

use std::collections::HashMap;

use crate::layout::{PageLines, TextLine};

/// Height of the area with headers and of the area with footers, as a share of the page height.
const EDGE_SHARE: f32 = 0.13;
/// Minimum number of repeats. Fewer may be a coincidence.
const MIN_REPEATS: usize = 3;
/// Maximum distance between two repeats, in pages. Left and right pages differ, and the first page
/// of a chapter has no header.
const MAX_PAGES_APART: u32 = 4;
/// Maximum length of a header. A longer line is prose.
const MAX_HEADER_CHARACTERS: usize = 200;

/// Returns for each line of each page whether it is a header or footer.
pub(super) fn find(pages: &[(u32, PageLines)]) -> Vec<Vec<bool>> {
    let mut occurrences: HashMap<LineKey, Vec<(u32, usize, usize)>> = HashMap::new();
    for (index, (number, page)) in pages.iter().enumerate() {
        for (line_index, line) in page.lines.iter().enumerate() {
            let Some(edge) = edge(line, page.height) else {
                continue;
            };
            let Some((pattern, offset)) = pattern(&text(line, page), *number) else {
                continue;
            };
            occurrences
                .entry(LineKey {
                    edge,
                    pattern,
                    offset,
                })
                .or_default()
                .push((*number, index, line_index));
        }
    }
    let mut repeated: Vec<Vec<bool>> = pages
        .iter()
        .map(|(_, page)| vec![false; page.lines.len()])
        .collect();
    for occurrences in occurrences.values() {
        for series in occurrences
            .chunk_by(|(number, ..), (next, ..)| next.abs_diff(*number) <= MAX_PAGES_APART)
        {
            if page_count(series) < MIN_REPEATS {
                continue;
            }
            for &(_, page, line) in series {
                if let Some(flag) = repeated.get_mut(page).and_then(|lines| lines.get_mut(line)) {
                    *flag = true;
                }
            }
        }
    }
    repeated
}

/// Key of lines that are the same.
#[derive(PartialEq, Eq, Hash)]
struct LineKey {
    edge: Edge,
    pattern: String,
    /// For a line of numbers only: its first number minus the page number.
    offset: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Edge {
    Top,
    Bottom,
}

fn edge(line: &TextLine, height: f32) -> Option<Edge> {
    let y = line.y();
    if y <= EDGE_SHARE * height {
        Some(Edge::Top)
    } else if y >= (1.0 - EDGE_SHARE) * height {
        Some(Edge::Bottom)
    } else {
        None
    }
}

fn page_count(series: &[(u32, usize, usize)]) -> usize {
    series
        .chunk_by(|(number, ..), (next, ..)| number == next)
        .count()
}

fn text(line: &TextLine, page: &PageLines) -> String {
    let mut text = String::new();
    for word in &line.words {
        if !text.is_empty() && !word.glued {
            text.push(' ');
        }
        text.push_str(page.word(word));
    }
    text
}

/// Returns the line without its numbers and, for a line of numbers only, the offset from the page
/// number.
fn pattern(line: &str, number: u32) -> Option<(String, Option<i64>)> {
    if line.chars().nth(MAX_HEADER_CHARACTERS).is_some() {
        return None;
    }
    let mut pattern = String::with_capacity(line.len());
    let mut first = None;
    let mut letters = false;
    for token in tokens(line) {
        if let Some(value) = whole_number(token) {
            first.get_or_insert(value);
            pattern.push('#');
        } else {
            letters |= token.chars().any(char::is_alphabetic);
            pattern.push_str(&token.to_lowercase());
        }
    }
    if letters {
        return Some((pattern, None));
    }
    // No letters: a page number in some format, or figures of a table, which do not increase with
    // the page number.
    first.map(|value| (pattern, Some(value - i64::from(number))))
}

/// Splits a line into runs of letters and digits and the text between them.
fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let same = |character: char| character.is_alphanumeric() == first.is_alphanumeric();
        let end = rest
            .find(|character| !same(character))
            .unwrap_or(rest.len());
        let (token, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(token)
    })
}

/// Parses a page number: up to five digits, or lower-case Roman numerals.
fn whole_number(token: &str) -> Option<i64> {
    if token.len() <= 5 && token.bytes().all(|byte| byte.is_ascii_digit()) {
        return token.parse().ok();
    }
    roman(token)
}

fn roman(token: &str) -> Option<i64> {
    if token.is_empty() || token.len() > 8 {
        return None;
    }
    let mut total = 0;
    let mut before = 0;
    for character in token.chars().rev() {
        let value = match character {
            'i' => 1,
            'v' => 5,
            'x' => 10,
            'l' => 50,
            'c' => 100,
            _ => return None,
        };
        if value < before {
            total -= value;
        } else {
            total += value;
            before = value;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Glyph, PageBuilder, lay_out};

    /// A page with a line of text at each of the heights.
    fn page(lines: &[(f64, &str)]) -> PageLines {
        let mut builder = PageBuilder::new(600.0, 800.0);
        for &(y, line) in lines {
            let mut x = 50.0;
            for word in line.split(' ') {
                for character in word.chars() {
                    builder.push(&Glyph {
                        text: character.encode_utf8(&mut [0; 4]),
                        x,
                        y,
                        advance_x: 5.0,
                        advance_y: 0.0,
                        em: 10.0,
                    });
                    x += 5.0;
                }
                x += 3.0;
            }
        }
        lay_out(builder)
    }

    fn kept(pages: &[PageLines]) -> Vec<Vec<String>> {
        let numbered: Vec<(u32, PageLines)> = (1..)
            .zip(pages.iter().map(|page| PageLines {
                width: page.width,
                height: page.height,
                text: page.text.clone(),
                lines: Vec::new(),
                has_picture: page.has_picture,
            }))
            .zip(pages)
            .map(|((number, mut copy), page)| {
                copy.lines = copy_lines(page);
                (number, copy)
            })
            .collect();
        let repeated = find(&numbered);
        numbered
            .iter()
            .zip(repeated)
            .map(|((_, page), repeated)| {
                page.lines
                    .iter()
                    .zip(repeated)
                    .filter(|(_, repeated)| !repeated)
                    .map(|(line, _)| text(line, page))
                    .collect()
            })
            .collect()
    }

    fn copy_lines(page: &PageLines) -> Vec<TextLine> {
        page.lines
            .iter()
            .map(|line| TextLine {
                words: line
                    .words
                    .iter()
                    .map(|word| crate::layout::LineWord {
                        text: word.text.clone(),
                        glued: word.glued,
                        length: word.length,
                        bounds: word.bounds,
                    })
                    .collect(),
                column: line.column,
                angle: line.angle,
                from: line.from,
                to: line.to,
                baseline: line.baseline,
                em: line.em,
                is_row: line.is_row,
            })
            .collect()
    }

    #[test]
    fn repeated_headers_and_page_numbers_are_removed() {
        let pages: Vec<PageLines> = (1..=6)
            .map(|number| {
                let head = if number % 2 == 0 {
                    "The Manual"
                } else {
                    "Chapter 3"
                };
                page(&[
                    (30.0, head),
                    (400.0, "The Manual is in the body as well"),
                    (780.0, &format!("Page {number} of 6")),
                ])
            })
            .collect();
        assert_eq!(
            kept(&pages),
            vec![vec!["The Manual is in the body as well".to_owned()]; 6]
        );
    }

    #[test]
    fn a_line_that_occurs_twice_is_kept() {
        let pages: Vec<PageLines> = (0..2)
            .map(|_| page(&[(30.0, "Twice"), (400.0, "Text")]))
            .collect();
        assert_eq!(
            kept(&pages),
            vec![vec!["Twice".to_owned(), "Text".to_owned()]; 2]
        );
    }

    #[test]
    fn table_figures_at_the_edge_of_the_page_are_kept() {
        let rows = ["17 4", "3 99", "512 7", "41 8"];
        let pages: Vec<PageLines> = rows.iter().map(|row| page(&[(780.0, row)])).collect();
        assert_eq!(
            kept(&pages),
            rows.iter()
                .map(|&row| vec![row.to_owned()])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn page_numbers_in_roman_numerals_are_removed() {
        let pages: Vec<PageLines> = ["iii", "iv", "v", "vi"]
            .iter()
            .map(|number| page(&[(300.0, "Preface"), (780.0, number)]))
            .collect();
        assert_eq!(kept(&pages), vec![vec!["Preface".to_owned()]; 4]);
    }
}
