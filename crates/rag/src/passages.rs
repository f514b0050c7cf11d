//! The chunks that a search found -> passages to read: neighbours joined, what is there twice said once, within a number of tokens.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use uuid::Uuid;

use crate::{Tokens, content_sha256};

/// Stands between two chunks whose texts do not meet: what is between them is white space.
const GAP: &str = "\n";

/// A chunk that a search found, or the neighbour of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Whose chunk it is.
    pub document: Uuid,
    /// Which of its chunks.
    pub ordinal: i32,
    /// Its page, from 1.
    pub page: u32,
    /// Where it begins in the document's text, in characters.
    pub char_offset: usize,
    /// What it says.
    pub text: String,
    /// How near it is to the question, higher is nearer; `None`: it stands beside one that was found.
    pub score: Option<f32>,
}

/// A passage, as a model is given it and people are shown it.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// From 1: what a citation names.
    pub number: u32,
    /// Whose text it is.
    pub document: Uuid,
    /// The page of what was found: where a citation leads.
    pub page: u32,
    /// First page, from 1.
    pub page_from: u32,
    /// Last page.
    pub page_to: u32,
    /// What it says.
    pub text: String,
    /// The bytes of the text that were found; the rest stands around them.
    pub found: Range<usize>,
    /// Where in the text a page begins, and which.
    pub pages: Vec<(usize, u32)>,
    /// How near the best of it is to the question.
    pub score: f32,
    /// Its tokens.
    pub token_count: usize,
}

impl Passage {
    /// The page on which this byte of the text stands.
    pub fn page_at(&self, byte: usize) -> u32 {
        let after = self.pages.partition_point(|(start, _)| *start <= byte);
        self.pages
            .get(after.saturating_sub(1))
            .map_or(self.page, |(_, page)| *page)
    }
}

type Place = (Uuid, i32);

/// Of so many visible characters one is a dot at least in the lines of a table of contents, and in no prose.
const LEADER_EVERY: usize = 4;

/// Makes passages of what was found: the nearest first, numbered from 1, together no more than `max_tokens`. Neighbours are taken while
/// there is room for them, those of the nearest first. Of chunks that say the same only the nearest is taken. Tables of contents, which
/// name everything and say nothing of it, are not.
pub fn passages(candidates: Vec<Candidate>, max_tokens: usize) -> Vec<Passage> {
    let tokens = Tokens::new();
    let mut found: Vec<(f32, Place)> = candidates
        .iter()
        .filter_map(|candidate| {
            let score = candidate.score.filter(|score| score.is_finite())?;
            (!is_contents(&candidate.text))
                .then_some((score, (candidate.document, candidate.ordinal)))
        })
        .collect();
    found.sort_by(|(left_score, left), (right_score, right)| {
        right_score.total_cmp(left_score).then(left.cmp(right))
    });
    let mut all = BTreeMap::new();
    for candidate in candidates {
        let place = (candidate.document, candidate.ordinal);
        // Found and beside something found: found counts.
        if candidate.score.is_some() || !all.contains_key(&place) {
            all.insert(place, candidate);
        }
    }
    let mut choice = Choice {
        tokens: &tokens,
        room: max_tokens,
        said: HashSet::new(),
        chosen: BTreeMap::new(),
    };
    for (_, place) in &found {
        choice.take(*place, &all);
    }
    let chosen: Vec<Place> = found
        .iter()
        .map(|(_, place)| *place)
        .filter(|place| choice.chosen.contains_key(place))
        .collect();
    for (document, ordinal) in chosen {
        choice.take((document, ordinal.saturating_add(1)), &all);
        choice.take((document, ordinal.saturating_sub(1)), &all);
    }
    let mut passages: Vec<Passage> = runs(choice.chosen.into_values())
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

struct Choice<'tokens, 'all> {
    tokens: &'tokens Tokens,
    room: usize,
    said: HashSet<[u8; 32]>,
    chosen: BTreeMap<Place, &'all Candidate>,
}

impl<'all> Choice<'_, 'all> {
    fn take(&mut self, place: Place, all: &'all BTreeMap<Place, Candidate>) {
        let Some(candidate) = all.get(&place) else {
            return;
        };
        let count = self.tokens.count(&candidate.text);
        if count > self.room || self.chosen.contains_key(&place) {
            return;
        }
        if self.said.insert(content_sha256(&candidate.text)) {
            self.room -= count;
            self.chosen.insert(place, candidate);
        }
    }
}

/// Whether it is lines of titles with dots up to their page numbers.
fn is_contents(text: &str) -> bool {
    let visible = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .count();
    let dots = text
        .chars()
        .filter(|character| matches!(character, '.' | '\u{2024}' | '\u{b7}'))
        .count();
    dots * LEADER_EVERY > visible
}

/// Chunks that follow each other in their document.
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
        let fresh = if candidate.char_offset > end {
            text.push_str(GAP);
            candidate.text.as_str()
        } else {
            after_chars(&candidate.text, end - candidate.char_offset)
        };
        let start = text.len();
        text.push_str(fresh);
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
