//! Headers, footers and page numbers: lines at the edge of the page that come again on the pages after it.
//!
//! The rule: a line in the outer part of the page ([`EDGE_SHARE`]) goes if the same line, numbers apart, stands at the same edge of
//! at least [`REPEATS_MIN`] pages, none further than [`PAGES_APART_MAX`] from the next (left and right pages differ, and a header
//! changes with the chapter). A line of numbers alone counts as the same only if it counts with the pages.

use std::collections::HashMap;

use crate::layout::{LaidOut, Line};

/// The upper and the lower part of a page in which headers and footers stand, as a share of its height.
const EDGE_SHARE: f32 = 0.13;
/// Fewer repeats than this may be chance.
const REPEATS_MIN: usize = 3;
/// Pages between two repeats: left and right pages differ, and the first page of a chapter has none.
const PAGES_APART_MAX: u32 = 4;
/// A header is short; a longer line is prose.
const HEADER_CHARACTERS_MAX: usize = 200;

/// For each page, for each of its lines: whether it is a header or a footer.
pub(super) fn repeated(pages: &[(u32, LaidOut)]) -> Vec<Vec<bool>> {
    let mut places: HashMap<Key, Vec<(u32, usize, usize)>> = HashMap::new();
    for (index, (number, page)) in pages.iter().enumerate() {
        for (line_index, line) in page.lines.iter().enumerate() {
            let Some(edge) = edge(line, page.height) else {
                continue;
            };
            let Some((pattern, offset)) = pattern(&text(line, page), *number) else {
                continue;
            };
            places
                .entry(Key {
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
    for places in places.values() {
        for series in
            places.chunk_by(|(number, ..), (next, ..)| next.abs_diff(*number) <= PAGES_APART_MAX)
        {
            if page_count(series) < REPEATS_MIN {
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

/// What makes two lines the same.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    edge: Edge,
    pattern: String,
    /// Of a line of numbers alone: the first of them less the page's number.
    offset: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Edge {
    Top,
    Bottom,
}

fn edge(line: &Line, height: f32) -> Option<Edge> {
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

fn text(line: &Line, page: &LaidOut) -> String {
    let mut text = String::new();
    for word in &line.words {
        if !text.is_empty() && !word.glued {
            text.push(' ');
        }
        text.push_str(page.word(word));
    }
    text
}

/// The line with its numbers taken out; for a line of numbers alone, how far they are from the page's.
fn pattern(line: &str, number: u32) -> Option<(String, Option<i64>)> {
    if line.chars().nth(HEADER_CHARACTERS_MAX).is_some() {
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
    // No letters: a page number in one of its many dresses, or figures of a table, which do not count with the pages.
    first.map(|value| (pattern, Some(value - i64::from(number))))
}

/// Runs of letters and digits, and what stands between them.
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

/// A page number: up to five digits, or small Roman ones.
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
    use crate::layout::{Glyph, Sheet};

    /// A page with one line of text at each of the heights.
    fn page(lines: &[(f64, &str)]) -> LaidOut {
        let mut sheet = Sheet::new(600.0, 800.0);
        for &(y, line) in lines {
            let mut x = 50.0;
            for word in line.split(' ') {
                for character in word.chars() {
                    sheet.push(&Glyph {
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
        sheet.lay_out()
    }

    fn kept(pages: &[LaidOut]) -> Vec<Vec<String>> {
        let numbered: Vec<(u32, LaidOut)> = (1..)
            .zip(pages.iter().map(|page| LaidOut {
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
        let repeated = repeated(&numbered);
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

    fn copy_lines(page: &LaidOut) -> Vec<Line> {
        page.lines
            .iter()
            .map(|line| Line {
                words: line
                    .words
                    .iter()
                    .map(|word| crate::layout::LineWord {
                        text: word.text.clone(),
                        glued: word.glued,
                        length: word.length,
                        place: word.place,
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
    fn headers_and_page_numbers_that_come_again_go() {
        let pages: Vec<LaidOut> = (1..=6)
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
    fn what_comes_twice_stays() {
        let pages: Vec<LaidOut> = (0..2)
            .map(|_| page(&[(30.0, "Twice"), (400.0, "Text")]))
            .collect();
        assert_eq!(
            kept(&pages),
            vec![vec!["Twice".to_owned(), "Text".to_owned()]; 2]
        );
    }

    #[test]
    fn figures_of_a_table_at_the_pages_edge_stay() {
        let rows = ["17 4", "3 99", "512 7", "41 8"];
        let pages: Vec<LaidOut> = rows.iter().map(|row| page(&[(780.0, row)])).collect();
        assert_eq!(
            kept(&pages),
            rows.iter()
                .map(|&row| vec![row.to_owned()])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn page_numbers_in_roman_digits_go() {
        let pages: Vec<LaidOut> = ["iii", "iv", "v", "vi"]
            .iter()
            .map(|number| page(&[(300.0, "Preface"), (780.0, number)]))
            .collect();
        assert_eq!(kept(&pages), vec![vec!["Preface".to_owned()]; 4]);
    }
}
