//! Characters as they are searched for: ligatures and other forms of letters become the letters, what cannot be seen is dropped.
//! Superscripts stay what they are: x² is not x2.

use unicode_normalization::UnicodeNormalization as _;

/// The bullets of the fonts Symbol and Wingdings, which have no Unicode of their own.
const SYMBOL_BULLETS: [char; 6] = [
    '\u{f0a7}', '\u{f0a8}', '\u{f0b7}', '\u{f0d8}', '\u{f0fc}', '\u{f06c}',
];

/// The characters of a glyph's text, cleaned; every kind of space becomes a plain one.
pub(crate) fn characters(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(|character| {
        let (plain, folded) = match kind(character) {
            Kind::Plain(character) => (Some(character), None),
            Kind::Folded => (None, Some(std::iter::once(character).nfkc())),
            Kind::Dropped => (None, None),
        };
        // A folded presentation form can hold a space (as U+FDFA does) but nothing that has to be dropped.
        plain.into_iter().chain(folded.into_iter().flatten())
    })
}

enum Kind {
    Plain(char),
    /// Another form of plain letters.
    Folded,
    Dropped,
}

fn kind(character: char) -> Kind {
    match character {
        '!'..='~' => Kind::Plain(character),
        // A soft hyphen that was drawn can be seen; hyphens are one character.
        '\u{ad}' | '\u{2010}' | '\u{2011}' => Kind::Plain('-'),
        _ if character.is_whitespace() => Kind::Plain(' '),
        _ if SYMBOL_BULLETS.contains(&character) => Kind::Plain('•'),
        // Ligatures and presentation forms, Kangxi radicals, letters of formulas.
        '\u{fb00}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{132}'
        | '\u{133}'
        | '\u{1c4}'..='\u{1cc}' => Kind::Folded,
        // Marks of direction and width; tags, in which text can hide; what is no character.
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{fffd}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}' => Kind::Dropped,
        _ if character.is_control() || u32::from(character) & 0xfffe == 0xfffe => Kind::Dropped,
        _ => Kind::Plain(character),
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
    fn ligatures_become_letters_and_superscripts_stay() {
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
    fn what_cannot_be_seen_is_dropped() {
        assert_eq!(
            clean("a\u{0}b\u{200b}c\u{feff}d\u{fffd}e\u{e0041}f\u{202e}g"),
            "abcdefg"
        );
        assert_eq!(clean("a\u{a0}b\u{2003}c\td"), "a b c d");
        assert_eq!(clean("\u{f0b7}"), "•");
        assert_eq!(clean("\u{f8ff}"), "");
    }

    #[test]
    fn hyphens_are_one_character() {
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
        fn no_control_character_is_left(text in any::<Vec<char>>()) {
            let text: String = text.into_iter().collect();
            prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }
}
