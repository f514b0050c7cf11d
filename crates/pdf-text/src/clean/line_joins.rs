//! How a line of a page is joined with the next one.
//!
//! A line is full if the first word of the next line would not have fitted on it. A full line
//! continues on the next line; a shorter one keeps its line break. A larger distance between two
//! lines, or another font size, starts a paragraph.

use std::collections::HashMap;

use crate::layout::{LineWord, PageLines, TextLine, WordGap};

/// Distance between baselines of prose, in ems, if the page does not define it.
const LEADING_EM: f32 = 1.2;
/// Quantile of the distances between lines that is taken as the distance within paragraphs.
const USUAL_SHARE: f32 = 0.4;
/// Minimum distance between paragraphs, as a multiple of the distance within paragraphs.
const PARAGRAPH_LEADING: f32 = 1.3;
/// Maximum ratio of the font sizes of lines in one paragraph. A larger one separates a heading and
/// its text.
const MAX_SIZE_RATIO: f32 = 1.18;
/// Width of a space, in ems, when checking whether another word would have fitted.
const SPACE_EM: f32 = 0.25;
/// Variation of the line ends of prose, in ems, even if it is not justified.
const MARGIN_EM: f32 = 0.3;
/// Quantile of the line ends that is taken as the right margin of a column. The remaining lines
/// exceed it.
const MARGIN_SHARE: f32 = 0.9;
/// Characters that start a list item.
const BULLETS: [char; 9] = ['•', '▪', '◦', '‣', '·', '*', '–', '—', '●'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineJoin {
    /// The sentence continues: a space, or nothing after a hyphen.
    Continue,
    Break,
    Paragraph,
}

pub(super) struct PageMetrics {
    /// Distance between baselines, in ems.
    leading_em: f32,
    /// Right margin by direction and column.
    margins: HashMap<(u16, usize), f32>,
}

impl PageMetrics {
    pub(super) fn of(page: &PageLines) -> Self {
        let mut leadings: Vec<f32> = page
            .lines
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a.angle == b.angle && a.column == b.column => {
                    Some((b.baseline - a.baseline) / a.em.max(b.em))
                }
                _ => None,
            })
            .filter(|leading| (0.8..3.0).contains(leading))
            .collect();
        let mut ends: HashMap<(u16, usize), Vec<f32>> = HashMap::new();
        for line in &page.lines {
            ends.entry((line.angle, line.column))
                .or_default()
                .push(line.to);
        }
        Self {
            leading_em: quantile(&mut leadings, USUAL_SHARE).unwrap_or(LEADING_EM),
            margins: ends
                .into_iter()
                .filter_map(|(column, mut ends)| Some((column, quantile(&mut ends, MARGIN_SHARE)?)))
                .collect(),
        }
    }

    pub(super) fn line_join(&self, line: &TextLine, next: &TextLine, page: &PageLines) -> LineJoin {
        if line.angle != next.angle || line.em.max(next.em) > MAX_SIZE_RATIO * line.em.min(next.em)
        {
            return LineJoin::Paragraph;
        }
        if line.table.is_some() && line.table == next.table {
            return LineJoin::Break;
        }
        let full = self.is_full(line, next);
        if line.column != next.column || next.baseline <= line.baseline {
            // The text continues at the top of the next column if the sentence does.
            return if full && continues_sentence(next, page) {
                LineJoin::Continue
            } else {
                LineJoin::Paragraph
            };
        }
        let leading = next.baseline - line.last_baseline;
        if leading > PARAGRAPH_LEADING * self.leading_em * line.em.max(next.em) {
            LineJoin::Paragraph
        } else if full
            && !line.is_row
            && !next.is_row
            && !starts_list_item(next, page)
            && (!starts_with_code(line, page) || !starts_with_code(next, page))
        {
            LineJoin::Continue
        } else {
            LineJoin::Break
        }
    }

    /// Whether the first word of the next line would not have fitted on this line.
    fn is_full(&self, line: &TextLine, next: &TextLine) -> bool {
        let Some(margin) = self.margins.get(&(line.angle, line.column)) else {
            return false;
        };
        let word: f32 = first_word(next).map(|word| word.length).sum();
        line.to + SPACE_EM * line.em + word > margin - MARGIN_EM * line.em
    }
}

/// Returns the first word of a line with everything attached to it.
fn first_word(line: &TextLine) -> impl Iterator<Item = &LineWord> {
    line.words
        .iter()
        .enumerate()
        .take_while(|(at, word)| *at == 0 || word.gap == WordGap::None)
        .map(|(_, word)| word)
}

pub(super) fn first_character(line: &TextLine, page: &PageLines) -> Option<char> {
    line.words
        .first()
        .and_then(|word| page.word(word).chars().next())
}

/// Whether the line starts in the middle of a sentence.
fn continues_sentence(line: &TextLine, page: &PageLines) -> bool {
    first_character(line, page).is_some_and(|first| first.is_lowercase() || first.is_numeric())
}

/// Whether the line starts with a box to tick.
fn is_box(line: &TextLine, page: &PageLines) -> bool {
    let mut words = line.words.iter().map(|word| page.word(word));
    match words.next() {
        Some("[x]") => true,
        Some("[") => words.next() == Some("]"),
        _ => false,
    }
}

/// Whether the line starts with a box, a bullet or a number such as `3.` or `(b)`.
fn starts_list_item(line: &TextLine, page: &PageLines) -> bool {
    let Some(first) = line.words.first().map(|word| page.word(word)) else {
        return false;
    };
    if is_box(line, page) {
        return true;
    }
    if first.chars().count() == 1 && first.chars().all(|mark| BULLETS.contains(&mark)) {
        return true;
    }
    let number = first
        .strip_suffix(['.', ')'])
        .map(|number| number.strip_prefix('(').unwrap_or(number));
    number.is_some_and(|number| {
        (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
            || first.ends_with(')')
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}

/// Whether the line starts with a code of capitals and digits, such as `E271`. Consecutive lines
/// with codes are entries of a list.
fn starts_with_code(line: &TextLine, page: &PageLines) -> bool {
    let Some(first) = line.words.first().map(|word| page.word(word)) else {
        return false;
    };
    let code = first.trim_end_matches([':', '.', ')']);
    code.chars().any(|mark| mark.is_ascii_digit())
        && code.chars().any(|mark| mark.is_ascii_uppercase())
        && code
            .chars()
            .all(|mark| mark.is_ascii_digit() || mark.is_ascii_uppercase() || mark == '-')
}

/// Returns the quantile of the values.
fn quantile(values: &mut [f32], quantile: f32) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index computed from a share of the length"
    )]
    let at = (values.len() as f32 * quantile) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied()
}
