//! An answer as it streams in -> what may be shown of it: citations only of passages that were given.
//!
//! A marker such as `[3]` may be cut anywhere between two pieces of the stream, so what may become one is held back until it is one or
//! cannot be. Markers of several numbers are written as one marker each; numbers that were not given are taken out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What an answer begins with if the passages do not hold it.
pub const NOT_FOUND_MARK: &str = "NOT_FOUND";
/// A marker longer than this is text.
const MARKER_CHARS_MAX: usize = 40;
/// A range such as `[2-4]` with more numbers than this is text.
const RANGE_MAX: u32 = 16;

/// Reads an answer piece by piece.
#[derive(Debug)]
pub struct AnswerReader {
    passages: u32,
    /// What may yet become a marker, with the space before it.
    held: String,
    /// The beginning, until it is known whether it is [`NOT_FOUND_MARK`].
    beginning: Option<String>,
    not_found: bool,
    /// Set after the mark: its punctuation and space are not shown.
    skips_gap: bool,
    cited: BTreeSet<u32>,
    removed: usize,
}

/// What was read of an answer when its stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What was still held back.
    pub text: String,
    /// The numbers it cites, each of a passage that was given.
    pub cited: BTreeSet<u32>,
    /// How many markers named no passage.
    pub removed: usize,
    /// Whether the model said that the passages do not hold the answer.
    pub not_found: bool,
}

impl AnswerReader {
    /// For an answer over passages numbered from 1 to `passages`.
    pub fn new(passages: u32) -> Self {
        Self {
            passages,
            held: String::new(),
            beginning: Some(String::new()),
            not_found: false,
            skips_gap: false,
            cited: BTreeSet::new(),
            removed: 0,
        }
    }

    /// Takes the next piece and returns what can be shown by now, which may be nothing.
    pub fn push(&mut self, piece: &str) -> String {
        let mut shown = String::with_capacity(piece.len());
        let Some(mut beginning) = self.beginning.take() else {
            self.read(piece, &mut shown);
            return shown;
        };
        beginning.push_str(piece);
        let text = beginning.trim_start();
        if let Some(after) = text.strip_prefix(NOT_FOUND_MARK) {
            self.not_found = true;
            self.skips_gap = true;
            self.read(after, &mut shown);
        } else if NOT_FOUND_MARK.starts_with(text) {
            self.beginning = Some(beginning);
        } else {
            self.read(text, &mut shown);
        }
        shown
    }

    /// The stream has ended, whether it was whole or not.
    pub fn finish(mut self) -> Read {
        let mut text = self.beginning.take().unwrap_or_default().trim().to_owned();
        text.push_str(&self.held);
        Read {
            text,
            cited: self.cited,
            removed: self.removed,
            not_found: self.not_found,
        }
    }

    fn read(&mut self, piece: &str, shown: &mut String) {
        for character in piece.chars() {
            if self.skips_gap {
                if character.is_whitespace()
                    || matches!(character, ':' | '.' | ',' | '-' | '\u{2013}' | '\u{2014}')
                {
                    continue;
                }
                self.skips_gap = false;
            }
            self.take(character, shown);
        }
    }

    fn take(&mut self, character: char, shown: &mut String) {
        let is_open = self.held.contains(is_opening);
        if is_open && is_closing(character) {
            let held = std::mem::take(&mut self.held);
            self.marker(&held, character, shown);
            return;
        }
        let goes_on = if is_open {
            is_within(character) && self.held.len() < MARKER_CHARS_MAX
        } else {
            is_opening(character)
        };
        if !goes_on {
            shown.push_str(&self.held);
            self.held.clear();
        }
        if goes_on || character == ' ' || is_opening(character) {
            self.held.push(character);
        } else {
            shown.push(character);
        }
    }

    fn marker(&mut self, held: &str, closing: char, shown: &mut String) {
        let (before, inner) = held.split_at(held.find(is_opening).unwrap_or(0));
        let Some(numbers) = numbers(inner.trim_start_matches(is_opening)) else {
            shown.push_str(held);
            shown.push(closing);
            return;
        };
        let given: Vec<u32> = numbers
            .into_iter()
            .filter(|number| {
                let is_given = (1..=self.passages).contains(number);
                self.removed += usize::from(!is_given);
                is_given
            })
            .collect();
        if !given.is_empty() {
            shown.push_str(before);
        }
        for number in given {
            // Writing to a string cannot fail.
            let _ = write!(shown, "[{number}]");
            self.cited.insert(number);
        }
    }
}

fn is_opening(character: char) -> bool {
    matches!(character, '[' | '【')
}

fn is_closing(character: char) -> bool {
    matches!(character, ']' | '】')
}

fn is_within(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, ' ' | ',' | ';' | '-' | '\u{2013}')
}

/// The numbers of a marker such as `1`, `1, 2` or `2-4`; `None` if it is no marker.
fn numbers(inner: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in inner.split([',', ';']) {
        if let Some((from, to)) = part.split_once(['-', '\u{2013}']) {
            let (from, to) = (number(from)?, number(to)?);
            if from > to || to - from >= RANGE_MAX {
                return None;
            }
            numbers.extend(from..=to);
        } else {
            numbers.push(number(part)?);
        }
    }
    Some(numbers)
}

/// A number too large to be one of ours is some number that is not.
fn number(text: &str) -> Option<u32> {
    let digits = text.trim();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().unwrap_or(u32::MAX))
}

/// A stretch of an answer that was read: text, or a citation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerPart<'answer> {
    /// Text to show.
    Text(&'answer str),
    /// The number of a passage, to show as a link.
    Citation(u32),
}

/// Cuts an answer that was read into text and citations. Only numbers up to `passages` are citations.
pub fn parts(answer: &str, passages: u32) -> Vec<AnswerPart<'_>> {
    let mut parts = Vec::new();
    let mut text_from = 0;
    for (open, _) in answer.match_indices('[') {
        let Some(close) = answer[open..].find(']').map(|at| open + at) else {
            break;
        };
        let Some(cited) =
            number(&answer[open + 1..close]).filter(|cited| (1..=passages).contains(cited))
        else {
            continue;
        };
        if text_from < open {
            parts.push(AnswerPart::Text(&answer[text_from..open]));
        }
        parts.push(AnswerPart::Citation(cited));
        text_from = close + 1;
    }
    if text_from < answer.len() {
        parts.push(AnswerPart::Text(&answer[text_from..]));
    }
    parts
}

/// The numbers that an answer cites, of those up to `passages`.
pub fn cited_numbers(answer: &str, passages: u32) -> BTreeSet<u32> {
    parts(answer, passages)
        .into_iter()
        .filter_map(|part| match part {
            AnswerPart::Citation(number) => Some(number),
            AnswerPart::Text(_) => None,
        })
        .collect()
}
