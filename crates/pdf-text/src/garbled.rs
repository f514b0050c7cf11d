//! Detects text that is not language: fonts whose codes are a cipher, and text that was decoded
//! with the wrong encoding.

use std::collections::HashSet;

/// Minimum number of letters of different words to judge a text.
const MIN_LETTERS: usize = 200;
/// Maximum length of a word that is judged by its letters, in bytes. Hashes and sequences are longer.
const MAX_WORD_BYTES: usize = 30;
/// Frequency of the letters a to z in languages in Latin script, per thousand letters.
const FREQUENCIES: [u32; 26] = [
    85, 15, 30, 40, 130, 15, 20, 35, 75, 5, 15, 45, 30, 70, 65, 25, 3, 65, 65, 75, 35, 15, 12, 2,
    12, 10,
];
/// Maximum sum of the differences to these frequencies, per thousand letters. English has 250,
/// Polish 400, Finnish 400; a cipher that exchanges letters has 900.
const MAX_DIFFERENCE: u32 = 700;
/// Minimum share of the letters a to z of text that is judged by its letters.
const MIN_LATIN_SHARE: f64 = 0.85;
/// Minimum number of words to judge by words.
const MIN_WORDS: usize = 40;
/// Share of words with symbols between letters above which the text is a cipher.
const MAX_MIXED_SHARE: f64 = 0.4;
/// Share of words with characters of wrongly decoded UTF-8 above which the text is garbled.
const MAX_MOJIBAKE_SHARE: f64 = 0.08;

/// Whether the text is probably garbled.
pub(crate) fn is_garbled(text: &str) -> bool {
    let (mut latin, mut letters) = (0_u32, 0_u32);
    let mut counts = [0_u32; 26];
    let (mut words, mut mixed, mut mojibake) = (0_u32, 0_u32, 0_u32);
    // The letters of each word count once: a table may repeat a few words.
    let mut different: HashSet<&str> = HashSet::new();
    for word in text.split_whitespace() {
        if word.len() >= 3 {
            words += 1;
            mixed += u32::from(is_mixed(word));
            mojibake += u32::from(is_mojibake(word));
        }
        if word.len() > MAX_WORD_BYTES || !different.insert(word) {
            continue;
        }
        for character in word.chars().filter(|character| character.is_alphabetic()) {
            letters += 1;
            let letter = u32::from(character.to_ascii_lowercase()).wrapping_sub(u32::from('a'));
            if let Some(count) = counts.get_mut(letter as usize) {
                latin += 1;
                *count += 1;
            }
        }
    }
    let difference: u32 = counts
        .iter()
        .zip(FREQUENCIES)
        .map(|(count, usual)| (count.saturating_mul(1000) / latin.max(1)).abs_diff(usual))
        .sum();
    let share = |count: u32, of: u32| f64::from(count) / f64::from(of.max(1));
    let enough_words = words as usize >= MIN_WORDS;
    let is_cipher = latin as usize >= MIN_LETTERS
        && share(latin, letters) > MIN_LATIN_SHARE
        && difference > MAX_DIFFERENCE;
    is_cipher
        || (enough_words
            && (share(mixed, words) > MAX_MIXED_SHARE
                || share(mojibake, words) > MAX_MOJIBAKE_SHARE))
}

/// Whether the word has symbols on both sides of letters, as `%HQH¿FLDU\` has.
fn is_mixed(word: &str) -> bool {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let inner = word.trim_matches(|mark: char| mark.is_ascii_punctuation());
    let symbols = inner
        .chars()
        .filter(
            |mark| matches!(mark, '!'..='&' | '*' | '+' | '<'..='@' | '\\' | '^' | '`' | '{'..='¿'),
        )
        .count();
    symbols >= 2 || (symbols == 1 && inner.chars().count() <= 6)
}

/// Whether the word has a sequence of UTF-8 that was decoded as Windows-1252.
fn is_mojibake(word: &str) -> bool {
    if word.is_ascii() {
        return false;
    }
    let pairs = word.chars().zip(word.chars().skip(1));
    pairs.into_iter().any(|(first, second)| {
        matches!(
            (first, second),
            (
                'Ã' | 'Â',
                '\u{80}'
                    ..='\u{bf}'
                        | '€'
                        | 'ƒ'
                        | '„'
                        | '†'
                        | '‡'
                        | 'Š'
                        | 'Œ'
                        | '™'
                        | 'œ'
                        | 'š'
                        | 'Ÿ'
            ) | ('â', '€' | '‚')
                | ('Ð' | 'Ñ', '\u{80}'..='\u{bf}' | '€' | '‚' | 'ƒ' | '„' | '…')
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "The harbour master keeps a book in which each ship is written down with \
        its length, its draught and the day on which it came. Fees are paid at the office by noon, \
        and whoever pays late is charged a tenth more. In winter the office closes at three because \
        the light is gone; ships that arrive later wait at the outer buoy until the morning tide.";

    fn shifted(by: u8) -> String {
        ENGLISH
            .chars()
            .map(|character| match character {
                'a'..='z' => char::from((character as u8 - b'a' + by) % 26 + b'a'),
                _ => character,
            })
            .collect()
    }

    #[test]
    fn language_is_not_garbled() {
        assert!(!is_garbled(ENGLISH));
        let german = "Der Hafenmeister führt ein Buch, in dem jedes Schiff mit seiner Länge, seinem \
            Tiefgang und dem Tag der Ankunft steht. Gebühren werden bis zum Mittag im Büro bezahlt; \
            wer zu spät zahlt, zahlt ein Zehntel mehr. Im Winter schließt das Büro um drei Uhr.";
        assert!(!is_garbled(german));
    }

    #[test]
    fn a_cipher_is_garbled() {
        assert!(is_garbled(&shifted(1)));
        assert!(is_garbled(&shifted(7)));
    }

    #[test]
    fn codes_shifted_by_29_are_garbled() {
        let shifted: String = ENGLISH
            .chars()
            .map(|character| match character {
                ' ' => ' ',
                _ => char::from((character as u8).saturating_sub(29)),
            })
            .collect();
        assert!(is_garbled(&shifted), "{shifted}");
    }

    #[test]
    fn mojibake_is_garbled() {
        let mojibake = "Die GebÃ¼hr fÃ¼r das Schiff betrÃ¤gt fÃ¼nf Kronen. ".repeat(10);
        assert!(is_garbled(&mojibake));
    }

    #[test]
    fn short_text_and_tables_are_not_judged() {
        assert!(!is_garbled("XK-7 QZ WVX"));
        assert!(!is_garbled(&"12,400.00 €3.50 17% ".repeat(40)));
        assert!(!is_garbled(&"Clara4\tPort of call 4\t148.00\n".repeat(20)));
        assert!(!is_garbled(
            &"cba48f1a3c5be0ffd9dc66ce7d1bd0a4cc1ab7fd\n".repeat(9)
        ));
    }
}
