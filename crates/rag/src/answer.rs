//! Parses an answer while it is streamed and keeps only citations of passages that were given.
//!
//! A citation marker such as `[3]` may be split between two pieces of the stream, so text that may
//! become a marker is held back until this is decided. A marker with several numbers is written as
//! one marker per number. Numbers of passages that were not given are removed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Start of an answer if the passages do not contain it.
pub const NOT_FOUND_MARKER: &str = "NOT_FOUND";
/// Maximum length of a marker. Longer text is not a marker.
const MAX_MARKER_CHARS: usize = 40;
/// Maximum length of a range such as `[2-4]`. A longer range is text.
const MAX_RANGE_LENGTH: u32 = 16;

/// Parses an answer piece by piece.
#[derive(Debug)]
pub struct AnswerParser {
    passages: u32,
    /// Text that may become a marker, with the space before it.
    held: String,
    /// Start of the answer, until it is known whether it is [`NOT_FOUND_MARKER`].
    start: Option<String>,
    not_found: bool,
    /// Set after the marker, because the punctuation and spaces after it are not shown.
    skips_gap: bool,
    cited: BTreeSet<u32>,
    removed: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedAnswer {
    /// Text that was still held back.
    pub text: String,
    pub cited: BTreeSet<u32>,
    /// Number of markers that cite no given passage.
    pub removed: usize,
    /// Whether the model reported that the passages do not contain the answer.
    pub not_found: bool,
}

impl AnswerParser {
    /// Creates a parser for an answer based on passages with the numbers 1 to `passages`.
    pub fn new(passages: u32) -> Self {
        Self {
            passages,
            held: String::new(),
            start: Some(String::new()),
            not_found: false,
            skips_gap: false,
            cited: BTreeSet::new(),
            removed: 0,
        }
    }

    /// Parses the next piece and returns the text that can be shown now. It may be empty.
    pub fn push(&mut self, piece: &str) -> String {
        let mut shown = String::with_capacity(piece.len());
        let Some(mut start) = self.start.take() else {
            self.read(piece, &mut shown);
            return shown;
        };
        start.push_str(piece);
        let text = start.trim_start();
        if let Some(after) = text.strip_prefix(NOT_FOUND_MARKER) {
            self.not_found = true;
            self.skips_gap = true;
            self.read(after, &mut shown);
        } else if NOT_FOUND_MARKER.starts_with(text) {
            self.start = Some(start);
        } else {
            self.read(text, &mut shown);
        }
        shown
    }

    /// Ends the parsing, whether or not the stream was complete.
    pub fn finish(mut self) -> ParsedAnswer {
        let mut text = self.start.take().unwrap_or_default().trim().to_owned();
        text.push_str(&self.held);
        ParsedAnswer {
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
        let continues = if is_open {
            is_within(character) && self.held.len() < MAX_MARKER_CHARS
        } else {
            is_opening(character)
        };
        if !continues {
            shown.push_str(&self.held);
            self.held.clear();
        }
        if continues || character == ' ' || is_opening(character) {
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

/// Returns the numbers of a marker such as `1`, `1, 2` or `2-4`. `None` if it is not a marker.
fn numbers(inner: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in inner.split([',', ';']) {
        if let Some((from, to)) = part.split_once(['-', '\u{2013}']) {
            let (from, to) = (number(from)?, number(to)?);
            if from > to || to - from >= MAX_RANGE_LENGTH {
                return None;
            }
            numbers.extend(from..=to);
        } else {
            numbers.push(number(part)?);
        }
    }
    Some(numbers)
}

/// Parses a number. A number that overflows is the number of no passage.
fn number(text: &str) -> Option<u32> {
    let digits = text.trim();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().unwrap_or(u32::MAX))
}

/// A part of a parsed answer: text or a citation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerPart<'answer> {
    Text(&'answer str),
    Citation(u32),
}

/// Splits a parsed answer into text and citations. Only numbers up to `passages` are citations.
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

/// Returns the numbers, up to `passages`, that an answer cites.
pub fn cited_numbers(answer: &str, passages: u32) -> BTreeSet<u32> {
    parts(answer, passages)
        .into_iter()
        .filter_map(|part| match part {
            AnswerPart::Citation(number) => Some(number),
            AnswerPart::Text(_) => None,
        })
        .collect()
}
