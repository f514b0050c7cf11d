//! Glyphs become words while they come in: a glyph that stands right behind the last one belongs to its word.

use std::ops::Range;

use super::lines::{LaidOut, lay_out};
use crate::clean::characters;

/// A gap wider than this, in ems, parts two words. Letters of one word are kerned by a twentieth of an em, the narrowest spaces
/// of justified text are a fifth.
const WORD_GAP_EM: f32 = 0.13;
/// How far a glyph may reach back over the one before it, in ems.
const OVERLAP_EM: f32 = 0.6;
/// Glyphs of one word stand on one baseline, give or take this, in ems.
const BASELINE_EM: f32 = 0.1;
/// The same character so close to the last one, in ems, is the same glyph drawn twice, to make it look bold.
const TWICE_EM: f32 = 0.1;
/// Smaller text cannot be seen.
const EM_MIN_POINTS: f32 = 0.5;
/// The height of letters above the baseline, and below, in ems.
const ASCENT_EM: f32 = 0.78;
const DESCENT_EM: f32 = 0.22;
/// A page that does not say how large it is: A4.
const DEFAULT_SIZE: (f32, f32) = (595.0, 842.0);
/// Pages larger than this, in points, do not exist on paper (it is 70 metres).
const SIZE_MAX: f32 = 200_000.0;

/// A glyph as a reader finds it; all measures in points, from the upper left corner of the page as it is seen.
pub(crate) struct Glyph<'a> {
    pub(crate) text: &'a str,
    /// Where it begins on its baseline.
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// From there to where the next one begins.
    pub(crate) advance_x: f64,
    pub(crate) advance_y: f64,
    /// The size of its font.
    pub(crate) em: f64,
}

/// A page while its glyphs come in.
pub(crate) struct Sheet {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// The text of all words, one behind the other.
    pub(crate) text: String,
    pub(crate) words: Vec<Piece>,
    /// A picture stands on it.
    pub(crate) has_picture: bool,
    /// A space was drawn since the last glyph.
    space: bool,
    /// The last glyph: where it began, and its text.
    last: Option<(f32, Range<usize>)>,
}

/// Glyphs that stand together, in the frame of their direction: `u` runs along the text, `v` across it, downwards.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) text: Range<u32>,
    /// Direction in degrees clockwise, 0 to 359.
    pub(crate) angle: u16,
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) baseline: f32,
    pub(crate) em: f32,
    /// A space was drawn before it.
    pub(crate) space_before: bool,
    /// Which way its letters are read.
    pub(crate) script: Script,
}

/// Which way letters are read. The text of a piece stands in the order of reading, whichever way its glyphs were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Digits and marks go with their neighbours.
    Neutral,
    LeftToRight,
    /// Arabic, Hebrew and their relatives.
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

