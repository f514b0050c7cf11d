//! Turns a question into the terms of a full-text search.
//!
//! Stemming depends on the language, which is unknown, so each word is searched as it is and, with
//! less weight, as a prefix without its inflectional ending. Codes such as `INV-2026-0107` stay
//! together and are searched as a phrase. How specific a term is follows from how many chunks
//! contain it, so the words to ignore are only those of questions in general.

/// Maximum number of terms of a question.
pub const MAX_TERMS: usize = 16;
/// Shorter words are mostly articles and the like, unless they are written in capitals, contain
/// digits, or are not ASCII.
const MIN_WORD_CHARS: usize = 3;
/// Minimum length of a prefix, in characters. Shorter ones match unrelated words.
const MIN_PREFIX_CHARS: usize = 4;
/// Maximum length of a term, in characters. PostgreSQL limits a lexeme to 2 KB.
const MAX_TERM_CHARS: usize = 100;

/// Words of questions that say nothing about their subject.
const QUESTION_WORDS: &[&str] = &[
    "about", "and", "any", "are", "been", "but", "can", "could", "did", "does", "doing", "for",
    "from", "get", "give", "given", "had", "has", "have", "her", "his", "how", "into", "its",
    "many", "may", "mean", "means", "might", "much", "must", "nor", "not", "our", "out", "please",
    "shall", "she", "should", "some", "tell", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "was", "were", "what", "when", "where", "which",
    "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
];
/// Endings of inflected and derived words, longest first.
const ENDINGS: &[&str] = &[
    "ations", "ation", "ments", "ment", "ings", "ions", "ing", "ion", "ies", "ers", "ed", "er",
    "es", "en", "ly", "s", "e", "y", "n",
];

/// A term of a full-text search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The word or code as it is written in the question, in lower case.
    pub exact: String,
    /// Other forms, in the syntax of PostgreSQL's type `tsquery`; empty if there are none.
    pub forms: String,
}

/// Returns the terms of a question, longest first, at most [`MAX_TERMS`].
pub fn terms(question: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for word in question.split_whitespace() {
        let word = word.trim_matches(|character: char| !character.is_alphanumeric());
        let parts: Vec<&str> = word
            .split(|character: char| !character.is_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        // A compound or a code, such as `half-life` or `RF18-5390`.
        if parts.len() > 1 && word.chars().count() <= MAX_TERM_CHARS {
            add(&mut terms, word, String::new());
        }
        for part in parts.into_iter().filter(|part| is_term(part)) {
            let forms = forms(part);
            add(&mut terms, part, forms);
        }
    }
    // Longer terms are more specific.
    terms.sort_by_key(|term| std::cmp::Reverse(term.exact.chars().count()));
    terms.truncate(MAX_TERMS);
    terms
}

fn add(terms: &mut Vec<Term>, word: &str, forms: String) {
    let exact = word.to_lowercase();
    if terms.iter().all(|term| term.exact != exact) {
        terms.push(Term { exact, forms });
    }
}

fn is_term(word: &str) -> bool {
    let chars = word.chars().count();
    if chars > MAX_TERM_CHARS {
        return false;
    }
    if !word.is_ascii() || word.chars().any(char::is_numeric) {
        return true;
    }
    let is_acronym = chars > 1 && word.chars().all(char::is_uppercase);
    is_acronym || chars >= MIN_WORD_CHARS && !QUESTION_WORDS.contains(&&*word.to_lowercase())
}

/// Other forms of a word, which consists of letters and digits.
fn forms(word: &str) -> String {
    if word.chars().all(|character| character.is_ascii_digit()) {
        // PostgreSQL's parser reads the number in `INV-2026` as negative.
        return format!("'-{word}'");
    }
    if !word.chars().all(char::is_alphabetic) {
        return String::new();
    }
    let word = word.to_lowercase();
    let long_enough = |stem: &&str| stem.chars().count() >= MIN_PREFIX_CHARS;
    let stem = ENDINGS
        .iter()
        .filter_map(|ending| word.strip_suffix(ending))
        .find(long_enough)
        .or_else(|| Some(word.as_str()).filter(long_enough));
    stem.map(|stem| format!("'{stem}':*")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(question: &str) -> Vec<String> {
        terms(question).into_iter().map(|term| term.exact).collect()
    }

    #[test]
    fn words_of_questions_in_general_are_not_terms() {
        assert_eq!(
            exact("What is the torque of an M8 bolt, and of an M8 nut? \u{5e9}\u{5dc}"),
            ["torque", "bolt", "nut", "m8", "\u{5e9}\u{5dc}"]
        );
        assert_eq!(exact("Is it so? \u{1f469}"), Vec::<String>::new());
        assert_eq!(exact("How much VAT is due?"), ["vat", "due"]);
        assert_eq!(exact(&"word1 word2 word3 ".repeat(100)).len(), 3);
        assert_eq!(
            exact(
                &(0..99)
                    .map(|word| format!("word{word} "))
                    .collect::<Vec<_>>()
                    .concat()
            )
            .len(),
            MAX_TERMS
        );
        assert_eq!(exact(&"x".repeat(500)), Vec::<String>::new());
    }

    #[test]
    fn codes_stay_together_and_their_parts_are_terms_too() {
        assert_eq!(
            exact("What does (RF18-5390) cost?"),
            ["rf18-5390", "rf18", "5390", "cost"]
        );
        assert_eq!(
            exact("_R_CHECK_SIZES2_"),
            ["r_check_sizes2", "sizes2", "check"]
        );
        let number = &terms("2026")[0];
        assert_eq!(number.forms, "'-2026'");
    }

    #[test]
    fn other_forms_of_a_word_share_its_prefix() {
        for (word, forms) in [
            ("filters", "'filt':*"),
            ("installed", "'install':*"),
            ("install", "'install':*"),
            ("deletion", "'delet':*"),
            ("delete", "'delet':*"),
            ("copy", "'copy':*"),
            ("Rechnungen", "'rechnung':*"),
            ("E271", ""),
            ("nut", ""),
        ] {
            assert_eq!(terms(word)[0].forms, forms, "{word}");
        }
    }
}
