//! Assembles the text of a page from its lines, with the positions of the words.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::hyphens::{Compounds, Hyphen};
use super::line_joins::{LineJoin, PageMetrics, first_character};
use crate::layout::{LineWord, PageLines, TextLine, WordGap};
use crate::page::{Page, Table, Word};

/// Separates the cells of a table.
const CELL_SEPARATOR: &str = "\t";
/// Maximum length of the header of a table, in bytes. A longer one would fill a chunk.
const MAX_HEADER_BYTES: usize = 300;
/// Minimum number of consecutive dots, in one word or several, of a dot leader between a table of
/// contents entry and its page number. Dot leaders are removed.
const MIN_LEADER_DOTS: usize = 4;

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
        let mut is_broken = false; // the word before is broken at the end of a line of its cell
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 {
                let first = page.word(word).chars().next();
                writer.text.push_str(match word.gap {
                    WordGap::CellLine if is_broken || writer.is_spaceless_before(first) => "",
                    WordGap::None => "",
                    WordGap::Space | WordGap::CellLine => " ",
                    WordGap::Cell => CELL_SEPARATOR,
                });
            }
            for _ in 0..word.empty_cells {
                writer.text.push_str(CELL_SEPARATOR);
            }
            let text = page.word(word);
            let hyphen = match line.words.get(at + 1) {
                Some(next) if next.gap == WordGap::CellLine => {
                    compounds.hyphen(text, page.word(next))
                }
                Some(_) => None,
                None => hyphen,
            };
            is_broken = hyphen.is_some();
            writer.word(
                match hyphen {
                    Some(Hyphen::Remove) => text.strip_suffix('-').unwrap_or(text),
                    _ => text,
                },
                word,
            );
        }
        writer.table_line(line, start);
        let spaceless =
            writer.is_spaceless_before(next.and_then(|next| first_character(next, page)));
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
        if line.words.iter().all(|word| dots(word) == 0) {
            continue;
        }
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
    /// Whether the text ends in a script without spaces between words and continues in one.
    fn is_spaceless_before(&self, next: Option<char>) -> bool {
        self.text.chars().next_back().is_some_and(is_spaceless) && next.is_some_and(is_spaceless)
    }

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
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
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
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// Characters of scripts without spaces between words, and their punctuation: Chinese, Japanese,
/// Thai, Lao, Burmese and Khmer.
fn is_spaceless(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{323af}')
}
