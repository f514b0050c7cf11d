//! Joins glyphs to words as they arrive: a glyph directly after the previous one belongs to its
//! word.

use std::ops::Range;

use crate::clean::characters;

/// Maximum gap within a word, in ems. Kerning is about 0.05 em; the narrowest spaces of justified
/// text are 0.2 em.
const WORD_GAP_EM: f32 = 0.13;
/// Maximum overlap of a glyph with the previous one, in ems.
const OVERLAP_EM: f32 = 0.6;
/// Maximum distance of the baselines of glyphs of one word, in ems.
const BASELINE_EM: f32 = 0.1;
/// Maximum distance of a glyph that is drawn twice to appear bold, in ems.
const DUPLICATE_EM: f32 = 0.1;
/// Minimum visible font size, in points.
const MIN_EM_POINTS: f32 = 0.5;
/// Height of letters above and below the baseline, in ems.
const ASCENT_EM: f32 = 0.78;
const DESCENT_EM: f32 = 0.22;
/// Size of a page that does not define one: A4.
const DEFAULT_SIZE: (f32, f32) = (595.0, 842.0);
/// Maximum page size, in points (70 meters).
const MAX_PAGE_SIZE: f32 = 200_000.0;

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

/// A page whose glyphs are being added.
pub(crate) struct PageBuilder {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Concatenated text of all words.
    pub(crate) text: String,
    pub(crate) words: Vec<TextFragment>,
    /// Whether the page has an image.
    pub(crate) has_picture: bool,
    /// Whether a space was drawn after the last glyph.
    space: bool,
    /// Start and text of the last glyph.
    last: Option<(f32, Range<usize>)>,
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
    fn of(text: &str) -> Self {
        text.chars()
            .find_map(|character| match character {
                '\u{590}'..='\u{8ff}' if character.is_alphabetic() => Some(Self::RightToLeft),
                _ if character.is_alphabetic() => Some(Self::LeftToRight),
                _ => None,
            })
            .unwrap_or(Self::Neutral)
    }
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
            has_picture: false,
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
        for character in characters(glyph.text) {
            if character.is_whitespace() {
                self.space = true;
            } else {
                self.text.push(character);
            }
        }
        if self.text.len() == start {
            return;
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
            let mixed = matches!(
                scripts,
                (Script::RightToLeft, Script::LeftToRight)
                    | (Script::LeftToRight, Script::RightToLeft)
            );
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

/// Position of a glyph in the coordinate system of its direction.
struct GlyphPosition {
    angle: u16,
    from: f32,
    to: f32,
    baseline: f32,
    em: f32,
}

impl GlyphPosition {
    fn of(glyph: &Glyph<'_>) -> Option<Self> {
        let angle = angle(glyph.advance_x, glyph.advance_y);
        let (sin, cos) = sin_cos(angle);
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let position = Self {
            angle,
            from: (glyph.x * cos + glyph.y * sin) as f32,
            to: ((glyph.x + glyph.advance_x) * cos + (glyph.y + glyph.advance_y) * sin) as f32,
            baseline: (glyph.y * cos - glyph.x * sin) as f32,
            em: glyph.em as f32,
        };
        let is_valid = position.from.is_finite()
            && position.to.is_finite()
            && position.baseline.is_finite()
            && position.em.is_finite()
            && position.em >= MIN_EM_POINTS;
        is_valid.then_some(position)
    }
}

/// Direction of an advance in whole degrees. Almost always 0, which has a fast path.
fn angle(advance_x: f64, advance_y: f64) -> u16 {
    if advance_x >= 0.0 && advance_y.abs() <= advance_x * 0.008 {
        return 0;
    }
    let degrees = advance_y.atan2(advance_x).to_degrees().round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 359"
    )]
    let whole = degrees.rem_euclid(360.0) as u16;
    whole % 360
}

/// Returns sine and cosine of whole degrees, exact for multiples of 90.
pub(super) fn sin_cos(angle: u16) -> (f64, f64) {
    match angle {
        0 => (0.0, 1.0),
        90 => (1.0, 0.0),
        180 => (0.0, -1.0),
        270 => (-1.0, 0.0),
        _ => f64::from(angle).to_radians().sin_cos(),
    }
}

/// Bounding box of a word on the page, in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BoundingBox {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl TextFragment {
    /// Bounding box on the page, clipped to the page's edges. `None` if the fragment is outside the
    /// page.
    pub(super) fn bounds_on_page(&self, width: f32, height: f32) -> Option<BoundingBox> {
        let (sin, cos) = sin_cos(self.angle);
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let (sin, cos) = (sin as f32, cos as f32);
        let top = self.baseline - ASCENT_EM * self.em;
        let bottom = self.baseline + DESCENT_EM * self.em;
        let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut upper, mut lower) = (f32::INFINITY, f32::NEG_INFINITY);
        for (u, v) in [
            (self.from, top),
            (self.from, bottom),
            (self.to, top),
            (self.to, bottom),
        ] {
            let (x, y) = (u * cos - v * sin, u * sin + v * cos);
            left = left.min(x);
            right = right.max(x);
            upper = upper.min(y);
            lower = lower.max(y);
        }
        let (left, right) = (left.max(0.0), right.min(width));
        let (upper, lower) = (upper.max(0.0), lower.min(height));
        (left <= right && upper < lower).then_some(BoundingBox {
            x: left,
            y: upper,
            width: right - left,
            height: lower - upper,
        })
    }
}
