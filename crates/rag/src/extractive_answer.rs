//! Answers without a language model: quotes the sentences of the passages that match the question
//! best.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use crate::Passage;

pub const MAX_EXCERPTS: usize = 5;
/// Target length of a quote, in characters. Sentences are added until it is reached.
const TARGET_QUOTE_CHARS: usize = 240;
/// Maximum length of a quote, in characters. A longer sentence is truncated.
const MAX_QUOTE_CHARS: usize = 600;
/// Words with the same first characters, up to this number, are treated as forms of one word.
const STEM_CHARS: usize = 5;
/// Minimum length of a relevant word of the question. Shorter words are articles and the like in
/// most alphabetic languages.
const MIN_WORD_CHARS: usize = 3;

/// Added to the score of the sentences of the best match, in words of the question. The others are
/// its context.
const FOUND_BONUS: f32 = 0.5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub number: u32,
    /// Page of the sentence that answers best.
    pub page: u32,
    /// Text of the quote, with white space normalized to single spaces.
    pub quote: String,
}

/// Quotes the part of each of the nearest passages that shares most words with the question, in the
/// order of the passages.
pub fn extractive_answer(question: &str, passages: &[Passage]) -> Vec<Excerpt> {
    let sentences: Vec<Vec<Range<usize>>> = passages
        .iter()
        .take(MAX_EXCERPTS)
        .map(|passage| sentences(&passage.text))
        .collect();
    let all = passages
        .iter()
        .zip(&sentences)
        .flat_map(|(passage, ranges)| ranges.iter().map(|range| &passage.text[range.clone()]));
    let question_words = QuestionWords::new(question, all);
    passages
        .iter()
        .zip(&sentences)
        .filter_map(|(passage, sentences)| quote(passage, sentences, &question_words))
        .collect()
}

/// The words of a question, each with a weight: a word in few of the sentences to quote is more
/// specific.
struct QuestionWords(Vec<(String, f32)>);

impl QuestionWords {
    fn new<'text>(question: &str, sentences: impl Iterator<Item = &'text str>) -> Self {
        let asked: BTreeSet<String> = words(question)
            .filter(|word| word.chars().count() >= MIN_WORD_CHARS || !word.is_ascii())
            .collect();
        let mut counts: HashMap<&str, f32> = HashMap::new();
        let mut total = 0.0;
        for sentence in sentences {
            total += 1.0;
            let has: HashSet<String> = words(sentence).collect();
            for word in &asked {
                if occurrence(word, &has) > 0.0 {
                    *counts.entry(word).or_default() += 1.0;
                }
            }
        }
        let weight = |word: &String| {
            let count = counts.get(word.as_str()).copied().unwrap_or_default();
            ((1.0 + total) / (1.0_f32 + count)).ln_1p()
        };
        Self(
            asked
                .iter()
                .map(|word| (word.clone(), weight(word)))
                .collect(),
        )
    }

    /// Returns the weight of the words that a text contains. A form of a word counts half.
    fn shared(&self, text: &str) -> f32 {
        let has: HashSet<String> = words(text).collect();
        self.0
            .iter()
            .map(|(word, weight)| weight * occurrence(word, &has))
            .sum()
    }

    fn mean_weight(&self) -> f32 {
        let sum: f32 = self.0.iter().map(|(_, weight)| weight).sum();
        let count = u16::try_from(self.0.len().max(1)).unwrap_or(u16::MAX);
        sum / f32::from(count)
    }
}

fn quote(
    passage: &Passage,
    sentences: &[Range<usize>],
    question_words: &QuestionWords,
) -> Option<Excerpt> {
    let bonus = FOUND_BONUS * question_words.mean_weight();
    let mut best: Option<(f32, usize)> = None;
    for (index, sentence) in sentences.iter().enumerate() {
        let mut score = question_words.shared(&passage.text[sentence.clone()]);
        if passage.found.contains(&sentence.start) {
            score += bonus;
        }
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, index));
        }
    }
    let (_, first) = best?;
    let Range { start, mut end } = sentences.get(first)?.clone();
    let page = page_of(passage, start..end, question_words);
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
    (!text.is_empty()).then(|| Excerpt {
        number: passage.number,
        page,
        quote: shortened(&text),
    })
}

/// Returns the page of a sentence. If it spans pages, the one with most of the question's words, or
/// else with the longest part.
fn page_of(passage: &Passage, sentence: Range<usize>, question_words: &QuestionWords) -> u32 {
    passage
        .by_page(sentence.clone())
        .into_iter()
        .max_by(|(_, left), (_, right)| {
            let shared = |part: &Range<usize>| question_words.shared(&passage.text[part.clone()]);
            shared(left)
                .total_cmp(&shared(right))
                .then(left.len().cmp(&right.len()))
        })
        .map_or_else(|| passage.page_at(sentence.start), |(page, _)| page)
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

/// Returns the ranges of sentences. A sentence ends at punctuation followed by white space, at an
/// empty line, and at the end of a heading, a list item or a row of a table.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let ends = match character {
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            '。' | '！' | '？' => true,
            '\n' => ends_line(&text[start..at], &text[at + 1..]),
            _ => false,
        };
        if ends {
            let end = at + character.len_utf8();
            sentences.push(start..end);
            start = end;
        }
    }
    sentences.push(start..text.len());
    // The white space around a sentence may be on another page.
    sentences
        .into_iter()
        .map(|sentence| {
            let trimmed = text[sentence.clone()].trim_start();
            let start = sentence.end - trimmed.len();
            start..start + trimmed.trim_end().len()
        })
        .filter(|sentence| !sentence.is_empty())
        .collect()
}

/// Whether a sentence ends at a line break. It continues with a lower-case letter, or with a letter
/// of a script without case, except in a table, whose cells are separated by tabs.
fn ends_line(before: &str, after: &str) -> bool {
    let next_line = after.lines().next().unwrap_or_default();
    let continues = next_line
        .chars()
        .next()
        .is_some_and(|first| first.is_alphabetic() && !first.is_uppercase());
    !continues || before.contains('\t') || next_line.contains('\t')
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

/// How much of a word a text with these words contains: 1 for the word, a half for another form.
fn occurrence(word: &str, has: &HashSet<String>) -> f32 {
    if has.contains(word) {
        1.0
    } else if stem(word).is_some_and(|stem| has.iter().any(|other| other.starts_with(stem))) {
        0.5
    } else {
        0.0
    }
}

fn stem(word: &str) -> Option<&str> {
    let (end, _) = word.char_indices().nth(STEM_CHARS)?;
    Some(&word[..end])
}
