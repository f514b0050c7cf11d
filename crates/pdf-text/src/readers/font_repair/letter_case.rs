//! Maps that give capital letters as small ones. Layout programs write such maps for text that was
//! typed in small letters and is shown in capitals, although other text uses the same glyphs.

use std::collections::HashMap;

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object};

use super::to_unicode::{self, Mapping};

/// Parts of the names of fonts whose glyphs for capital codes are small capitals.
const SMALL_CAPITALS: [&str; 4] = ["SC", "Caps", "Expert", "caps"];

/// Returns the corrected map of a font with an encoding if capitals and small letters have the same
/// text in its map. Otherwise the capitals may be small letters that look like them.
pub(super) fn mappings(font: &Dict<'_>, map: &[u8]) -> Option<Vec<Mapping>> {
    let subtype = font.get::<Name<'_>>(b"Subtype")?;
    let name = font.get::<Name<'_>>(b"BaseFont")?;
    let name = String::from_utf8_lossy(name.as_ref()).into_owned();
    let (_, family) = name.split_once('+').unwrap_or(("", &name));
    if !matches!(subtype.as_ref(), b"Type1" | b"MMType1" | b"TrueType")
        || SMALL_CAPITALS.iter().any(|part| family.contains(part))
    {
        return None;
    }
    let renamed = renamed_codes(&font.get::<Object<'_>>(b"Encoding")?);
    let mut mappings = to_unicode::parse(map);
    let texts: HashMap<u32, &str> = mappings
        .iter()
        .map(|mapping| (mapping.code, mapping.text.as_str()))
        .collect();
    let small = |code: u32| {
        let capital = char::from_u32(code).filter(char::is_ascii_uppercase)?;
        let small = capital.to_ascii_lowercase();
        let is_small = |code| {
            texts
                .get(&code)
                .is_some_and(|text| text.chars().eq([small]))
        };
        (!renamed.contains(&code) && is_small(code)).then(|| is_small(u32::from(small)))
    };
    let flipped: Vec<(u32, bool)> = texts
        .keys()
        .filter_map(|&code| Some((code, small(code)?)))
        .collect();
    if !flipped.iter().any(|(_, has_small)| *has_small) {
        return None;
    }
    for mapping in &mut mappings {
        if flipped.iter().any(|(code, _)| *code == mapping.code) {
            mapping.text.make_ascii_uppercase();
        }
    }
    Some(mappings)
}

/// Returns the codes to which an encoding gives other glyphs than the letters of ASCII.
fn renamed_codes(encoding: &Object<'_>) -> Vec<u32> {
    let Object::Dict(encoding) = encoding else {
        return Vec::new();
    };
    let mut code = 0_u32;
    let mut renamed = Vec::new();
    for entry in encoding
        .get::<Array<'_>>(b"Differences")
        .iter()
        .flat_map(Array::iter::<Object<'_>>)
    {
        match entry {
            Object::Number(number) => code = u32::try_from(number.as_i64()).unwrap_or(0),
            Object::Name(name) => {
                let is_letter = u8::try_from(code).is_ok_and(|code| name.as_ref() == [code]);
                renamed.extend((!is_letter).then_some(code));
                code = code.saturating_add(1);
            }
            _ => {}
        }
    }
    renamed
}
