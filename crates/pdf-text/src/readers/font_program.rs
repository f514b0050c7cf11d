//! What an embedded font program says about its glyphs: its own character map, and the names of its
//! glyphs. These are the last resort for fonts without usable codes.

use std::collections::HashMap;

use skrifa::raw::TableProvider as _;
use skrifa::raw::ps::agl;
use skrifa::raw::ps::cff::CffFontRef;
use skrifa::raw::tables::cmap::PlatformId;
use skrifa::{FontRef, GlyphId, GlyphNameSource, MetadataProvider as _};

/// Offset of the codes of symbol fonts in the private-use area.
const SYMBOL_OFFSET: u32 = 0xf000;
/// Dingbats whose names, `a1` to `a206`, some programs give to other glyphs.
const DINGBATS: std::ops::RangeInclusive<char> = '\u{2700}'..='\u{27bf}';

/// Returns the texts of the glyphs of a font program. The codes of a picture font are not letters.
pub(super) fn texts(data: &[u8], is_picture_font: bool) -> HashMap<u32, String> {
    let mut texts = HashMap::new();
    let Ok(font) = FontRef::from_index(data, 0) else {
        add_cff_names(data, &mut texts);
        return texts;
    };
    let charmap = font.charmap();
    let add_characters = |texts: &mut HashMap<u32, String>| {
        for (code, glyph) in charmap.mappings() {
            let code = match code.checked_sub(SYMBOL_OFFSET) {
                Some(code) if charmap.is_symbol() && !is_picture_font => code,
                _ => code,
            };
            if let Some(character) = char::from_u32(code).filter(|mark| !mark.is_control()) {
                texts
                    .entry(glyph.to_u32())
                    .or_insert_with(|| character.to_string());
            }
        }
    };
    // The codes of a symbol font may be anything, so the names come first.
    if !charmap.is_symbol() {
        add_characters(&mut texts);
    }
    let names = font.glyph_names();
    if names.source() == GlyphNameSource::Post {
        for (glyph, name) in names.iter() {
            add_name(glyph.to_u32(), name.as_str(), &mut texts);
        }
    } else if let Ok(cff) = font.cff() {
        add_cff_names(cff.offset_data().as_bytes(), &mut texts);
    }
    add_characters(&mut texts);
    texts
}

/// Returns the texts of the codes of a simple `TrueType` font without an encoding, by the names of the
/// glyphs. Without names, the codes are all that is known.
pub(super) fn texts_of_codes(data: &[u8]) -> Vec<(u32, String)> {
    let Ok(font) = FontRef::from_index(data, 0) else {
        return Vec::new();
    };
    let texts = texts(data, false);
    let Ok(cmap) = font.cmap() else {
        return Vec::new();
    };
    let glyph = |code: u32| -> Option<GlyphId> {
        cmap.encoding_records().iter().find_map(|record| {
            let offsets: &[u32] = match record.platform_id() {
                PlatformId::Macintosh => &[0],
                PlatformId::Windows if record.encoding_id() == 0 => &[SYMBOL_OFFSET, 0],
                _ => return None,
            };
            let subtable = record.subtable(cmap.offset_data()).ok()?;
            offsets
                .iter()
                .find_map(|offset| subtable.map_codepoint(code + offset))
                .filter(|glyph| *glyph != GlyphId::NOTDEF)
        })
    };
    (0..=u32::from(u8::MAX))
        .filter_map(|code| Some((code, texts.get(&glyph(code)?.to_u32())?.clone())))
        .collect()
}

fn add_cff_names(data: &[u8], texts: &mut HashMap<u32, String>) {
    let Ok(font) = CffFontRef::new_cff(data, 0, None) else {
        return;
    };
    // The glyphs of a CID-keyed font have numbers instead of names.
    let Some(charset) = font.charset().filter(|_| !font.is_cid()) else {
        return;
    };
    for glyph in 0..font.num_glyphs() {
        let name = charset
            .string_id(GlyphId::new(glyph))
            .and_then(|id| std::str::from_utf8(font.string(id)?).ok());
        if let Some(name) = name {
            add_name(glyph, name, texts);
        }
    }
}

fn add_name(glyph: u32, name: &str, texts: &mut HashMap<u32, String>) {
    let text: String = agl::name_to_chars(name).collect();
    let is_code = name
        .strip_prefix('a')
        .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
        && text.chars().all(|mark| DINGBATS.contains(&mark));
    if name != ".notdef" && !text.is_empty() && !is_code {
        texts.entry(glyph).or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_codes_are_not_read_as_dingbats() {
        let mut texts = HashMap::new();
        for (glyph, name) in (1..).zip(["a10", "f_i", "Aacute.sc", "uni0041", "g12", ".notdef"]) {
            add_name(glyph, name, &mut texts);
        }
        let mut texts: Vec<(u32, String)> = texts.into_iter().collect();
        texts.sort();
        let expected = [(2, "fi"), (3, "Á"), (4, "A")];
        assert_eq!(
            texts,
            expected.map(|(glyph, text)| (glyph, text.to_owned()))
        );
    }
}
