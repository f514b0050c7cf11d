//! Builds the passages to read from the chunks that a search found: neighbors are joined,
//! duplicates are removed, and the number of tokens is limited.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use uuid::Uuid;

use crate::contents::{has_dot_leaders, is_contents};
use crate::{Tokens, content_sha256};

/// A chunk that contains at least this share of the question's terms shows what the question is about.
const MIN_WORDS_OF_SUBJECT: f32 = 0.5;
/// A chunk with a smaller share of the terms of the best one may be about something else.
const MIN_SHARE_OF_BEST: f32 = 0.5;
/// Separator of two chunks whose texts do not adjoin. Only white space is between them.
const GAP: &str = "\n";

/// A chunk that a search found, or a neighbor of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub document: Uuid,
    /// Index of the chunk in the document.
    pub ordinal: i32,
    /// Page number, starting at 1.
    pub page: u32,
    /// Start in the document's text, in characters.
    pub char_offset: usize,
    pub text: String,
    /// Similarity to the question; higher is more similar. `None` for a neighbor of a chunk that
    /// was found.
    pub score: Option<f32>,
    /// Similarity in meaning. `None` without an embedding.
    pub meaning: Option<f32>,
    /// The weighted share of the question's terms that the text contains.
    pub words: f32,
}

impl Candidate {
    /// Whether this chunk is about something else than the best one: it lacks most of the question's
    /// terms that the best one contains, and is not more similar in meaning. Another tower has a
    /// height as well.
    fn is_about_another_subject(&self, best: &Self) -> bool {
        let is_less_similar = match (self.meaning, best.meaning) {
            (Some(meaning), Some(best)) => meaning <= best,
            _ => true,
        };
        best.words >= MIN_WORDS_OF_SUBJECT
            && self.words < best.words * MIN_SHARE_OF_BEST
            && is_less_similar
    }
}

/// A passage as it is given to the model and shown to the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Number of the passage, starting at 1, used in citations.
    pub number: u32,
    pub document: Uuid,
    /// Page of the best match, to which a citation leads.
    pub page: u32,
    /// First page, starting at 1.
    pub page_from: u32,
    pub page_to: u32,
    pub text: String,
    /// Byte range of the best match in the text. The rest is context.
    pub found: Range<usize>,
    /// Start of each page in the text, with its page number.
    pub pages: Vec<(usize, u32)>,
    /// Similarity of the best match to the question.
    pub score: f32,
    pub token_count: usize,
}

impl Passage {
    /// Splits a range of the text at the ends of pages. Returns the parts with their page numbers.
    pub fn by_page(&self, range: Range<usize>) -> Vec<(u32, Range<usize>)> {
        let starts = self.pages.iter().map(|(start, _)| *start);
        let ends = starts.skip(1).chain([self.text.len()]);
        self.pages
            .iter()
            .zip(ends)
            .map(|((start, page), end)| (*page, range.start.max(*start)..range.end.min(end)))
            .filter(|(_, part)| part.start < part.end)
            .collect()
    }

    /// Returns the page that contains this byte of the text.
    pub fn page_at(&self, byte: usize) -> u32 {
        let after = self.pages.partition_point(|(start, _)| *start <= byte);
        self.pages
            .get(after.saturating_sub(1))
            .map_or(self.page, |(_, page)| *page)
    }
}

type ChunkKey = (Uuid, i32);

