//! Detects running headers, footers and page numbers.
//!
//! A line is removed only if the same line is in the same place and in the same size on at least
//! [`MIN_REPEATS`] pages that follow each other or alternate, where only a page number may change,
//! in step with the pages. The first copy is kept. The line must also be outside of the body:
//! all lines between it and the edge of the page are removed as well, and a gap or another size
//! separates it from the text. Rows of tables, headings and lines with an amount are never removed.

use std::collections::HashMap;

use super::page_numbers::{self, HeaderCell, Pattern};
use crate::layout::{PageLines, TextLine, WordGap};

/// Height of the area with headers and of the area with footers, as a share of the page height.
const EDGE_SHARE: f32 = 0.14;
/// Minimum number of repeats. Fewer may be a coincidence.
const MIN_REPEATS: usize = 3;
/// Maximum distance between two repeats, in pages: left and right pages differ.
const MAX_PAGES_APART: u32 = 2;
/// Maximum length of a header. A longer line is prose.
const MAX_HEADER_CHARACTERS: usize = 200;
/// Maximum number of lines of the headers of a page, and of its footers.
const MAX_LINES: usize = 4;
/// Maximum distance between the places of the same line on two pages, in points.
const SAME_PLACE_POINTS: f32 = 2.5;
/// Maximum ratio of the sizes of the same line on two pages.
const SAME_SIZE_RATIO: f32 = 1.03;
/// Minimum ratio of the size of a heading to the size of the text.
const HEADING_RATIO: f32 = 1.15;
/// Minimum distance of a header from the text, as a multiple of the distance of lines, and minimum
/// ratio of the sizes of a header and text without such a distance.
const SEPARATE_LEADING: f32 = 1.35;
const SEPARATE_RATIO: f32 = 1.08;
/// Maximum distance between a row and the rows whose columns it names, in ems.
const TABLE_LEADING_EM: f32 = 4.5;
/// Maximum distance of the edges of aligned cells, in ems.
const ALIGNED_EM: f32 = 0.5;

