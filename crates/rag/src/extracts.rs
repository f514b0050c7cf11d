//! Where no language model writes: the sentences of the passages that answer best, quoted word for word.

use std::collections::HashSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use crate::Passage;

/// So many passages are quoted at most.
pub const MAX_EXTRACTS: usize = 4;
/// A quote goes on while it has fewer characters than this.
const QUOTE_CHARS_ENOUGH: usize = 240;
/// And ends at so many, in the middle of a sentence if need be.
const QUOTE_CHARS_MAX: usize = 600;
/// Words with the same beginning of so many characters are taken for forms of one word.
const STEM_CHARS: usize = 5;
/// Shorter words of a question are articles and the like, in most languages of letters.
const WORD_CHARS_MIN: usize = 3;

/// A quote from a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The passage's number.
    pub number: u32,
    /// The page where it begins.
    pub page: u32,
    /// Its own words, with all white space made single spaces.
    pub quote: String,
}

/// Quotes of each of the nearest passages what has most of the question's words, in the order of the passages.
pub fn extracts(question: &str, passages: &[Passage]) -> Vec<Extract> {
    let asked: HashSet<String> = words(question)
        .filter(|word| word.chars().count() >= WORD_CHARS_MIN || !word.is_ascii())
        .collect();
    passages
        .iter()
        .take(MAX_EXTRACTS)
        .filter_map(|passage| {
            let (start, quote) = quote(passage, &asked)?;
            Some(Extract {
                number: passage.number,
                page: passage.page_at(start),
                quote,
            })
        })
        .collect()
}

/// Where in the passage the quote begins, and what it says.
fn quote(passage: &Passage, asked: &HashSet<String>) -> Option<(usize, String)> {
    let sentences = sentences(&passage.text);
    let mut best: Option<(f32, usize)> = None;
    for (index, sentence) in sentences.iter().enumerate() {
        let mut score = shared(&passage.text[sentence.clone()], asked);
        if passage.found.contains(&sentence.start) {
            score += 0.25;
        }
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, index));
        }
    }
    let (_, first) = best?;
    let Range { start, mut end } = sentences.get(first)?.clone();
    // The space before a sentence may stand on the page before.
    let start =
        start + passage.text[start..end].len() - passage.text[start..end].trim_start().len();
    for sentence in &sentences[first + 1..] {
        if passage.text[start..end].chars().count() >= QUOTE_CHARS_ENOUGH
            || passage.text[start..sentence.end].chars().count() > QUOTE_CHARS_MAX
        {
            break;
        }
        end = sentence.end;
    }
    let text = passage.text[start..end]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    (!text.is_empty()).then(|| (start, shortened(&text)))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => text.to_owned(),
        Some((limit, _)) => {
            let at = text[..limit].rfind(' ').unwrap_or(limit);
            format!("{} …", &text[..at])
        }
    }
}

/// Where sentences stand: up to a mark of their end that white space follows, or to an empty line.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let ends = match character {
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            '。' | '！' | '？' => true,
            '\n' => next == Some('\n'),
            _ => false,
        };
        if ends {
            let end = at + character.len_utf8();
            sentences.push(start..end);
            start = end;
        }
    }
    sentences.push(start..text.len());
    sentences.retain(|sentence| !text[sentence.clone()].trim().is_empty());
    sentences
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.nfkc()
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

/// How many of the words asked for a sentence has; a form of one counts for half.
fn shared(sentence: &str, asked: &HashSet<String>) -> f32 {
    let has: HashSet<String> = words(sentence).collect();
    asked
        .iter()
        .map(|word| {
            if has.contains(word) {
                1.0
            } else if stem(word).is_some_and(|stem| has.iter().any(|other| other.starts_with(stem)))
            {
                0.5
            } else {
                0.0
            }
        })
        .sum()
}

fn stem(word: &str) -> Option<&str> {
    let (end, _) = word.char_indices().nth(STEM_CHARS)?;
    Some(&word[..end])
}
