//! The text of a glyph: what the file says, or as the last resort what the glyph's font says.

use std::collections::HashMap;

use hayro_interpret::font::Glyph;
use hayro_interpret::hayro_cmap::BfString;
use skrifa::{FontRef, MetadataProvider as _};

use crate::characters::characters;

/// Offset of the codes of symbol fonts in the private-use area.
const SYMBOL_OFFSET: u32 = 0xf000;
/// Fonts of pictures, whose codes are not letters.
const PICTURE_FONTS: [&str; 4] = ["wingdings", "webdings", "dingbats", "symbol"];

/// Reads glyphs. Remembers what it had to ask the fonts.
#[derive(Default)]
pub(super) struct GlyphTexts {
    /// Characters of the glyphs of a font.
    fonts: HashMap<u128, HashMap<u32, char>>,
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
        let characters = self.fonts.entry(font.cache_key).or_insert_with(|| {
            let name = font.postscript_name.unwrap_or_default().to_lowercase();
            let is_picture_font = PICTURE_FONTS.iter().any(|font| name.contains(font));
            characters_of((*font.data).as_ref(), is_picture_font)
        });
        characters
            .get(&outline.glyph_id().to_u32())
            .map_or(GlyphText::Unknown, |&character| {
                GlyphText::Known(BfString::Char(character))
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
        BfString::Char(character) => is_reading(*character),
        BfString::String(text) => text.chars().any(is_reading),
    }
}

/// Returns the characters of the glyphs of a font program by its own character map.
fn characters_of(data: &[u8], is_picture_font: bool) -> HashMap<u32, char> {
    let mut characters = HashMap::new();
    let Ok(font) = FontRef::from_index(data, 0) else {
        return characters; // a bare CFF font has no character map
    };
    let charmap = font.charmap();
    for (code, glyph) in charmap.mappings() {
        let code = if charmap.is_symbol() && !is_picture_font && code >= SYMBOL_OFFSET {
            code - SYMBOL_OFFSET
        } else {
            code
        };
        if let Some(character) = char::from_u32(code).filter(|character| !character.is_control()) {
            characters.entry(glyph.to_u32()).or_insert(character);
        }
    }
    characters
}