/// Returns for each line of each page whether it is removed.
pub(super) fn find(pages: &[(u32, PageLines)]) -> Vec<Vec<bool>> {
    let page_count = pages.last().map_or(0, |(number, _)| *number);
    let repeated = repeated(pages, page_count);
    pages
        .iter()
        .zip(repeated)
        .map(|((_, page), copies)| {
            let mut removed = vec![false; page.lines.len()];
            for line in Edges::of(page, &copies).removable() {
                let is_later_copy = copies.get(line) == Some(&Some(Copy::Later));
                if let Some(flag) = removed.get_mut(line) {
                    *flag = is_later_copy;
                }
            }
            removed
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    First,
    Later,
}

/// Where a line occurs.
struct Occurrence {
    page: usize,
    number: u32,
    line: usize,
    baseline: f32,
    from: f32,
    to: f32,
    em: f32,
    /// Number in the line that may be a page number.
    value: Option<i64>,
}

/// Returns for each line of each page whether it is a copy of the same line on other pages.
fn repeated(pages: &[(u32, PageLines)], page_count: u32) -> Vec<Vec<Option<Copy>>> {
    let mut occurrences: HashMap<String, Vec<Occurrence>> = HashMap::new();
    for (index, (number, page)) in pages.iter().enumerate() {
        for (line_index, line) in page.lines.iter().enumerate() {
            if line.angle != 0 || !is_at_edge(line, page.height) {
                continue;
            }
            for Pattern { text, value } in patterns(line, page, page_count) {
                occurrences.entry(text).or_default().push(Occurrence {
                    page: index,
                    number: *number,
                    line: line_index,
                    baseline: line.baseline,
                    from: line.from,
                    to: line.to,
                    em: line.em,
                    value,
                });
            }
        }
    }
    let mut copies: Vec<Vec<Option<Copy>>> = pages
        .iter()
        .map(|(_, page)| vec![None; page.lines.len()])
        .collect();
    for mut occurrences in occurrences.into_values() {
        occurrences.sort_by(|a, b| {
            (a.value.map(|value| value - i64::from(a.number)))
                .cmp(&b.value.map(|value| value - i64::from(b.number)))
                .then(a.baseline.total_cmp(&b.baseline))
        });
        for place in occurrences.chunk_by_mut(is_same_place) {
            place.sort_by_key(|occurrence| occurrence.number);
            for series in place.chunk_by(|a, b| b.number - a.number <= MAX_PAGES_APART) {
                let pages = series.chunk_by(|a, b| a.number == b.number).count();
                if pages < MIN_REPEATS {
                    continue;
                }
                for (at, occurrence) in series.iter().enumerate() {
                    if let Some(copy) = copies
                        .get_mut(occurrence.page)
                        .and_then(|lines| lines.get_mut(occurrence.line))
                    {
                        *copy = Some(if at == 0 { Copy::First } else { Copy::Later });
                    }
                }
            }
        }
    }
    copies
}

/// Whether two occurrences of a line have the same place and size, and page numbers in step with
/// the pages.
fn is_same_place(a: &Occurrence, b: &Occurrence) -> bool {
    let offset = |occurrence: &Occurrence| {
        occurrence
            .value
            .map(|value| value - i64::from(occurrence.number))
    };
    let near = |a: f32, b: f32| (a - b).abs() <= SAME_PLACE_POINTS;
    let middle = |occurrence: &Occurrence| f32::midpoint(occurrence.from, occurrence.to);
    offset(a) == offset(b)
        && near(a.baseline, b.baseline)
        && a.em.max(b.em) <= SAME_SIZE_RATIO * a.em.min(b.em)
        // Mirrored pages have the same line on the other side.
        && (near(a.from, b.from) || near(a.to, b.to) || near(middle(a), middle(b)) || a.number != b.number)
}

fn is_at_edge(line: &TextLine, height: f32) -> bool {
    let y = line.y();
    y <= EDGE_SHARE * height || y >= (1.0 - EDGE_SHARE) * height
}

/// Returns the text of the line as it is, and without what may be its page number.
fn patterns(line: &TextLine, page: &PageLines, page_count: u32) -> Vec<Pattern> {
    let mut cells: Vec<HeaderCell> = Vec::new();
    for word in &line.words {
        let (from, to) = (word.bounds.x, word.bounds.x + word.bounds.width);
        match cells.last_mut() {
            Some(cell) if word.gap != WordGap::Cell => {
                if matches!(word.gap, WordGap::Space | WordGap::CellLine) {
                    cell.text.push(' ');
                }
                cell.text.push_str(page.word(word));
                cell.to = cell.to.max(to);
            }
            _ => cells.push(HeaderCell {
                text: page.word(word).to_owned(),
                from,
                to,
            }),
        }
    }
    let length: usize = cells.iter().map(|cell| cell.text.chars().count()).sum();
    if length > MAX_HEADER_CHARACTERS {
        return Vec::new();
    }
    page_numbers::patterns(&cells, page_count, page.width)
}

/// The lines of a page from top to bottom, to find those outside of its body.
struct Edges<'page> {
    page: &'page PageLines,
    copies: &'page [Option<Copy>],
    /// Indices of the lines from top to bottom.
    order: Vec<usize>,
    body_em: f32,
    leading: f32,
}

impl<'page> Edges<'page> {
    fn of(page: &'page PageLines, copies: &'page [Option<Copy>]) -> Self {
        let mut order: Vec<usize> = (0..page.lines.len())
            .filter(|&at| page.lines.get(at).is_some_and(|line| line.angle == 0))
            .collect();
        let baseline = |at: &usize| page.lines.get(*at).map_or(0.0, |line| line.baseline);
        order.sort_by(|a, b| baseline(a).total_cmp(&baseline(b)));
        let mut ems: Vec<f32> = page
            .lines
            .iter()
            .zip(copies)
            .filter(|(line, copy)| copy.is_none() && line.angle == 0)
            .map(|(line, _)| line.em)
            .collect();
        ems.sort_by(f32::total_cmp);
        let mut leadings: Vec<f32> = order
            .windows(2)
            .filter_map(|pair| Some(baseline(pair.get(1)?) - baseline(pair.first()?)))
            .filter(|leading| *leading > 1.0)
            .collect();
        leadings.sort_by(f32::total_cmp);
        Self {
            page,
            copies,
            order,
            body_em: ems.get(ems.len() / 2).copied().unwrap_or(f32::INFINITY),
            leading: leadings.get(leadings.len() / 2).copied().unwrap_or(0.0),
        }
    }

    /// Returns the copies above and below the body.
    fn removable(&self) -> Vec<usize> {
        let top: Vec<usize> = self.order.clone();
        let bottom: Vec<usize> = self.order.iter().rev().copied().collect();
        let mut removable = self.peel(&top);
        let below = self.peel(&bottom);
        if removable.len() + below.len() >= self.order.len() {
            return Vec::new(); // on very similar short pages, what looks like headers is the text
        }
        removable.extend(below);
        removable
    }

    /// Returns the copies at the start of `order` that a gap separates from the body.
    fn peel(&self, order: &[usize]) -> Vec<usize> {
        let mut peeled: Vec<usize> = order
            .iter()
            .copied()
            .take_while(|&line| {
                self.copies.get(line).is_some_and(Option::is_some) && self.may_be_header(line)
            })
            .take(MAX_LINES + 1)
            .collect();
        if peeled.len() > MAX_LINES {
            return Vec::new(); // a form with the same labels on each page
        }
        while let Some(&innermost) = peeled.last() {
            let Some(&next) = order.get(peeled.len()) else {
                return Vec::new();
            };
            if self.is_separate(innermost, next) {
                break;
            }
            peeled.pop();
        }
        peeled
    }

    /// Whether a line is neither a heading nor a row of a table, and has no amount.
    fn may_be_header(&self, line: usize) -> bool {
        let Some(line) = self.page.lines.get(line) else {
            return false;
        };
        line.em < HEADING_RATIO * self.body_em
            && !self.names_columns(line)
            && !line
                .words
                .iter()
                .any(|word| is_amount(self.page.word(word)))
    }

    /// Whether the cells of a line are aligned with the cells of another line near it.
    fn names_columns(&self, line: &TextLine) -> bool {
        let cells = cells(line);
        let tolerance = ALIGNED_EM * line.em;
        cells.len() >= 2
            && self.page.lines.iter().any(|other| {
                let distance = (other.baseline - line.baseline).abs();
                let others = cells_of_neighbor(other, line, distance);
                let aligned = cells
                    .iter()
                    .filter(|cell| {
                        others.iter().any(|other| {
                            (cell.0 - other.0).abs() <= tolerance
                                || (cell.1 - other.1).abs() <= tolerance
                        })
                    })
                    .count();
                aligned >= 2
            })
    }

    /// Whether a gap or the size separates a header from the next line.
    fn is_separate(&self, header: usize, next: usize) -> bool {
        let (Some(header), Some(next)) = (self.page.lines.get(header), self.page.lines.get(next))
        else {
            return false;
        };
        let distance = (header.baseline - next.baseline).abs();
        let em = header.em.max(next.em);
        distance > SEPARATE_LEADING * self.leading.max(em)
            || em > SEPARATE_RATIO * header.em.min(next.em)
    }
}

/// Whether a word is an amount of money, such as `1,250.00` or `€5`.
fn is_amount(word: &str) -> bool {
    let is_currency = |mark: char| matches!(mark, '$' | '€' | '£' | '¥' | '₹' | '₪');
    let number = word.trim_matches(|mark: char| {
        is_currency(mark) || matches!(mark, '(' | ')' | '+' | '-' | '−')
    });
    let has_cents = || {
        number
            .rsplit_once(['.', ','])
            .is_some_and(|(whole, cents)| {
                let is_whole =
                    |mark: char| mark.is_ascii_digit() || matches!(mark, '.' | ',' | '\'' | '’');
                cents.len() == 2
                    && cents.bytes().all(|digit| digit.is_ascii_digit())
                    && whole.starts_with(|first: char| first.is_ascii_digit())
                    && whole.chars().all(is_whole)
            })
    };
    // Dates such as 12.05.24 have two equal marks and few digits.
    let is_date =
        || number.len() <= 8 && number.matches(['.', ',']).count() == 2 && !number.contains(',');
    number.starts_with(|first: char| first.is_ascii_digit())
        && (word.contains(is_currency) || (has_cents() && !is_date()))
}

fn cells_of_neighbor(other: &TextLine, line: &TextLine, distance: f32) -> Vec<(f32, f32)> {
    if distance > 0.5 && distance <= TABLE_LEADING_EM * line.em {
        cells(other)
    } else {
        Vec::new()
    }
}

/// Returns the left and right edge of each cell.
fn cells(line: &TextLine) -> Vec<(f32, f32)> {
    let mut cells: Vec<(f32, f32)> = Vec::new();
    for word in &line.words {
        let (from, to) = (word.bounds.x, word.bounds.x + word.bounds.width);
        match cells.last_mut() {
            Some(cell) if word.gap != WordGap::Cell => cell.1 = cell.1.max(to),
            _ => cells.push((from, to)),
        }
    }
    cells
}

#[cfg(test)]
mod tests;
