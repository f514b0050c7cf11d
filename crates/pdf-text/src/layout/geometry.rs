//! Coordinates along the direction of the text, and bounding boxes on the page.

use super::fragment::{Glyph, TextFragment};

/// Height of letters above and below the baseline, in ems.
const ASCENT_EM: f32 = 0.78;
const DESCENT_EM: f32 = 0.22;
/// Minimum visible font size, in points.
const MIN_EM_POINTS: f32 = 0.5;

/// Position of a glyph in the coordinate system of its direction.
pub(super) struct GlyphPosition {
    pub(super) angle: u16,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) baseline: f32,
    pub(super) em: f32,
}

impl GlyphPosition {
    pub(super) fn of(glyph: &Glyph<'_>) -> Option<Self> {
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
