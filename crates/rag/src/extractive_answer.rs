//! Answers without a language model: quotes the sentences of the passages that match the question
//! best.

use std::collections::HashSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use crate::Passage;

pub const MAX_EXCERPTS: usize = 4;
/// Target length of a quote, in characters. Sentences are added until it is reached.
const TARGET_QUOTE_CHARS: usize = 240;
/// Maximum length of a quote, in characters. A longer sentence is truncated.
const MAX_QUOTE_CHARS: usize = 600;
/// Words with the same first characters, up to this number, are treated as forms of one word.
const STEM_CHARS: usize = 5;
/// Minimum length of a relevant word of the question. Shorter words are articles and the like in
/// most alphabetic languages.
const MIN_WORD_CHARS: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub number: u32,
    /// Page on which the quote starts.
    pub page: u32,
    /// Text of the quote, with white space normalized to single spaces.
    pub quote: String,
}

/// Quotes the part of each of the nearest passages that shares most words with the question, in the
/// order of the passages.
pub fn extractive_answer(question: &str, passages: &[Passage]) -> Vec<Excerpt> {
    let question_words: HashSet<String> = words(question)
        .filter(|word| word.chars().count() >= MIN_WORD_CHARS || !word.is_ascii())
        .collect();
    passages
        .iter()
        .take(MAX_EXCERPTS)
        .filter_map(|passage| {
            let (start, quote) = quote(passage, &question_words)?;
            Some(Excerpt {
                number: passage.number,
                page: passage.page_at(start),
                quote,
            })
        })
        .collect()
}

/// Returns the start of the quote in the passage and its text.
fn quote(passage: &Passage, question_words: &HashSet<String>) -> Option<(usize, String)> {
    let sentences = sentences(&passage.text);
    let mut best: Option<(f32, usize)> = None;
    for (index, sentence) in sentences.iter().enumerate() {
        let mut score = shared(&passage.text[sentence.clone()], question_words);
        if passage.found.contains(&sentence.start) {
            score += 0.25;
        }
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, index));
        }
    }
    let (_, first) = best?;
    let Range { start, mut end } = sentences.get(first)?.clone();
    // The space before a sentence may be on the previous page.
    let start =
        start + passage.text[start..end].len() - passage.text[start..end].trim_start().len();
    for sentence in &sentences[first + 1..] {
        if passage.text[start..end].chars().count() >= TARGET_QUOTE_CHARS
            || passage.text[start..sentence.end].chars().count() > MAX_QUOTE_CHARS
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
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        None => text.to_owned(),
        Some((limit, _)) => {
            let at = text[..limit].rfind(' ').unwrap_or(limit);
            format!("{} …", &text[..at])
        }
    }
}

/// Returns the ranges of sentences. A sentence ends at punctuation followed by white space, or at
/// an empty line.
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

/// Returns how many words of the question a sentence contains. A form of a word counts half.
fn shared(sentence: &str, question_words: &HashSet<String>) -> f32 {
    let has: HashSet<String> = words(sentence).collect();
    question_words
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
