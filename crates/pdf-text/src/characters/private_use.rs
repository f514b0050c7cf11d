//! Private-use characters of the Adobe Glyph List: small capitals, old-style figures and raised
//! or lowered figures of expert fonts.

/// First and last character of the block, from the Adobe Glyph List (`glyphlist.txt`).
const FIRST: char = '\u{f6be}';
const LAST: char = '\u{f7ff}';

/// Returns the plain characters that a private-use character of the list stands for.
pub(super) fn plain(character: char) -> Option<&'static str> {
    if !(FIRST..=LAST).contains(&character) {
        return None;
    }
    Some(match character {
        '\u{f6be}' => "j", // dotlessj
        '\u{f6bf}' => "LL",
        '\u{f6c0}' => "ll",
        '\u{f6c3}' | '\u{f6e1}' | '\u{f6e2}' => ",", // commaaccent and commas
        '\u{f6d1}' | '\u{f6d4}' => "˘",
        '\u{f6dc}' => "1",  // onefitted
        '\u{f6dd}' => "Rp", // rupiah
        '\u{f6de}' => "—",  // threequartersemdash
        '\u{f6df}' | '\u{f6e0}' | '\u{f7a2}' => "¢",
        '\u{f6e3}' | '\u{f6e4}' | '\u{f724}' => "$",
        '\u{f6e5}' | '\u{f6e6}' => "-",
        '\u{f6e7}' | '\u{f6e8}' => ".",
        '\u{f6f9}' => "Ł",
        '\u{f6fa}' => "Œ",
        '\u{f6fd}' => "Š",
        '\u{f6ff}' => "Ž",
        '\u{f721}' => "!",
        '\u{f726}' => "&",
        '\u{f7a1}' => "¡",
        '\u{f7bf}' => "¿",
        '\u{f730}'..='\u{f739}' => ascii("0123456789", character, '\u{f730}'),
        '\u{f73f}' => "?",
        '\u{f761}'..='\u{f77a}' => ascii("ABCDEFGHIJKLMNOPQRSTUVWXYZ", character, '\u{f761}'),
        '\u{f7e0}'..='\u{f7fe}' => latin(character),
        '\u{f7ff}' => "Ÿ",
        _ => return None,
    })
}

fn ascii(characters: &'static str, character: char, first: char) -> &'static str {
    let at = (character as usize).saturating_sub(first as usize);
    characters.get(at..=at).unwrap_or_default()
}

/// Small capitals with accents, in the order of ISO 8859-1.
fn latin(character: char) -> &'static str {
    const LETTERS: [&str; 31] = [
        "À", "Á", "Â", "Ã", "Ä", "Å", "Æ", "Ç", "È", "É", "Ê", "Ë", "Ì", "Í", "Î", "Ï", "Ð", "Ñ",
        "Ò", "Ó", "Ô", "Õ", "Ö", "×", "Ø", "Ù", "Ú", "Û", "Ü", "Ý", "Þ",
    ];
    let at = (character as usize).saturating_sub('\u{f7e0}' as usize);
    LETTERS.get(at).copied().unwrap_or_default()
}
