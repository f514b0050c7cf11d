//! One page's text out of its lines, with the words' places in it.
//!
//! A line that is full, so that the next line's first word did not fit on it any more, goes on in the next line. One that
//! ends earlier was ended by its writer and keeps its break. More room than usual between two lines, or another size of
//! type, begins a paragraph.

use std::borrow::Cow;
use std::collections::HashMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::hyphens::{Compounds, Hyphen};
use crate::layout::{LaidOut, Line, LineWord};
use crate::page::{Page, Word};

/// Room between baselines that is usual for prose, in ems, where a page does not show its own.
const LEADING_EM: f32 = 1.2;
/// This share of a page's lines stand closer than usual, or as usual: inside paragraphs, not between them.
const USUAL_SHARE: f32 = 0.4;
/// Of the usual room between baselines, this much parts paragraphs.
const PARAGRAPH_LEADING: f32 = 1.3;
/// Lines whose type differs by more than this are of different paragraphs: a heading and its text.
const SIZE_RATIO_MAX: f32 = 1.18;
/// A space, in ems, when asking whether another word would have fitted.
const SPACE_EM: f32 = 0.25;
/// Lines of prose end within this of each other, in ems, even when they are not justified.
const MARGIN_EM: f32 = 0.3;
/// This share of a column's lines stays within its right margin; the others stick out.
const MARGIN_SHARE: f32 = 0.9;
/// Marks that begin an item of a list.
const BULLETS: [char; 9] = ['•', '▪', '◦', '‣', '·', '*', '–', '—', '●'];

/// As many dots in a row, in one word or in several, lead from an entry of a table of contents to its page: nobody reads them.
const LEADER_DOTS_MIN: usize = 4;

/// How two lines are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// One sentence goes on: a space, or nothing after a hyphen.
    Flow,
    /// The writer ended the line.
    Break,
    /// A new paragraph.
    Paragraph,
}

/// The page's text and words.
pub(super) fn assemble(number: u32, mut page: LaidOut, compounds: &Compounds) -> Page {
    drop_leaders(&mut page);
    let page = &page;
    let measures = Measures::of(page);
    let mut writer = Writer::default();
    for (index, line) in page.lines.iter().enumerate() {
        let next = page.lines.get(index + 1);
        let joint = next.map(|next| measures.joint(line, next, page));
        let hyphen = match (
            joint,
            line.words.last(),
            next.and_then(|next| next.words.first()),
        ) {
            (Some(Joint::Flow), Some(last), Some(first)) => {
                compounds.hyphen(page.word(last), page.word(first))
            }
            _ => None,
        };
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 && !word.glued {
                writer.text.push(' ');
            }
            let text = page.word(word);
            let text = match hyphen {
                Some(Hyphen::Goes) if at + 1 == line.words.len() => {
                    text.strip_suffix('-').unwrap_or(text)
                }
                _ => text,
            };
            writer.word(text, word);
        }
        let spaceless = writer.text.chars().next_back().is_some_and(is_spaceless)
            && next.is_some_and(|next| first_character(next, page).is_some_and(is_spaceless));
        writer.text.push_str(match (joint, hyphen) {
            (None, _) | (_, Some(_)) => "",
            (Some(Joint::Flow), None) if spaceless => "",
            (Some(Joint::Flow), None) => " ",
            (Some(Joint::Break), None) => "\n",
            (Some(Joint::Paragraph), None) => "\n\n",
        });
    }
    Page {
        number,
        width: page.width,
        height: page.height,
        text: writer.text,
        words: writer.words,
    }
}

/// Takes out the dots between an entry and its page number.
fn drop_leaders(page: &mut LaidOut) {
    let LaidOut { text, lines, .. } = page;
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
        let mut led = false;
        for run in line.words.chunk_by(|a, b| (dots(a) > 0) == (dots(b) > 0)) {
            if run.iter().map(dots).sum::<usize>() >= LEADER_DOTS_MIN {
                line.is_row = true;
                led = true;
                if let Some(kept) = kept.get_mut(start..start + run.len()) {
                    kept.fill(false);
                }
            }
            start += run.len();
        }
        if led {
            let mut kept = kept.into_iter();
            let mut dropped = false;
            line.words.retain_mut(|word| {
                let keep = kept.next().unwrap_or(true);
                if keep && dropped {
                    word.glued = false; // it was glued to a dot
                }
                dropped = !keep;
                keep
            });
        }
    }
    lines.retain(|line| !line.words.is_empty());
}

