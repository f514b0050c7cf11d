//! Joins glyphs to words as they arrive: a glyph directly after the previous one belongs to its
//! word.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::fragment::{Glyph, Script, TextFragment};
use super::geometry::GlyphPosition;
use super::rulings::Rulings;
use crate::characters::characters;

/// Maximum gap within a word, in ems. Kerning is about 0.05 em; the narrowest spaces of justified
/// text are 0.2 em.
const WORD_GAP_EM: f32 = 0.13;
/// Maximum overlap of a glyph with the previous one, in ems.
const OVERLAP_EM: f32 = 0.6;
/// Maximum distance of the baselines of glyphs of one word, in ems.
const BASELINE_EM: f32 = 0.1;
/// Maximum distance of a glyph that is drawn twice to appear bold, in ems.
const DUPLICATE_EM: f32 = 0.1;
/// Size of a page that does not define one: A4.
const DEFAULT_SIZE: (f32, f32) = (595.0, 842.0);
/// Maximum page size, in points (70 meters).
const MAX_PAGE_SIZE: f32 = 200_000.0;

/// A page whose glyphs are being added.
pub(crate) struct PageBuilder {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Concatenated text of all words.
    pub(crate) text: String,
    pub(crate) words: Vec<TextFragment>,
    /// Start of each glyph of left-to-right text: its offset in the text and its position.
    pub(super) glyph_starts: Vec<(u32, f32)>,
    pub(crate) rulings: Rulings,
    pub(crate) summary: PageSummary,
    /// Printed label of the page, if it is not its number.
    pub(crate) label: Option<String>,
    /// Whether a space was drawn after the last glyph.
    space: bool,
    /// Start and text of the last glyph.
    last: Option<(f32, Range<usize>)>,
}

/// What a page shows besides the text that was read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PageSummary {
    /// Number of visible glyphs whose characters are unknown.
    pub(crate) unknown_glyphs: u32,
    /// Share of the page's area that images cover, counted once for each image.
    pub(crate) image_share: f32,
    /// Number of drawn paths.
    pub(crate) paths: u32,
}

/// Whether a mark is close to the end of a word.
fn is_above_or_below(word: &TextFragment, mark: &GlyphPosition) -> bool {
    word.angle == mark.angle
        && (word.baseline - mark.baseline).abs() <= word.em
        && (-word.em..=WORD_GAP_EM * word.em).contains(&(mark.from - word.to))
}

/// Whether the character ticks a box or a radio button.
fn is_tick(character: char) -> bool {
    matches!(
        character,
        '✓' | '✔' | '✕' | '✖' | '✗' | '✘' | '●' | '■' | '◆' | '★' | '•' | 'x' | 'X'
    )
}

impl PageBuilder {
    pub(crate) fn new(width: f32, height: f32) -> Self {
        let is_valid = |size: f32| size.is_finite() && (1.0..=MAX_PAGE_SIZE).contains(&size);
        let (width, height) = if is_valid(width) && is_valid(height) {
            (width, height)
        } else {
            DEFAULT_SIZE
        };
        Self {
            width,
            height,
            text: String::new(),
            words: Vec::new(),
            glyph_starts: Vec::new(),
            rulings: Rulings::default(),
            summary: PageSummary::default(),
            label: None,
            space: false,
            last: None,
        }
    }

