//! Normalizes characters for search: ligatures and presentation forms become letters, and invisible
//! characters are removed. Superscripts are kept, because x² is not x2.

mod private_use;

use unicode_normalization::UnicodeNormalization as _;

/// Bullets of the fonts Symbol and Wingdings, which have no Unicode code point.
const SYMBOL_BULLETS: [char; 4] = ['\u{f0a7}', '\u{f0b7}', '\u{f0d8}', '\u{f06c}'];

/// Returns the normalized characters of a glyph's text. Every kind of space becomes a plain space.
pub(crate) fn characters(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(|character| {
        let (plain, folded, listed) = match classify(character) {
            CharacterClass::Plain(character) => (Some(character), None, ""),
            CharacterClass::Folded => (None, Some(std::iter::once(character).nfkc()), ""),
            CharacterClass::Listed(plain) => (None, None, plain),
            CharacterClass::Dropped => (None, None, ""),
        };
        // A folded presentation form may contain a space (as U+FDFA does) but no character that has
        // to be removed.
        plain
            .into_iter()
            .chain(folded.into_iter().flatten())
            .chain(listed.chars())
    })
}

enum CharacterClass {
    Plain(char),
    /// Another form of plain letters, folded by NFKC.
    Folded,
    /// A private-use character of the Adobe Glyph List.
    Listed(&'static str),
    Dropped,
}

fn classify(character: char) -> CharacterClass {
    match character {
        '!'..='~' => CharacterClass::Plain(character),
        // A soft hyphen that is drawn is visible. All hyphens become one character.
        '\u{ad}' | '\u{2010}' | '\u{2011}' => CharacterClass::Plain('-'),
        _ if character.is_whitespace() => CharacterClass::Plain(' '),
        _ if SYMBOL_BULLETS.contains(&character) => CharacterClass::Plain('•'),
        // Ligatures and presentation forms, Kangxi radicals, mathematical letters.
        '\u{fb00}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{132}'
        | '\u{133}'
        | '\u{1c4}'..='\u{1cc}' => CharacterClass::Folded,
        '\u{f600}'..='\u{f8ff}' if private_use::plain(character).is_some() => {
            CharacterClass::Listed(private_use::plain(character).unwrap_or_default())
        }
        // Boxes and marks of Wingdings, as forms use them.
        '\u{f06f}' | '\u{f0a8}' => CharacterClass::Plain('☐'),
        '\u{f0fe}' => CharacterClass::Plain('☑'),
        '\u{f0fd}' => CharacterClass::Plain('☒'),
        '\u{f0fc}' => CharacterClass::Plain('✓'),
        '\u{f0fb}' => CharacterClass::Plain('✗'),
        // Direction and width marks, tags (which can hide text), and noncharacters.
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{fffd}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}' => CharacterClass::Dropped,
        _ if character.is_control() || u32::from(character) & 0xfffe == 0xfffe => {
            CharacterClass::Dropped
        }
        _ => CharacterClass::Plain(character),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        characters(text).collect()
    }

    #[test]
    fn ligatures_become_letters_and_superscripts_are_kept() {
        assert_eq!(
            clean("e\u{fb03}cient \u{fb01}sh \u{fb06}"),
            "efficient fish st"
        );
        assert_eq!(clean("x² m³ H₂O ½ ™"), "x² m³ H₂O ½ ™");
        assert_eq!(clean("𝑥 = 𝟐"), "x = 2");
        assert_eq!(clean("\u{fe8e}"), "\u{627}");
        assert_eq!(clean("⼈"), "人");
    }

    #[test]
    fn invisible_characters_are_removed() {
        assert_eq!(
            clean("a\u{0}b\u{200b}c\u{feff}d\u{fffd}e\u{e0041}f\u{202e}g"),
            "abcdefg"
        );
        assert_eq!(clean("a\u{a0}b\u{2003}c\td"), "a b c d");
        assert_eq!(clean("\u{f0b7}"), "•");
        assert_eq!(clean("\u{f8ff}"), "");
    }

    #[test]
    fn all_hyphens_become_one_character() {
        assert_eq!(
            clean("soft\u{ad} hard\u{2011} true\u{2010}"),
            "soft- hard- true-"
        );
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in ".{0,40}") {
            let once = clean(&text);
            prop_assert_eq!(clean(&once), once);
        }

        #[test]
        fn control_characters_are_removed(text in any::<Vec<char>>()) {
            let text: String = text.into_iter().collect();
            prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }
}
