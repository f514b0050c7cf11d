//! A document's pages -> chunks that an embedding model reads whole, each with its place.
//!
//! The pages' texts are joined, so that every chunk has its offset in one text. Each page is cut by meaning (paragraphs, lines, sentences,
//! words, in this order of preference) into stretches, and each stretch is given some of what stands before it on its page. No chunk
//! goes over a page's end: who follows a citation is to find what was cited on the page that it names. The same pages and rules always
//! give the same chunks.

mod boxes;
mod joined;
mod overlap;
mod split;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Tokens;
pub use boxes::MAX_BOXES;
use joined::Joined;
pub use joined::PAGE_BREAK;

/// The version of these rules. Whatever changes any chunk of any document raises it: documents with an older one are read again.
pub const CHUNKING: i32 = 1;
/// The most tokens of a chunk by default. A small local model reads 256 word pieces, which are a little shorter than these tokens; neighbours are
/// joined again at retrieval, so that small chunks cost nothing there.
pub const CHUNK_TOKENS: usize = 192;
/// How many of them at most repeat what the chunk before says.
pub const OVERLAP_TOKENS: usize = 32;
/// Smaller chunks would not hold the longest characters.
const CHUNK_TOKENS_MIN: usize = 16;

/// How large chunks may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    max_tokens: usize,
    overlap_tokens: usize,
}

/// Rules that no text can be cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Chunks of so few tokens.
    #[error("a chunk needs at least {CHUNK_TOKENS_MIN} tokens")]
    TooSmall,
    /// An overlap of more than half a chunk.
    #[error("the overlap may be half a chunk at most")]
    Overlap,
}

impl Rules {
    /// Chunks of at most `max_tokens`, of which at most `overlap_tokens` repeat what stands before.
    pub fn new(max_tokens: usize, overlap_tokens: usize) -> Result<Self, RulesError> {
        if max_tokens < CHUNK_TOKENS_MIN {
            return Err(RulesError::TooSmall);
        }
        if overlap_tokens > max_tokens / 2 {
            return Err(RulesError::Overlap);
        }
        Ok(Self {
            max_tokens,
            overlap_tokens,
        })
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_tokens: CHUNK_TOKENS,
            overlap_tokens: OVERLAP_TOKENS,
        }
    }
}

/// A page, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Page<'page> {
    /// From 1, and rising from page to page.
    pub number: u32,
    /// What it says.
    pub text: &'page str,
    /// Where its words stand, in the order of the text. May be empty: then the chunks have no boxes.
    pub words: &'page [PlacedWord],
}

/// Where on its page a word stands. Lengths are points, measured from the top left.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedWord {
    /// Its bytes within the page's text.
    pub range: Range<usize>,
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// A rectangle to mark on a page. Lengths are points, measured from the top left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The page, from 1.
    pub page: u32,
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// A stretch of a document's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// From 0, without gaps.
    pub ordinal: i32,
    /// The page it begins on, from 1.
    pub page_from: u32,
    /// The page it ends on: by these rules the same.
    pub page_to: u32,
    /// Where it begins in the [`document_text`], in characters.
    pub char_offset: usize,
    /// What it says: a stretch of the [`document_text`], without white space around it. A NUL, which PostgreSQL cannot keep, is U+FFFD.
    pub text: String,
    /// Its tokens.
    pub token_count: usize,
    /// Where it stands, a box a line.
    pub boxes: Vec<Bounds>,
    /// Of the text: what was embedded once need not be embedded again.
    pub content_sha256: [u8; 32],
}

/// Cuts a document into chunks. No text, no chunks.
pub fn chunk(pages: &[Page<'_>], rules: &Rules) -> Vec<Chunk> {
    let joined = Joined::new(pages);
    let text = joined.text();
    let tokens = Tokens::new();
    let stretches = joined.pages().flat_map(|page| {
        split::split(text, page, rules.max_tokens - rules.overlap_tokens, &tokens)
    });
    let mut place = CharOffset::default();
    let mut before: Option<Range<usize>> = None;
    let mut chunks = Vec::new();
    for (ordinal, stretch) in (0..).zip(stretches) {
        let first = before.map_or(stretch.start, |before| {
            let earliest = before.start.max(joined.page_start(stretch.start));
            overlap::start(text, earliest, &stretch, rules, &tokens)
        });
        let range = first..stretch.end;
        let content = text[range.clone()].replace('\0', "\u{fffd}");
        chunks.push(Chunk {
            ordinal,
            page_from: joined.page_number(range.start),
            page_to: joined.page_number(range.end - 1),
            char_offset: place.of(text, range.start),
            token_count: tokens.count(&content),
            boxes: boxes::boxes(&joined, &range),
            content_sha256: content_sha256(&content),
            text: content,
        });
        before = Some(stretch);
    }
    chunks
}

/// The text that offsets count in: the pages that say anything, with [`PAGE_BREAK`] between them.
pub fn document_text(pages: &[Page<'_>]) -> String {
    Joined::new(pages).into_text()
}

/// The SHA-256 of a chunk's text.
pub fn content_sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The id of a document's chunk: the same whenever the same document is cut by the same rules. (A version 8 UUID: of a hash.)
pub fn chunk_id(document: Uuid, ordinal: i32) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"chunk")
        .chain_update(document.as_bytes())
        .chain_update(CHUNKING.to_be_bytes())
        .chain_update(ordinal.to_be_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Bytes to characters for offsets that never fall: each stretch of the text is counted once.
#[derive(Default)]
struct CharOffset {
    bytes: usize,
    characters: usize,
}

impl CharOffset {
    fn of(&mut self, text: &str, bytes: usize) -> usize {
        self.characters += text[self.bytes..bytes].chars().count();
        self.bytes = bytes;
        self.characters
    }
}