impl Sheet {
    pub(crate) fn new(width: f32, height: f32) -> Self {
        let sound = |size: f32| size.is_finite() && (1.0..=SIZE_MAX).contains(&size);
        let (width, height) = if sound(width) && sound(height) {
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

    /// Takes the next glyph in the order of the file.
    pub(crate) fn push(&mut self, glyph: &Glyph<'_>) {
        let Some(place) = Place::of(glyph) else {
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
            self.text.truncate(start); // 4 GiB: the limit on text ends the document
            return;
        };
        let new = start..self.text.len();
        let script = self
            .text
            .get(new.clone())
            .map_or(Script::Neutral, Script::of);
        let (space, last) = (std::mem::take(&mut self.space), self.last.take());
        if let Some(word) = self.words.last_mut() {
            let level = word.angle == place.angle
                && (word.baseline - place.baseline).abs() <= BASELINE_EM * word.em.max(place.em);
            let twice = last.as_ref().is_some_and(|(from, text)| {
                (from - place.from).abs() < TWICE_EM * place.em
                    && self.text.get(text.clone()) == self.text.get(new.clone())
            });
            if level && twice {
                self.text.truncate(start);
                (self.space, self.last) = (space, last);
                return;
            }
            let em = word.em.max(place.em);
            let near = -OVERLAP_EM * em..WORD_GAP_EM * em;
            let both = (word.script, script);
            let mixed = matches!(
                both,
                (Script::RightToLeft, Script::LeftToRight)
                    | (Script::LeftToRight, Script::RightToLeft)
            );
            if level && !space && !mixed {
                let behind = near.contains(&(place.from - word.to));
                let rightward = matches!(both, (Script::RightToLeft, Script::RightToLeft));
                if rightward && behind {
                    // Drawn from left to right, as it looks: what comes later is read earlier.
                    if let Some(glyph) = self.text.get(new.clone()).map(str::to_owned) {
                        self.text.truncate(start);
                        self.text.insert_str(word.text.start as usize, &glyph);
                    }
                }
                if behind || rightward && near.contains(&(word.from - place.to)) {
                    word.text.end = end;
                    word.from = word.from.min(place.from);
                    word.to = word.to.max(place.to);
                    word.em = em;
                    if word.script == Script::Neutral {
                        word.script = script;
                    }
                    self.last = Some((place.from, new));
                    return;
                }
            }
        }
        self.last = Some((place.from, new));
        self.words.push(Piece {
            text: end - u32::try_from(self.text.len() - start).unwrap_or(0)..end,
            angle: place.angle,
            from: place.from,
            to: place.to,
            baseline: place.baseline,
            em: place.em,
            space_before: space,
            script,
        });
    }

    /// Whether level text stands in this part of the page, in points from its upper left corner.
    pub(crate) fn shows_text_in(&self, across: Range<f64>, down: Range<f64>) -> bool {
        self.words.iter().any(|word| {
            word.angle == 0
                && down.contains(&f64::from(word.baseline))
                && f64::from(word.from) < across.end
                && f64::from(word.to) > across.start
        })
    }

    /// The page's lines, in reading order.
    pub(crate) fn lay_out(self) -> LaidOut {
        lay_out(self)
    }
}

/// Where a glyph stands, in the frame of its direction.
struct Place {
    angle: u16,
    from: f32,
    to: f32,
    baseline: f32,
    em: f32,
}

impl Place {
    fn of(glyph: &Glyph<'_>) -> Option<Self> {
        let angle = angle(glyph.advance_x, glyph.advance_y);
        let (sin, cos) = turn(angle);
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let place = Self {
            angle,
            from: (glyph.x * cos + glyph.y * sin) as f32,
            to: ((glyph.x + glyph.advance_x) * cos + (glyph.y + glyph.advance_y) * sin) as f32,
            baseline: (glyph.y * cos - glyph.x * sin) as f32,
            em: glyph.em as f32,
        };
        let sound = place.from.is_finite()
            && place.to.is_finite()
            && place.baseline.is_finite()
            && place.em.is_finite()
            && place.em >= EM_MIN_POINTS;
        sound.then_some(place)
    }
}

/// The direction of an advance in whole degrees; almost always 0, which is quick.
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

/// Sine and cosine of whole degrees; exact for text that is level or upright.
pub(super) fn turn(angle: u16) -> (f64, f64) {
    match angle {
        0 => (0.0, 1.0),
        90 => (1.0, 0.0),
        180 => (0.0, -1.0),
        270 => (-1.0, 0.0),
        _ => f64::from(angle).to_radians().sin_cos(),
    }
}

/// Where a word stands on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place2d {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Piece {
    /// Its box on the page, cut to the page's edges; `None` if it lies beyond them, where nobody sees it.
    pub(super) fn on_page(&self, width: f32, height: f32) -> Option<Place2d> {
        let (sin, cos) = turn(self.angle);
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
        (left <= right && upper < lower).then_some(Place2d {
            x: left,
            y: upper,
            width: right - left,
            height: lower - upper,
        })
    }
}