    /// Adds the next glyph in the order of the file.
    pub(crate) fn push(&mut self, glyph: &Glyph<'_>) {
        let Some(position) = GlyphPosition::of(glyph) else {
            return;
        };
        let start = self.text.len();
        if let [byte @ b'!'..=b'~'] = glyph.text.as_bytes() {
            self.text.push(char::from(*byte)); // most glyphs, which need no normalization
        } else {
            for character in characters(glyph.text) {
                if character.is_whitespace() {
                    self.space = true;
                } else {
                    self.text.push(character);
                }
            }
        }
        if self.text.len() == start {
            return; // a space or an invisible character
        }
        let Ok(end) = u32::try_from(self.text.len()) else {
            self.text.truncate(start); // 4 GiB; the limit on text stops earlier
            return;
        };
        let new = start..self.text.len();
        let script = self
            .text
            .get(new.clone())
            .map_or(Script::Neutral, Script::of);
        let (space, last) = (std::mem::take(&mut self.space), self.last.take());
        if let Some(word) = self.words.last_mut()
            && !space
            && word.script != Script::RightToLeft
            && self
                .text
                .get(new.clone())
                .is_some_and(|text| !text.is_ascii() && text.chars().all(is_combining_mark))
            && is_above_or_below(word, &position)
        {
            // Marks of Thai and other scripts are raised to their place.
            word.text.end = end;
            word.to = word.to.max(position.to);
            self.last = Some((position.from, new));
            return;
        }
        if let Some(word) = self.words.last_mut() {
            let same_line = word.angle == position.angle
                && (word.baseline - position.baseline).abs()
                    <= BASELINE_EM * word.em.max(position.em);
            let duplicate = last.as_ref().is_some_and(|(from, text)| {
                (from - position.from).abs() < DUPLICATE_EM * position.em
                    && self.text.get(text.clone()) == self.text.get(new.clone())
            });
            if same_line && duplicate {
                self.text.truncate(start);
                (self.space, self.last) = (space, last);
                return;
            }
            let em = word.em.max(position.em);
            let adjacent = -OVERLAP_EM * em..WORD_GAP_EM * em;
            let scripts = (word.script, script);
            // Punctuation and digits beside right-to-left words are ordered with the whole line.
            let mixed = (word.script == Script::RightToLeft) != (script == Script::RightToLeft);
            if same_line && !space && !mixed {
                let follows = adjacent.contains(&(position.from - word.to));
                let right_to_left = matches!(scripts, (Script::RightToLeft, Script::RightToLeft));
                if right_to_left && follows {
                    // Right-to-left text drawn in visual order: later glyphs are read earlier.
                    if let Some(glyph) = self.text.get(new.clone()).map(str::to_owned) {
                        self.text.truncate(start);
                        self.text.insert_str(word.text.start as usize, &glyph);
                    }
                }
                if follows || right_to_left && adjacent.contains(&(word.from - position.to)) {
                    if !right_to_left {
                        self.glyph_starts
                            .push((end - u32::try_from(new.len()).unwrap_or(0), position.from));
                    }
                    word.text.end = end;
                    word.from = word.from.min(position.from);
                    word.to = word.to.max(position.to);
                    word.em = em;
                    if word.script == Script::Neutral {
                        word.script = script;
                    }
                    self.last = Some((position.from, new));
                    return;
                }
            }
        }
        self.glyph_starts
            .push((end - u32::try_from(new.len()).unwrap_or(0), position.from));
        self.last = Some((position.from, new));
        self.words.push(TextFragment {
            text: end - u32::try_from(self.text.len() - start).unwrap_or(0)..end,
            angle: position.angle,
            from: position.from,
            to: position.to,
            baseline: position.baseline,
            em: position.em,
            space_before: space,
            script,
        });
    }

    /// Counts a visible glyph whose characters are unknown, if it is on the page.
    pub(crate) fn add_unknown(&mut self, x: f64, y: f64, is_mark: bool) {
        let is_on_page =
            (0.0..f64::from(self.width)).contains(&x) && (0.0..f64::from(self.height)).contains(&y);
        self.summary.unknown_glyphs += u32::from(is_on_page);
        self.space |= !is_mark; // the glyphs around a letter are not one word
    }

    /// Adds an image that covers `area` square points of the page.
    pub(crate) fn add_image(&mut self, area: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a share of the page")]
        let share = (area / f64::from(self.width * self.height)) as f32;
        if share.is_finite() {
            self.summary.image_share += share;
        }
    }

    /// Whether an area has a mark that ticks a box. `None` if it has other text.
    pub(crate) fn has_only_ticks(&self, across: Range<f64>, down: Range<f64>) -> Option<bool> {
        let mut has_tick = false;
        for word in self.words_in(&across, &down) {
            let content = self
                .text
                .get(word.text.start as usize..word.text.end as usize)
                .unwrap_or_default();
            if !content.chars().all(is_tick) {
                return None;
            }
            has_tick = true;
        }
        Some(has_tick)
    }

    /// Returns the words whose middle is in an area.
    fn words_in(
        &self,
        across: &Range<f64>,
        down: &Range<f64>,
    ) -> impl Iterator<Item = &TextFragment> {
        self.words.iter().filter(move |word| {
            across.contains(&f64::from(f32::midpoint(word.from, word.to)))
                && down.contains(&f64::from(word.baseline))
        })
    }

    /// Removes the marks that show in an area that a box or button is ticked.
    pub(crate) fn remove_marks_in(&mut self, across: Range<f64>, down: Range<f64>) {
        let Self { words, text, .. } = self;
        words.retain(|word| {
            let middle = f64::from(f32::midpoint(word.from, word.to));
            let content = text
                .get(word.text.start as usize..word.text.end as usize)
                .unwrap_or_default();
            !(across.contains(&middle)
                && down.contains(&f64::from(word.baseline))
                && content.chars().all(is_tick))
        });
        self.last = None;
    }

    /// Whether the page has horizontal text in this area, in points from its top left corner.
    pub(crate) fn shows_text_in(&self, across: Range<f64>, down: Range<f64>) -> bool {
        self.words.iter().any(|word| {
            word.angle == 0
                && down.contains(&f64::from(word.baseline))
                && f64::from(word.from) < across.end
                && f64::from(word.to) > across.start
        })
    }
}
