//! Raised figures: powers, note marks and ordinals. Without their position, 10⁶ reads as 106.

/// Minimum and maximum distance of a raised figure from the baseline, in ems of the line.
pub(super) const MIN_RISE_EM: f32 = 0.15;
pub(super) const MAX_RISE_EM: f32 = 0.75;
/// Maximum number of characters of a power or note mark.
const MAX_CHARACTERS: usize = 4;
/// Maximum number of characters of several note marks, such as `1,2,3`.
const MAX_MARKS_CHARACTERS: usize = 12;
/// Maximum number of letters of a unit or variable, such as `km`.
const MAX_UNIT_LETTERS: usize = 3;
/// Endings of ordinals and other raised letters that belong to the word: 1st, 2º, Mlle.
const ENDINGS: [&str; 16] = [
    "st", "nd", "rd", "th", "er", "re", "e", "o", "a", "os", "as", "ème", "º", "ª", "tm", "lle",
];

/// How raised text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// As a power: `10^6`.
    Power,
    /// As a note mark, apart from the word.
    Note,
    /// As part of the word: `1st`.
    Ending,
}

/// Returns how `raised` is read after the word `base`.
pub(super) fn read(base: &str, raised: &str) -> Raised {
    let is_list = raised.contains(',')
        && raised.len() <= MAX_MARKS_CHARACTERS
        && raised
            .split(',')
            .all(|mark| !mark.is_empty() && mark.chars().all(|digit| digit.is_ascii_digit()));
    if is_list {
        return Raised::Note;
    }
    let sign = raised.trim_start_matches(['-', '−', '–', '+']);
    let digits = !sign.is_empty() && sign.chars().all(|mark| mark.is_ascii_digit());
    if !digits || sign.chars().count() > MAX_CHARACTERS {
        let lower = raised.to_lowercase();
        let single = raised.chars().count() == 1 && raised.chars().all(char::is_alphabetic);
        return if ENDINGS.contains(&lower.as_str()) || !single {
            Raised::Ending
        } else {
            Raised::Power // x^n
        };
    }
    let last_word = base
        .rsplit(|mark: char| !mark.is_alphanumeric())
        .next()
        .unwrap_or_default();
    let is_signed = sign.len() < raised.len();
    let is_unit = (1..=MAX_UNIT_LETTERS).contains(&last_word.chars().count())
        && last_word.chars().all(char::is_alphabetic);
    let closes = base.ends_with([')', ']']);
    if is_signed || is_unit || closes || matches!(last_word, "10" | "2") {
        Raised::Power
    } else {
        Raised::Note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_note_marks_and_endings_are_distinguished() {
        for (base, raised, expected) in [
            ("10", "6", Raised::Power),
            ("10", "-9", Raised::Power),
            ("m", "2", Raised::Power),
            ("km", "2", Raised::Power),
            ("(a+b)", "2", Raised::Power),
            ("x", "n", Raised::Power),
            ("250", "9", Raised::Note),
            ("increase", "3", Raised::Note),
            ("end.", "12", Raised::Note),
            ("rose", "1,2", Raised::Note),
            ("1", "st", Raised::Ending),
            ("Acme", "TM", Raised::Ending),
        ] {
            assert_eq!(read(base, raised), expected, "{base} {raised}");
        }
    }
}
