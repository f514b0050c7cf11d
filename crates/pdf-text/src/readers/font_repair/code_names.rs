//! Fonts whose glyph names are their codes: `/a65` or `/G41`. Programs that convert TeX's bitmap fonts
//! to Type 3 fonts name glyphs so, and old printer drivers.

use hayro_interpret::hayro_syntax::object::{Array, Dict, Name, Object};

use super::to_unicode::Mapping;

/// Maximum number of characters before the digits of a name.
const MAX_PREFIX: usize = 5;
/// Minimum share of the glyphs whose names are their codes, in percent.
const MIN_PERCENT: usize = 80;

/// TeX's text encoding (OT1) where it differs from ASCII, without Greek capitals: other programs use the
/// lowest codes for anything.
const TEX: [(u32, &str); 18] = [
    (0x0b, "ff"),
    (0x0c, "fi"),
    (0x0d, "fl"),
    (0x0e, "ffi"),
    (0x0f, "ffl"),
    (0x10, "ı"),
    (0x12, "`"),
    (0x13, "´"),
    (0x19, "ß"),
    (0x1a, "æ"),
    (0x1b, "œ"),
    (0x1c, "ø"),
    (0x22, "”"),
    (0x27, "’"),
    (0x5c, "“"),
    (0x60, "‘"),
    (0x7b, "–"),
    (0x7c, "—"),
];

/// TeX's encoding for European languages (T1) where it differs from ISO 8859-1.
const TEX_EUROPEAN: [(u32, &str); 17] = [
    (0x0d, "‚"),
    (0x0e, "‹"),
    (0x0f, "›"),
    (0x10, "“"),
    (0x11, "”"),
    (0x12, "„"),
    (0x13, "«"),
    (0x14, "»"),
    (0x15, "–"),
    (0x16, "—"),
    (0x19, "ı"),
    (0x1b, "ff"),
    (0x1c, "fi"),
    (0x1d, "fl"),
    (0x1e, "ffi"),
    (0x1f, "ffl"),
    (0x7f, "-"),
];
/// The same for codes that ISO 8859-1 uses for something else.
const TEX_EUROPEAN_LETTERS: [(u32, &str); 7] = [
    (0x27, "’"),
    (0x60, "‘"),
    (0xd7, "Œ"),
    (0xdf, "SS"),
    (0xf7, "œ"),
    (0xff, "ß"),
    (0x9e, "§"),
];

/// Characters of Windows-1252 from 0x80 to 0x9f.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Meaning of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One of TeX's encodings.
    Tex,
    /// Windows-1252.
    Windows,
}

/// Returns the map of a font whose glyphs are named by their codes.
pub(super) fn mappings(font: &Dict<'_>, meaning: Encoding) -> Option<Vec<Mapping>> {
    let encoding = font.get::<Dict<'_>>(b"Encoding")?;
    let mut code = 0_u32;
    let mut names = Vec::new();
    for entry in encoding
        .get::<Array<'_>>(b"Differences")?
        .iter::<Object<'_>>()
    {
        match entry {
            Object::Number(number) => code = u32::try_from(number.as_i64()).unwrap_or(0),
            Object::Name(name) => {
                names.push((code, name_text(&name)));
                code += 1;
            }
            _ => {}
        }
    }
    names.retain(|(_, name)| name != ".notdef");
    let base = [10, 16].into_iter().find(|&base| {
        let count = names
            .iter()
            .filter(|(code, name)| number(name, base) == Some(*code))
            .count();
        count > 0 && count * 100 >= names.len() * MIN_PERCENT
    })?;
    // In OT1 the codes of quotation marks are dotless letters, and there are no larger codes.
    let is_european = names
        .iter()
        .any(|(code, _)| matches!(code, 0x10 | 0x11 | 0x15 | 0x16 | 0x80..));
    Some(
        names
            .iter()
            .filter(|(code, name)| number(name, base) == Some(*code))
            .filter_map(|(code, _)| {
                let text = match meaning {
                    Encoding::Tex => character(*code, is_european)?,
                    Encoding::Windows => windows_character(*code)?.to_string(),
                };
                Some(Mapping::new(*code, text))
            })
            .collect(),
    )
}

fn name_text(name: &Name<'_>) -> String {
    String::from_utf8_lossy(name.as_ref()).into_owned()
}

/// Returns the number at the end of a name.
fn number(name: &str, base: u32) -> Option<u32> {
    let digits = name.trim_start_matches(|mark: char| !mark.is_ascii_digit());
    let prefix = name.len() - digits.len();
    let text = if base == 10 {
        digits
    } else {
        // The first letter is the prefix: A to F are digits.
        name.get(1..)?.trim_start_matches('x')
    };
    (prefix <= MAX_PREFIX)
        .then(|| u32::from_str_radix(text, base).ok())
        .flatten()
}

fn windows_character(code: u32) -> Option<char> {
    match code {
        0x80..=0x9f => WINDOWS.get(code as usize - 0x80).copied(),
        0x20..=0x7e | 0xa0..=0xff => char::from_u32(code),
        _ => None,
    }
}

fn character(code: u32, is_european: bool) -> Option<String> {
    let mut encoding: Box<dyn Iterator<Item = &(u32, &str)>> = if is_european {
        Box::new(TEX_EUROPEAN.iter().chain(&TEX_EUROPEAN_LETTERS))
    } else {
        Box::new(TEX.iter())
    };
    if let Some((_, text)) = encoding.find(|(tex, _)| *tex == code) {
        return Some((*text).to_owned());
    }
    match code {
        0x20..=0x7e | 0xa0..=0xff => char::from_u32(code).map(String::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_codes() {
        assert_eq!(number("a65", 10), Some(65));
        assert_eq!(number("char65", 10), Some(65));
        assert_eq!(number("G41", 16), Some(0x41));
        assert_eq!(number("Aacute", 10), None);
    }
}
