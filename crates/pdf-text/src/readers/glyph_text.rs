//! The text of a glyph: what the file says, or as the last resort what the glyph's font says.

use std::collections::HashMap;

use hayro_interpret::font::Glyph;
use hayro_interpret::hayro_cmap::BfString;

use super::font_program;
use crate::characters::characters;

/// Fonts of pictures, whose codes are not letters.
const PICTURE_FONTS: [&str; 4] = ["wingdings", "webdings", "dingbats", "symbol"];

/// Reads glyphs. Remembers what it had to ask the fonts.
#[derive(Default)]
pub(super) struct GlyphTexts {
    /// Texts of the glyphs of a font.
    fonts: HashMap<u128, HashMap<u32, String>>,
    /// Whether the outline of a glyph is empty. Drawing it takes long.
    blank: HashMap<u128, bool>,
}

/// What is known of a glyph.
pub(super) enum GlyphText {
    Known(BfString),
    /// The glyph is visible, but its characters are unknown.
    Unknown,
    Blank,
}

impl GlyphTexts {
    pub(super) fn of(&mut self, glyph: &Glyph<'_>) -> GlyphText {
        let unicode = glyph.as_unicode();
        if let Some(unicode) = unicode.filter(has_reading) {
            return GlyphText::Known(unicode);
        }
        let Glyph::Outline(outline) = glyph else {
            return GlyphText::Unknown;
        };
        let is_blank = self
            .blank
            .entry(outline.identifier().cache_key())
            .or_insert_with(|| outline.outline().elements().is_empty());
        if *is_blank {
            return GlyphText::Blank;
        }
        let Some(font) = outline.font_data() else {
            return GlyphText::Unknown;
        };
        let texts = self.fonts.entry(font.cache_key).or_insert_with(|| {
            let name = font.postscript_name.unwrap_or_default().to_lowercase();
            let is_picture_font = PICTURE_FONTS.iter().any(|font| name.contains(font));
            font_program::texts((*font.data).as_ref(), is_picture_font)
        });
        texts
            .get(&outline.glyph_id().to_u32())
            .map_or(GlyphText::Unknown, |text| {
                GlyphText::Known(BfString::String(text.clone()))
            })
    }
}

/// Whether anything is left of the text when it is cleaned. Spaces and invisible characters are
/// readings too.
fn has_reading(unicode: &BfString) -> bool {
    let is_reading = |character: char| {
        matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\t' | '\n' | '\r')
            || characters(character.encode_utf8(&mut [0; 4]))
                .next()
                .is_some()
    };
    match unicode {
        BfString::Char(' '..='~') => true,
        BfString::Char(character) => is_reading(*character),
        BfString::String(text) => text.chars().any(is_reading),
    }
}
