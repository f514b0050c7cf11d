//! Glyphs and the fragments of words that they form.

use std::ops::Range;

/// A glyph as a reader finds it. All measures are in points from the top left corner of the
/// displayed page.
pub(crate) struct Glyph<'a> {
    pub(crate) text: &'a str,
    /// Origin on the baseline.
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Distance to the origin of the next glyph.
    pub(crate) advance_x: f64,
    pub(crate) advance_y: f64,
    pub(crate) em: f64,
}

/// Adjacent glyphs, in the coordinate system of their direction.
#[derive(Debug, Clone)]
pub(crate) struct TextFragment {
    pub(crate) text: Range<u32>,
    /// Direction in degrees clockwise, 0 to 359.
    pub(crate) angle: u16,
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) baseline: f32,
    pub(crate) em: f32,
    /// Whether a space was drawn before it.
    pub(crate) space_before: bool,
    /// Reading direction of its letters.
    pub(crate) script: Script,
}

/// Reading direction. The text of a fragment is in reading order, whatever the order in which its
/// glyphs were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Digits and punctuation take the direction of their neighbors.
    Neutral,
    LeftToRight,
    /// Arabic, Hebrew and related scripts.
    RightToLeft,
}

impl Script {
    pub(super) fn of(text: &str) -> Self {
        text.chars()
            .map(Self::of_character)
            .find(|script| *script != Self::Neutral)
            .unwrap_or(Self::Neutral)
    }

    pub(super) fn of_character(character: char) -> Self {
        match character {
            '\u{590}'..='\u{8ff}' if character.is_alphabetic() || is_mark(character) => {
                Self::RightToLeft
            }
            _ if character.is_alphabetic() => Self::LeftToRight,
            _ => Self::Neutral,
        }
    }
}

/// Whether the character is a vowel point or another mark of Hebrew or Arabic.
pub(super) fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}')
}
