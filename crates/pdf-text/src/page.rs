//! A page: its clean text and the position of each word.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::report::{PageKind, PageReport};

/// A page as a viewer shows it, with its rotation and crop box applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Page number in the file, starting at 1.
    pub number: u32,
    /// Width in points (1/72 inch).
    pub width: f32,
    /// Height in points.
    pub height: f32,
    /// Clean text. Paragraphs are separated by a blank line; lines that end before the margin are
    /// followed by a line break.
    pub text: String,
    /// The words of `text`, in order.
    pub words: Vec<Word>,
    /// What the page consists of.
    #[serde(default)]
    pub kind: PageKind,
    /// Printed label of the page, such as `iv`, if it is not its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Number of visible glyphs that are not in `text`, because their characters are unknown.
    #[serde(default)]
    pub unknown_glyphs: u32,
    /// The tables in `text`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
}

/// A table: lines of text with cells that are separated by tabs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Start in the page's text, in bytes.
    pub start: u32,
    /// End in the page's text, in bytes.
    pub end: u32,
    /// The lines that name its columns, which may be on a previous page. Empty if there are none.
    pub header: String,
}

impl Page {
    /// Returns the text of a word.
    pub fn word_text(&self, word: &Word) -> &str {
        self.text.get(word.range()).unwrap_or_default()
    }

    /// Returns the words that overlap `range` (in bytes of `text`), for example to highlight a
    /// passage.
    pub fn words_in(&self, range: Range<usize>) -> &[Word] {
        let first = self
            .words
            .partition_point(|word| word.range().end <= range.start);
        let last = self
            .words
            .partition_point(|word| word.range().start < range.end);
        self.words.get(first..last.max(first)).unwrap_or_default()
    }
}

/// A word, or a part of a word that is broken at the end of a line. The parts of a broken word
/// follow each other in the text without a space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "WireWord", into = "WireWord")]
pub struct Word {
    /// Start in the page's text, in bytes.
    pub start: u32,
    /// End in the page's text, in bytes.
    pub end: u32,
    /// Left edge, in points from the left of the page.
    pub x: f32,
    /// Top edge, in points from the top of the page.
    pub y: f32,
    /// Width in points.
    pub width: f32,
    /// Height in points.
    pub height: f32,
}

impl Word {
    /// The byte range in the page's text.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Wire format of a word: an array of six numbers, because a document may have a million words.
#[derive(Serialize, Deserialize)]
struct WireWord(u32, u32, f32, f32, f32, f32);

impl From<Word> for WireWord {
    fn from(word: Word) -> Self {
        let tenth = |points: f32| (points * 10.0).round() / 10.0;
        Self(
            word.start,
            word.end,
            tenth(word.x),
            tenth(word.y),
            tenth(word.width),
            tenth(word.height),
        )
    }
}

impl From<WireWord> for Word {
    fn from(WireWord(start, end, x, y, width, height): WireWord) -> Self {
        Self {
            start,
            end,
            x,
            y,
            width,
            height,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extraction {
    /// The pages that could be read, in order, including pages without text.
    pub pages: Vec<Page>,
    /// What each page of the file is.
    pub report: PageReport,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_returns_the_words_that_overlap_the_range() {
        let word = |start, end| Word {
            start,
            end,
            x: 0.0,
            y: 0.0,
            width: 1.0,
            height: 1.0,
        };
        let page = Page {
            number: 1,
            width: 10.0,
            height: 10.0,
            text: "one two three".into(),
            words: vec![word(0, 3), word(4, 7), word(8, 13)],
            ..Page::default()
        };
        let overlapping = |range| {
            page.words_in(range)
                .iter()
                .map(|word| page.word_text(word))
                .collect::<Vec<_>>()
        };
        assert_eq!(overlapping(0..13), ["one", "two", "three"]);
        assert_eq!(overlapping(4..7), ["two"]);
        assert_eq!(overlapping(3..4), [""; 0]);
        assert_eq!(overlapping(6..9), ["two", "three"]);
    }
}
