//! Assembles the text of a page from its lines, with the positions of the words.
//!
//! A line is full if the first word of the next line would not have fitted on it. A full line
//! continues on the next line; a shorter one keeps its line break. A larger distance between two
//! lines, or another font size, starts a paragraph.

use std::borrow::Cow;
use std::collections::HashMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::hyphens::{Compounds, Hyphen};
use crate::layout::{LineWord, PageLines, TextLine, WordGap};
use crate::page::{Page, Table, Word};

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

/// Separates the cells of a table.
const CELL_SEPARATOR: &str = "\t";
/// Maximum length of the header of a table, in bytes. A longer one would fill a chunk.
const MAX_HEADER_BYTES: usize = 300;
/// Minimum number of consecutive dots, in one word or several, of a dot leader between a table of
/// contents entry and its page number. Dot leaders are removed.
const MIN_LEADER_DOTS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineJoin {
    /// The sentence continues: a space, or nothing after a hyphen.
    Continue,
    Break,
    Paragraph,
}

/// Assembles the text and the words of a page.
pub(super) fn assemble(number: u32, mut page: PageLines, compounds: &Compounds) -> Page {
    remove_dot_leaders(&mut page);
    let page = &page;
    let metrics = PageMetrics::of(page);
    let mut writer = TextWriter::default();
    for (index, line) in page.lines.iter().enumerate() {
        let next = page.lines.get(index + 1);
        let line_join = next.map(|next| metrics.line_join(line, next, page));
        let start = writer.text.len();
        let hyphen = match (
            line_join,
            line.words.last(),
            next.and_then(|next| next.words.first()),
        ) {
            (Some(LineJoin::Continue), Some(last), Some(first))
                if next.is_some_and(|next| next.column == line.column) =>
            {
                compounds.hyphen(page.word(last), page.word(first))
            }
            _ => None,
        };
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 {
                writer.text.push_str(match word.gap {
                    WordGap::None => "",
                    WordGap::Space => " ",
                    WordGap::Cell => CELL_SEPARATOR,
                });
            }
            let text = page.word(word);
            let text = match hyphen {
                Some(Hyphen::Remove) if at + 1 == line.words.len() => {
                    text.strip_suffix('-').unwrap_or(text)
                }
                _ => text,
            };
            writer.word(text, word);
        }
        writer.table_line(line, start);
        let spaceless = writer.text.chars().next_back().is_some_and(is_spaceless)
            && next.is_some_and(|next| first_character(next, page).is_some_and(is_spaceless));
        writer.text.push_str(match (line_join, hyphen) {
            (None, _) | (_, Some(_)) => "",
            (Some(LineJoin::Continue), None) if spaceless => "",
            (Some(LineJoin::Continue), None) => " ",
            (Some(LineJoin::Break), None) => "\n",
            (Some(LineJoin::Paragraph), None) => "\n\n",
        });
    }
    Page {
        number,
        width: page.width,
        height: page.height,
        text: writer.text,
        words: writer.words,
        tables: writer.tables,
        label: page.label.clone(),
        ..Page::default()
    }
}

/// Removes the dots between an entry and its page number.
fn remove_dot_leaders(page: &mut PageLines) {
    let PageLines { text, lines, .. } = page;
    let dots = |word: &LineWord| {
        let word = text
            .get(word.text.start as usize..word.text.end as usize)
            .unwrap_or_default();
        let leading = word
            .chars()
            .all(|mark| matches!(mark, '.' | '·' | '…' | '_'));
        if leading { word.chars().count() } else { 0 }
    };
    for line in lines.iter_mut() {
        let mut kept = vec![true; line.words.len()];
        let mut start = 0;
        let mut has_leader = false;
        for run in line.words.chunk_by(|a, b| (dots(a) > 0) == (dots(b) > 0)) {
            if run.iter().map(dots).sum::<usize>() >= MIN_LEADER_DOTS {
                line.is_row = true;
                has_leader = true;
                if let Some(kept) = kept.get_mut(start..start + run.len()) {
                    kept.fill(false);
                }
            }
            start += run.len();
        }
        if has_leader {
            let mut kept = kept.into_iter();
            let mut dropped = false;
            line.words.retain_mut(|word| {
                let keep = kept.next().unwrap_or(true);
                if keep && dropped {
                    word.gap = WordGap::Cell; // it was attached to a dot
                }
                dropped = !keep;
                keep
            });
        }
    }
    lines.retain(|line| !line.words.is_empty());
}