#[derive(Default)]
struct Writer {
    text: String,
    words: Vec<Word>,
}

impl Writer {
    fn word(&mut self, text: &str, word: &LineWord) {
        let start = self.text.len();
        self.text.push_str(&composed(text));
        // The text of a page is within the limit on a document's text, which is far below 4 GiB.
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.text.len())) else {
            return;
        };
        if start < end {
            self.words.push(Word {
                start,
                end,
                x: word.place.x,
                y: word.place.y,
                width: word.place.width,
                height: word.place.height,
            });
        }
    }
}

/// Letters and their accents as one character, where there is one.
fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// What is usual on a page.
struct Measures {
    /// Between baselines, in ems.
    leading_em: f32,
    /// Where the lines of a column end, by direction and column.
    margins: HashMap<(u16, usize), f32>,
}

impl Measures {
    fn of(page: &LaidOut) -> Self {
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
            leading_em: share(&mut leadings, USUAL_SHARE).unwrap_or(LEADING_EM),
            margins: ends
                .into_iter()
                .filter_map(|(column, mut ends)| Some((column, share(&mut ends, MARGIN_SHARE)?)))
                .collect(),
        }
    }

    fn joint(&self, line: &Line, next: &Line, page: &LaidOut) -> Joint {
        if line.angle != next.angle || line.em.max(next.em) > SIZE_RATIO_MAX * line.em.min(next.em)
        {
            return Joint::Paragraph;
        }
        let full = self.is_full(line, next);
        if line.column != next.column || next.baseline <= line.baseline {
            // The text goes on at the top of the next column if the sentence does.
            return if full && goes_on(next, page) {
                Joint::Flow
            } else {
                Joint::Paragraph
            };
        }
        let leading = next.baseline - line.baseline;
        if leading > PARAGRAPH_LEADING * self.leading_em * line.em.max(next.em) {
            Joint::Paragraph
        } else if full && !line.is_row && !next.is_row && !begins_item(next, page) {
            Joint::Flow
        } else {
            Joint::Break
        }
    }

    /// Whether the next line's first word would not have fitted on this line.
    fn is_full(&self, line: &Line, next: &Line) -> bool {
        let Some(margin) = self.margins.get(&(line.angle, line.column)) else {
            return false;
        };
        let word: f32 = first_word(next).map(|word| word.length).sum();
        line.to + SPACE_EM * line.em + word > margin - MARGIN_EM * line.em
    }
}

/// The first word of a line with all that is glued to it.
fn first_word(line: &Line) -> impl Iterator<Item = &LineWord> {
    line.words
        .iter()
        .enumerate()
        .take_while(|(at, word)| *at == 0 || word.glued)
        .map(|(_, word)| word)
}

fn first_character(line: &Line, page: &LaidOut) -> Option<char> {
    line.words
        .first()
        .and_then(|word| page.word(word).chars().next())
}

/// Characters of Chinese and Japanese, which have no spaces between words, and their punctuation.
fn is_spaceless(character: char) -> bool {
    matches!(character, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{323af}')
}

/// Whether the line begins in the middle of a sentence.
fn goes_on(line: &Line, page: &LaidOut) -> bool {
    first_character(line, page).is_some_and(|first| first.is_lowercase() || first.is_numeric())
}

/// Whether the line begins with a bullet or a number such as `3.` or `(b)`.
fn begins_item(line: &Line, page: &LaidOut) -> bool {
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

/// The measure that this share of all stays below.
fn share(measures: &mut [f32], share: f32) -> Option<f32> {
    measures.sort_by(f32::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a slice, from a share of its length"
    )]
    let at = (measures.len() as f32 * share) as usize;
    measures
        .get(at.min(measures.len().saturating_sub(1)))
        .copied()
}