/// Builds passages from search results: the nearest first, numbered from 1, with at most
/// `max_tokens` in total. Neighbors are added while the token limit allows it, those of the nearest
/// first. Of chunks with the same text only the nearest is used. Tables of contents and indexes are
/// skipped if anything else was found, because they mention every topic and explain none. Chunks about
/// another subject than the nearest one are at most neighbors.
pub fn passages(mut candidates: Vec<Candidate>, max_tokens: usize) -> Vec<Passage> {
    let tokens = Tokens::new();
    candidates.retain(|candidate| !has_dot_leaders(&candidate.text));
    let is_found = |candidate: &Candidate| candidate.score.is_some_and(f32::is_finite);
    if candidates
        .iter()
        .any(|candidate| is_found(candidate) && !is_contents(&candidate.text))
    {
        candidates.retain(|candidate| !is_contents(&candidate.text));
    }
    let best = candidates
        .iter()
        .filter(|candidate| is_found(candidate))
        .max_by(|left, right| {
            left.score
                .unwrap_or_default()
                .total_cmp(&right.score.unwrap_or_default())
        })
        .cloned();
    if let Some(best) = best {
        for candidate in &mut candidates {
            if candidate.is_about_another_subject(&best) {
                candidate.score = None;
            }
        }
    }
    let mut found: Vec<(f32, ChunkKey)> = candidates
        .iter()
        .filter_map(|candidate| {
            let score = candidate.score.filter(|score| score.is_finite())?;
            Some((score, (candidate.document, candidate.ordinal)))
        })
        .collect();
    found.sort_by(|(left_score, left), (right_score, right)| {
        right_score.total_cmp(left_score).then(left.cmp(right))
    });
    let mut all = BTreeMap::new();
    for candidate in candidates {
        let key = (candidate.document, candidate.ordinal);
        // A chunk that is both found and a neighbor counts as found.
        if candidate.score.is_some() || !all.contains_key(&key) {
            all.insert(key, candidate);
        }
    }
    let mut selection = Selection {
        tokens: &tokens,
        remaining_tokens: max_tokens,
        seen_texts: HashSet::new(),
        chosen: BTreeMap::new(),
    };
    for (_, key) in &found {
        selection.add(*key, &all);
    }
    let chosen: Vec<ChunkKey> = found
        .iter()
        .map(|(_, key)| *key)
        .filter(|key| selection.chosen.contains_key(key))
        .collect();
    for (document, ordinal) in chosen {
        selection.add((document, ordinal.saturating_add(1)), &all);
        selection.add((document, ordinal.saturating_sub(1)), &all);
    }
    let mut passages: Vec<Passage> = runs(selection.chosen.into_values())
        .into_iter()
        .filter_map(|run| join(&run, &tokens))
        .collect();
    passages.sort_by(|left, right| right.score.total_cmp(&left.score));
    // Joined texts have a few tokens more or fewer than their parts.
    while passages.len() > 1
        && passages
            .iter()
            .map(|passage| passage.token_count)
            .sum::<usize>()
            > max_tokens
    {
        passages.pop();
    }
    for (number, passage) in (1..).zip(&mut passages) {
        passage.number = number;
    }
    passages
}

struct Selection<'tokens, 'all> {
    tokens: &'tokens Tokens,
    remaining_tokens: usize,
    seen_texts: HashSet<[u8; 32]>,
    chosen: BTreeMap<ChunkKey, &'all Candidate>,
}

impl<'all> Selection<'_, 'all> {
    fn add(&mut self, key: ChunkKey, all: &'all BTreeMap<ChunkKey, Candidate>) {
        let Some(candidate) = all.get(&key) else {
            return;
        };
        let count = self.tokens.count(&candidate.text);
        if count > self.remaining_tokens || self.chosen.contains_key(&key) {
            return;
        }
        if self.seen_texts.insert(content_sha256(&candidate.text)) {
            self.remaining_tokens -= count;
            self.chosen.insert(key, candidate);
        }
    }
}

/// Groups chunks that follow each other in their document.
fn runs<'all>(chosen: impl Iterator<Item = &'all Candidate>) -> Vec<Vec<&'all Candidate>> {
    let mut runs: Vec<Vec<&Candidate>> = Vec::new();
    for candidate in chosen {
        let follows = runs.last().and_then(|run| run.last()).is_some_and(|last| {
            last.document == candidate.document
                && last.ordinal.checked_add(1) == Some(candidate.ordinal)
        });
        match runs.last_mut() {
            Some(run) if follows => run.push(candidate),
            _ => runs.push(vec![candidate]),
        }
    }
    runs
}

fn join(run: &[&Candidate], tokens: &Tokens) -> Option<Passage> {
    let first = run.first()?;
    let best = run
        .iter()
        .filter(|candidate| candidate.score.is_some())
        .max_by(|left, right| {
            left.score
                .unwrap_or(f32::MIN)
                .total_cmp(&right.score.unwrap_or(f32::MIN))
        })?;
    let mut text = String::new();
    let mut found = 0..0;
    let mut end = first.char_offset;
    let mut pages: Vec<(usize, u32)> = Vec::new();
    for candidate in run {
        let new_text = if candidate.char_offset > end {
            text.push_str(GAP);
            candidate.text.as_str()
        } else {
            after_chars(&candidate.text, end - candidate.char_offset)
        };
        let start = text.len();
        text.push_str(new_text);
        if pages.last().is_none_or(|(_, page)| *page != candidate.page) {
            pages.push((start, candidate.page));
        }
        if candidate.ordinal == best.ordinal {
            found = start..text.len();
        }
        end = end.max(candidate.char_offset + candidate.text.chars().count());
    }
    Some(Passage {
        number: 0,
        document: first.document,
        page: best.page,
        page_from: run.iter().map(|candidate| candidate.page).min()?,
        page_to: run.iter().map(|candidate| candidate.page).max()?,
        pages,
        token_count: tokens.count(&text),
        text,
        found,
        score: best.score?,
    })
}

fn after_chars(text: &str, characters: usize) -> &str {
    let mut rest = text.chars();
    if characters > 0 {
        rest.nth(characters - 1);
    }
    rest.as_str()
}
