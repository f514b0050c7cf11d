//! Parses an answer while it is streamed and keeps only citations of passages that were given.
//!
//! A citation marker such as `[3]` may be split between two pieces of the stream, so text that may
//! become a marker is held back until this is decided. All forms of markers that models write
//! become one `[3]` per number. Numbers of passages that were not given are removed, together with
//! the spaces, separators and parentheses around them. Code is not changed.

mod code;
mod marker;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use code::Position;
use marker::{Context, Scan};

/// Start of an answer if the passages do not contain it.
pub const NOT_FOUND_MARKER: &str = "NOT_FOUND";
/// Markdown around [`NOT_FOUND_MARKER`].
const EMPHASIS: [char; 4] = ['*', '_', '`', '#'];

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
    position: Position,
    /// Whether the text shown so far ends with a marker or with the place of a removed one.
    follows_marker: bool,
    /// The space before a removed marker, for a valid one that follows it.
    removed_lead: Option<String>,
    /// Numbers in parentheses up to this one may be markers: of all passages, until a marker in
    /// brackets shows that the model does not write `(1)`.
    max_round: u32,
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
            position: Position::default(),
            follows_marker: false,
            removed_lead: None,
            max_round: passages,
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
        let plain = text.trim_start_matches(EMPHASIS);
        if let Some(after) = plain.strip_prefix(NOT_FOUND_MARKER) {
            self.not_found = true;
            self.skips_gap = true;
            self.read(after, &mut shown);
        } else if NOT_FOUND_MARKER.starts_with(plain) {
            self.start = Some(start);
        } else {
            self.read(text, &mut shown);
        }
        shown
    }

    /// Ends the parsing, whether or not the stream was complete.
    pub fn finish(mut self) -> ParsedAnswer {
        let mut text = String::new();
        if let Some(start) = self.start.take() {
            self.read(start.trim(), &mut text);
        }
        self.release(&mut text, true);
        ParsedAnswer {
            text,
            cited: self.cited,
            removed: self.removed,
            not_found: self.not_found,
        }
    }

    fn read(&mut self, mut piece: &str, shown: &mut String) {
        if self.skips_gap {
            piece = piece.trim_start_matches(|character: char| {
                character.is_whitespace()
                    || EMPHASIS.contains(&character)
                    || matches!(character, ':' | '.' | ',' | '-' | '\u{2013}' | '\u{2014}')
            });
            if piece.is_empty() {
                return;
            }
            self.skips_gap = false;
        }
        self.held.push_str(piece);
        self.release(shown, false);
    }

    /// Shows the held text as far as it is decided.
    fn release(&mut self, shown: &mut String, is_end: bool) {
        let text = std::mem::take(&mut self.held);
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if first == '`' {
                let Some(count) = self.position.backticks(rest, is_end) else {
                    break;
                };
                if self.removed_lead.is_some() {
                    // Removing the marker must not join two runs of backticks.
                    shown.push(' ');
                }
                rest = self.show(rest, count, shown);
                continue;
            }
            if self.position.is_in_block() || !self.can_start(first) {
                let count = self.plain(rest);
                rest = self.show(rest, count, shown);
                continue;
            }
            let context = Context {
                follows_marker: self.follows_marker,
                previous: self.position.last(),
                max_round: self.max_round,
                is_end,
            };
            match marker::scan(rest, context) {
                Scan::Incomplete => break,
                Scan::Text => {
                    rest = self.show(rest, first.len_utf8(), shown);
                }
                Scan::Marker {
                    length,
                    lead,
                    numbers,
                    is_square,
                } => {
                    self.marker(lead, &numbers, is_square, shown);
                    rest = &rest[length..];
                }
            }
        }
        self.held = rest.to_owned();
    }

    fn can_start(&self, first: char) -> bool {
        marker::can_start(first) || (self.follows_marker && marker::can_separate(first))
    }

    /// Number of bytes up to the next backtick or start of a marker. At least one character.
    fn plain(&self, rest: &str) -> usize {
        let is_code = self.position.is_in_block();
        rest.char_indices()
            .skip(1)
            .find(|(_, character)| *character == '`' || (!is_code && marker::can_start(*character)))
            .map_or(rest.len(), |(at, _)| at)
    }

    fn show<'text>(&mut self, rest: &'text str, count: usize, shown: &mut String) -> &'text str {
        let (text, rest) = rest.split_at(count);
        shown.push_str(text);
        self.position.advance(text);
        self.follows_marker = false;
        self.removed_lead = None;
        rest
    }

    fn marker(&mut self, lead: &str, numbers: &[u32], is_square: bool, shown: &mut String) {
        let given: Vec<u32> = numbers
            .iter()
            .copied()
            .filter(|number| (1..=self.passages).contains(number))
            .collect();
        self.removed += numbers.len() - given.len();
        if given.is_empty() {
            if !self.follows_marker {
                self.removed_lead = Some(lead.to_owned());
            }
        } else {
            if is_square {
                self.max_round = 0;
            }
            match self.removed_lead.take() {
                Some(removed_lead) => shown.push_str(&removed_lead),
                None => shown.push_str(lead),
            }
            self.position.advance("]");
        }
        self.follows_marker = true;
        for number in given {
            // Writing to a string cannot fail.
            let _ = write!(shown, "[{number}]");
            self.cited.insert(number);
        }
    }
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
            marker::number(&answer[open + 1..close]).filter(|cited| (1..=passages).contains(cited))
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

/// Returns the numbers, up to `passages`, that an answer cites outside of code.
pub fn cited_numbers(answer: &str, passages: u32) -> BTreeSet<u32> {
    let mut parser = AnswerParser::new(passages);
    // In a parsed answer, all markers are square.
    parser.max_round = 0;
    parser.push(answer);
    parser.finish().cited
}

/// Returns the answer without its citations.
pub fn without_citations(answer: &str) -> String {
    let mut parser = AnswerParser::new(0);
    let mut text = parser.push(answer);
    text.push_str(&parser.finish().text);
    text.trim().to_owned()
}
