//! Significant words of a question, and the words that refer to an earlier question.

/// A question with fewer significant words is a follow-up.
const MIN_SIGNIFICANT_WORDS: usize = 2;
/// A question with this many significant words can be understood on its own, even if it contains a
/// word such as "it".
const MANY_SIGNIFICANT_WORDS: usize = 4;
/// Minimum length of a significant word, unless it has a digit or is outside ASCII.
const MIN_WORD_CHARS: usize = 3;

/// Words that carry no meaning of their own: English, German, French and Spanish.
const FUNCTION_WORDS: &str = "about all also and any are been but can could did does for from had has have how into just may might more \
    most much many must not now off one only other our out over please shall should some still such tell than the then too under very was \
    were what when where which while who whom whose why will with would you your \
    aber als auch auf aus bei bin bis bitte das dass dem den der des die doch durch ein eine einem einen einer eines \
    f\u{fc}r gibt hat haben ist kann mein mehr mit nach nicht noch nur oder sehr sich sind soll \u{fc}ber und uns vom von vor wann war warum \
    was weil welche welcher welches wer werden wie wieviel wird wo wurde zum zur \
    aux avec cette combien comment dans des est les mais o\u{f9} par pas plus pour pourquoi quand que quel quelle qui quoi sont sur une \
    como con cual cu\u{e1}l cuando cu\u{e1}ndo cu\u{e1}nto del d\u{f3}nde las los para pero por qu\u{e9} qui\u{e9}n son una";
/// Words that refer to something said before.
const REFERENCES: &str = "it its itself they them their theirs he him his she her hers this that these those there former latter same again \
    er sie es ihn ihm ihr ihre ihren ihrem ihrer ihres sein seine seinen seinem seiner seines dies diese diesem diesen dieser dieses dessen \
    deren dort davon dazu daf\u{fc}r damit daran \
    il elle ils elles lui son sa ses leur leurs ce cela \u{e7}a celui celle \
    \u{e9}l ella ellos ellas su sus eso esto ese esa este esta all\u{ed}";
/// First words of a question that continues another.
const CONTINUATIONS: &str =
    "and but or also then so und aber oder auch dann et mais ou alors y e pero o entonces";

fn contains(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|other| other == word)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// The words that are neither short nor function words, in order and without repetitions.
pub(super) fn significant_words(text: &str) -> Vec<&str> {
    let mut significant: Vec<&str> = Vec::new();
    for word in words(text) {
        let is_long = word.chars().count() >= MIN_WORD_CHARS;
        let is_special = word.contains(char::is_numeric) || !word.is_ascii();
        let lower = word.to_lowercase();
        let is_function_word = contains(FUNCTION_WORDS, &lower) || contains(REFERENCES, &lower);
        if (is_long || is_special) && !is_function_word && !significant.contains(&word) {
            significant.push(word);
        }
    }
    significant
}

/// Whether the question needs the previous one to be understood.
pub(super) fn is_follow_up(question: &str) -> bool {
    let significant = significant_words(question).len();
    let mut words = words(question).map(str::to_lowercase);
    let continues = words
        .next()
        .is_some_and(|first| contains(CONTINUATIONS, &first) || contains(REFERENCES, &first));
    significant < MIN_SIGNIFICANT_WORDS
        || (significant < MANY_SIGNIFICANT_WORDS
            && (continues || words.any(|word| contains(REFERENCES, &word))))
}
