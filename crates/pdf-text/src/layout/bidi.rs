//! Reading order of lines with right-to-left text.
//!
//! The words of a line are known in visual order, from left to right. The Unicode bidirectional
//! algorithm converts the logical order to the visual order, and it is its own inverse for lines
//! whose base direction is known. A word of right-to-left letters already has its letters in
//! logical order and takes part as a single letter.

use std::ops::{Range, RangeInclusive};

use unicode_bidi::{BidiClass, BidiInfo, Level, bidi_class};

use super::fragment::{Script, TextFragment};
use super::page_lines::WordGap;

/// First bytes in UTF-8 of the characters of right-to-left scripts.
const RIGHT_TO_LEFT_BYTES: RangeInclusive<u8> = 0xd6..=0xe0;

/// What a character of the visual string stands for.
enum Source {
    /// A fragment and a byte range of its text.
    Text(usize, Range<usize>),
    Gap(WordGap),
}

/// Part of a fragment in logical order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) fragment: usize,
    /// Byte range in the fragment's text.
    pub(super) text: Range<usize>,
    /// A mirrored bracket to read instead of the text.
    pub(super) mirrored: Option<char>,
    /// What separates it from the previous part.
    pub(super) gap: WordGap,
}

/// Whether most letters of a page are read from right to left.
pub(super) fn is_right_to_left(text: &str) -> bool {
    if !text.bytes().any(|byte| RIGHT_TO_LEFT_BYTES.contains(&byte)) {
        return false;
    }
    let (mut right_to_left, mut others) = (0_usize, 0_usize);
    for character in text.chars().filter(|character| character.is_alphabetic()) {
        if Script::of_character(character) == Script::RightToLeft {
            right_to_left += 1;
        } else {
            others += 1;
        }
    }
    right_to_left > others
}

/// Returns the parts of the fragments of a line, given in visual order, in logical order.
/// `gaps` says what is after each fragment.
pub(super) fn logical_order(
    fragments: &[TextFragment],
    text: &str,
    gaps: &[WordGap],
    page_is_right_to_left: bool,
) -> Vec<Piece> {
    // Visual string, with the fragment and the range of each of its characters.
    let mut visual = String::new();
    let mut sources: Vec<Source> = Vec::new();
    let (mut right_to_left, mut left_to_right) = (0_usize, 0_usize);
    for (index, fragment) in fragments.iter().enumerate() {
        let content = text
            .get(fragment.text.start as usize..fragment.text.end as usize)
            .unwrap_or_default();
        if fragment.script == Script::RightToLeft {
            right_to_left += content.chars().count();
            visual.push(content.chars().next().unwrap_or('א'));
            sources.push(Source::Text(index, 0..content.len()));
        } else {
            for (at, character) in content.char_indices() {
                left_to_right += usize::from(character.is_alphabetic());
                visual.push(character);
                sources.push(Source::Text(index, at..at + character.len_utf8()));
            }
        }
        if let Some(gap) = gaps.get(index).filter(|gap| **gap != WordGap::None) {
            visual.push(' ');
            sources.push(Source::Gap(*gap));
        }
    }
    let base = if page_is_right_to_left || right_to_left > left_to_right {
        Level::rtl()
    } else {
        Level::ltr()
    };
    let classified = with_arabic_numbers(&visual);
    let info = BidiInfo::new(&classified, Some(base));
    let byte_starts: Vec<usize> = classified.char_indices().map(|(at, _)| at).collect();
    let levels: Vec<Level> = byte_starts
        .iter()
        .filter_map(|&at| info.levels.get(at).copied())
        .collect();
    // The shapes of brackets are known. The first one on the left opens: brackets in right-to-left
    // text are coded by shape, and their characters are the opposite ones.
    let coded_by_shape = visual
        .chars()
        .find(|&character| mirrored(character).is_some())
        .is_some_and(|first| matches!(first, '(' | '[' | '{' | '<' | '«'));
    let characters: Vec<char> = visual.chars().collect();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut gap = WordGap::None;
    for index in BidiInfo::reorder_visual(&levels) {
        let (fragment, range) = match sources.get(index) {
            Some(Source::Text(fragment, range)) => (fragment, range),
            Some(Source::Gap(found)) => {
                gap = *found;
                continue;
            }
            None => continue,
        };
        let mirrored = levels
            .get(index)
            .filter(|level| level.is_rtl() && coded_by_shape)
            .and_then(|_| mirrored(*characters.get(index)?));
        let continues = gap == WordGap::None
            && pieces.last().is_some_and(|last| {
                last.fragment == *fragment
                    && last.text.end == range.start
                    && last.mirrored.is_none()
                    && mirrored.is_none()
            });
        if let (true, Some(last)) = (continues, pieces.last_mut()) {
            last.text.end = range.end;
        } else {
            pieces.push(Piece {
                fragment: *fragment,
                text: range.clone(),
                mirrored,
                gap: std::mem::replace(&mut gap, WordGap::None),
            });
        }
    }
    pieces
}

/// Replaces the digits that belong to Arabic text by Arabic ones. The algorithm tells them by the
/// letter before them in logical order, which in visual order is the one on their right, unless they
/// follow letters that are read from left to right.
fn with_arabic_numbers(visual: &str) -> String {
    let strong = |character: char| match bidi_class(character) {
        class @ (BidiClass::L | BidiClass::R | BidiClass::AL) => Some(class),
        _ => None,
    };
    let mut is_arabic = Vec::with_capacity(visual.len());
    let mut on_the_right = None;
    for character in visual.chars().rev() {
        on_the_right = strong(character).or(on_the_right);
        is_arabic.push(character.is_ascii_digit() && on_the_right == Some(BidiClass::AL));
    }
    let mut on_the_left = None;
    visual
        .chars()
        .zip(is_arabic.into_iter().rev())
        .map(|(character, is_arabic)| {
            on_the_left = strong(character).or(on_the_left);
            if is_arabic && on_the_left != Some(BidiClass::L) {
                '٠'
            } else {
                character
            }
        })
        .collect()
}

/// Returns the bracket of the opposite direction.
fn mirrored(character: char) -> Option<char> {
    Some(match character {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        _ => return None,
    })
}