#[derive(Default)]
struct TextWriter {
    text: String,
    words: Vec<Word>,
    tables: Vec<Table>,
    /// Index of the last table on the page.
    table: Option<usize>,
}

impl TextWriter {
    /// Records that the line that starts at `start` is a row of a table.
    fn table_line(&mut self, line: &TextLine, start: usize) {
        let Some(table) = line.table else {
            self.table = None;
            return;
        };
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.text.len())) else {
            return;
        };
        if self.table.replace(table) != Some(table) {
            self.tables.push(Table {
                start,
                end,
                header: String::new(),
            });
        }
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        table.end = end;
        let row = self.text.get(start as usize..).unwrap_or_default();
        if line.is_header && table.header.len() + row.len() <= MAX_HEADER_BYTES {
            if !table.header.is_empty() {
                table.header.push('\n');
            }
            table.header.push_str(row);
        }
    }

    fn word(&mut self, text: &str, word: &LineWord) {
        let start = self.text.len();
        self.text.push_str(&composed(text));
        // The limit on a document's text is far below 4 GiB, so the offsets fit.
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.text.len())) else {
            return;
        };
        if start < end {
            self.words.push(Word {
                start,
                end,
                x: word.bounds.x,
                y: word.bounds.y,
                width: word.bounds.width,
                height: word.bounds.height,
            });
        }
    }
}

/// The two parts of a Thai and a Lao vowel, which fonts draw separately and NFC does not compose.
const VOWELS: [(char, char, char); 2] = [
    ('\u{e4d}', '\u{e32}', '\u{e33}'),
    ('\u{ecd}', '\u{eb2}', '\u{eb3}'),
];

/// Composes letters and accents to one character where possible.
fn composed(text: &str) -> Cow<'_, str> {
    for (mark, letter, vowel) in VOWELS {
        if text.contains(mark) {
            // A tone mark may be between the parts.
            let mut composed = String::with_capacity(text.len());
            for character in text.chars() {
                if character == letter
                    && let Some(at) = composed.rfind(mark)
                    && composed
                        .get(at..)
                        .is_some_and(|end| end.chars().count() <= 2)
                {
                    composed.remove(at);
                    composed.push(vowel);
                } else {
                    composed.push(character);
                }
            }
            return Cow::Owned(composed);
        }
    }
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

struct PageMetrics {
    /// Distance between baselines, in ems.
    leading_em: f32,
    /// Right margin by direction and column.
    margins: HashMap<(u16, usize), f32>,
}

impl PageMetrics {
    fn of(page: &PageLines) -> Self {
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

    fn line_join(&self, line: &TextLine, next: &TextLine, page: &PageLines) -> LineJoin {
        if line.angle != next.angle || line.em.max(next.em) > MAX_SIZE_RATIO * line.em.min(next.em)
        {
            return LineJoin::Paragraph;
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
        let leading = next.baseline - line.baseline;
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

fn first_character(line: &TextLine, page: &PageLines) -> Option<char> {
    line.words
        .first()
        .and_then(|word| page.word(word).chars().next())
}

/// Characters of scripts without spaces between words, and their punctuation: Chinese, Japanese,
/// Thai, Lao, Burmese and Khmer.
fn is_spaceless(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{323af}')
}

/// Whether the line starts in the middle of a sentence.
fn continues_sentence(line: &TextLine, page: &PageLines) -> bool {
    first_character(line, page).is_some_and(|first| first.is_lowercase() || first.is_numeric())
}

/// Whether the line starts with a bullet or a number such as `3.` or `(b)`.
fn starts_list_item(line: &TextLine, page: &PageLines) -> bool {
    let Some(first) = line.words.first().map(|word| page.word(word)) else {
        return false;
    };
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
