//! What is known of a page: its clean text, and where on the page each word of it stands.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One page of a document, as a reader sees it: its rotation and crop box are already applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The page's number in the file, from 1.
    pub number: u32,
    /// Width in points (1/72 inch).
    pub width: f32,
    /// Height in points.
    pub height: f32,
    /// Clean text: paragraphs are parted by a blank line, lines that end before the margin by a line break.
    pub text: String,
    /// The words of `text`, in its order.
    pub words: Vec<Word>,
}

impl Page {
    /// What stands at `word`.
    pub fn word_text(&self, word: &Word) -> &str {
        self.text.get(word.range()).unwrap_or_default()
    }

    /// The words that `range` (bytes of `text`) touches: what has to be marked to mark a passage.
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

/// A word, or a part of one that the line's end has broken: the parts then stand side by side in the text, with no space between.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "WireWord", into = "WireWord")]
pub struct Word {
    /// Where it begins in the page's text, in bytes.
    pub start: u32,
    /// Where it ends in the page's text, in bytes.
    pub end: u32,
    /// Its left edge, in points from the page's left.
    pub x: f32,
    /// Its upper edge, in points from the page's top.
    pub y: f32,
    /// Its width in points.
    pub width: f32,
    /// Its height in points.
    pub height: f32,
}

impl Word {
    /// The bytes of the page's text that it covers.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A word on its way between the processes: six numbers, since a document has a million of them.
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

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extraction {
    /// The pages that could be read, in the file's order; a page without text is among them.
    pub pages: Vec<Page>,
    /// The numbers of the pages that could not be read, in order.
    pub unreadable: Vec<u32>,
    /// How many pages the file has.
    pub page_count: u32,
}

impl Extraction {
    /// What a person should know about a document that passed in part: which pages are missing. `None` if all were read.
    pub fn warning(&self) -> Option<String> {
        let list = ranges(&self.unreadable);
        match self.unreadable.len() {
            0 => None,
            1 => Some(format!("Page {list} is damaged and could not be read.")),
            _ => Some(format!("Pages {list} are damaged and could not be read.")),
        }
    }
}

/// `3, 5–8, 11`, out of ascending numbers; long lists are cut.
fn ranges(numbers: &[u32]) -> String {
    const RANGES_SHOWN_MAX: usize = 8;
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let mut words: Vec<String> = ranges
        .iter()
        .take(RANGES_SHOWN_MAX)
        .map(|&(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}–{last}")
            }
        })
        .collect();
    if ranges.len() > RANGES_SHOWN_MAX {
        words.push("…".into());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_could_not_be_read_are_named() {
        let with = |unreadable: &[u32]| {
            Extraction {
                unreadable: unreadable.to_vec(),
                ..Extraction::default()
            }
            .warning()
        };
        assert_eq!(with(&[]), None);
        assert_eq!(
            with(&[7]).as_deref(),
            Some("Page 7 is damaged and could not be read.")
        );
        assert_eq!(
            with(&[2, 4, 5, 6, 9]).as_deref(),
            Some("Pages 2, 4–6, 9 are damaged and could not be read.")
        );
        let many: Vec<u32> = (0..40).map(|number| number * 2).collect();
        assert!(with(&many).is_some_and(|words| words.contains(", … are")));
    }

    #[test]
    fn a_passage_touches_the_words_it_overlaps() {
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
        };
        let touched = |range| {
            page.words_in(range)
                .iter()
                .map(|word| page.word_text(word))
                .collect::<Vec<_>>()
        };
        assert_eq!(touched(0..13), ["one", "two", "three"]);
        assert_eq!(touched(4..7), ["two"]);
        assert_eq!(touched(3..4), [""; 0]);
        assert_eq!(touched(6..9), ["two", "three"]);
    }
}
