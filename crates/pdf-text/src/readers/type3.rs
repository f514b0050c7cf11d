//! Sizes of Type 3 fonts, whose glyphs may be drawn in any units. If the font's matrix makes the em
//! implausible, it is estimated from the width of the glyphs.

use std::collections::HashMap;

/// Plausible mean widths of glyphs, in ems. Letters have about half an em.
const MIN_MEAN_EM: f64 = 0.1;
const MAX_MEAN_EM: f64 = 1.6;
/// Usual ratio of the em to the mean width of glyphs.
const EM_PER_WIDTH: f64 = 2.0;

/// Widths of the glyphs so far, by the size that the file gives.
#[derive(Default)]
pub(super) struct Type3Sizes(HashMap<i64, (f64, f64)>);

impl Type3Sizes {
    /// Returns the em for a glyph: `em` if the widths of the glyphs agree with it.
    pub(super) fn em(&mut self, em: f64, width: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a key; equal sizes stay equal"
        )]
        let key = (em * 1000.0) as i64;
        let (sum, count) = self.0.entry(key).or_default();
        *sum += width;
        *count += 1.0;
        let mean = *sum / *count;
        if (MIN_MEAN_EM * em..=MAX_MEAN_EM * em).contains(&mean) {
            em
        } else {
            EM_PER_WIDTH * mean
        }
    }
}
