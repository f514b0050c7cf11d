//! Cuts the pages of a document into chunks with positions that fit an embedding model.
//!
//! The texts of the pages are joined, so that every chunk has an offset in one text. Each page is
//! split by meaning (paragraphs, lines, sentences, words, in this order of preference) into
//! segments, and each segment is preceded by some of the text before it on the page. No chunk
//! crosses the end of a page, so that a citation leads to the page that contains the cited text.
//! The same pages and configuration always give the same chunks.

mod boxes;
mod document_text;
mod overlap;
mod split;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Tokens;
pub use boxes::MAX_BOXES;
use document_text::DocumentText;
pub use document_text::PAGE_BREAK;

/// Version of the chunking rules. It must be increased whenever any chunk of any document changes;
/// documents with an older version are ingested again.
pub const CHUNKING_VERSION: i32 = 2;
/// Default maximum number of tokens of a chunk. The small local model reads 256 word pieces, which
/// are slightly shorter than these tokens. Retrieval joins neighbors, so small chunks are not a
/// disadvantage there.
pub const CHUNK_TOKENS: usize = 192;
/// Default maximum number of tokens that repeat the previous chunk.
pub const OVERLAP_TOKENS: usize = 32;
/// Minimum chunk size. Smaller chunks could not hold the longest characters.
const MIN_CHUNK_TOKENS: usize = 16;

/// Size limits of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkConfig {
    max_tokens: usize,
    overlap_tokens: usize,
}

/// Error of [`ChunkConfig::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChunkConfig {
    #[error("the chunk size must be at least {MIN_CHUNK_TOKENS} tokens")]
    TooSmall,
    #[error("the overlap must be at most half the chunk size")]
    Overlap,
}

impl ChunkConfig {
    /// A configuration for chunks of at most `max_tokens`, of which at most `overlap_tokens` repeat
    /// the previous text.
    pub fn new(max_tokens: usize, overlap_tokens: usize) -> Result<Self, InvalidChunkConfig> {
        if max_tokens < MIN_CHUNK_TOKENS {
            return Err(InvalidChunkConfig::TooSmall);
        }
        if overlap_tokens > max_tokens / 2 {
            return Err(InvalidChunkConfig::Overlap);
        }
        Ok(Self {
            max_tokens,
            overlap_tokens,
        })
    }
}

impl Default for ChunkConfig {
    fn default() -> Self {
        Self {
            max_tokens: CHUNK_TOKENS,
            overlap_tokens: OVERLAP_TOKENS,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Page<'page> {
    /// Page number, starting at 1 and ascending.
    pub number: u32,
    pub text: &'page str,
    /// Positions of its words, in the order of the text. If empty, the chunks have no boxes.
    pub words: &'page [PositionedWord],
    /// Its tables, in the order of the text.
    pub tables: &'page [Table],
}

/// A table on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Byte range in the page's text.
    pub range: Range<usize>,
    /// The lines that name its columns, at the start of the range or on a previous page. Empty if
    /// there are none.
    pub header: String,
}

/// A word with its position on the page. Lengths are in points from the top left.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionedWord {
    /// Byte range in the page's text.
    pub range: Range<usize>,
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

/// A rectangle to highlight on a page. Lengths are in points from the top left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Page number, starting at 1.
    pub page: u32,
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

/// A segment of a document's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Index of the chunk in the document, starting at 0.
    pub ordinal: i32,
    /// First page, starting at 1.
    pub page_from: u32,
    /// Last page. With the current rules it equals `page_from`.
    pub page_to: u32,
    /// Start in the [`document_text`], in characters. If the text starts with the header of a
    /// table, the start minus the length of the header, so that the end is correct.
    pub char_offset: usize,
    /// Text: a segment of the [`document_text`] without surrounding white space, after the header
    /// of the table in which it starts. NUL, which PostgreSQL cannot store, is replaced by U+FFFD.
    pub text: String,
    pub token_count: usize,
    /// Position, one box per line.
    pub boxes: Vec<Bounds>,
    /// SHA-256 of the text, used to embed the same text only once.
    pub content_sha256: [u8; 32],
}

/// Cuts a document into chunks. A document without text has none.
pub fn chunk(pages: &[Page<'_>], config: &ChunkConfig) -> Vec<Chunk> {
    let mut chunker = Chunker::new(*config);
    pages.iter().flat_map(|page| chunker.page(page)).collect()
}

/// Cuts a document into chunks page by page, so that no more than one page with its words has to be
/// in memory.
#[derive(Debug)]
pub struct Chunker {
    config: ChunkConfig,
    tokens: Tokens,
    next_ordinal: i32,
    /// Where the next page with text starts in the [`document_text`], in characters.
    next_offset: usize,
}

impl Chunker {
    pub fn new(config: ChunkConfig) -> Self {
        Self {
            config,
            tokens: Tokens::new(),
            next_ordinal: 0,
            next_offset: 0,
        }
    }

    /// The chunks of the next page.
    pub fn page(&mut self, page: &Page<'_>) -> Vec<Chunk> {
        let document = DocumentText::new(std::slice::from_ref(page));
        let text = document.text();
        if text.is_empty() {
            return Vec::new();
        }
        let segments = split::split(
            text,
            0..text.len(),
            self.config.max_tokens - self.config.overlap_tokens,
            &self.tokens,
        );
        let mut offset = CharOffset::default();
        let mut before: Option<Range<usize>> = None;
        let mut chunks = Vec::with_capacity(segments.len());
        for segment in segments {
            let first = before.map_or(segment.start, |before| {
                overlap::start(text, before.start, &segment, &self.config, &self.tokens)
            });
            let header = table_header(page, &segment, &self.config, &self.tokens);
            // The header takes the place of the text before.
            let start = if header.is_some() {
                segment.start
            } else {
                first
            };
            let range = start..segment.end;
            let mut content = text[range.clone()].replace('\0', "\u{fffd}");
            let mut char_offset = self.next_offset + offset.of(text, range.start);
            if let Some(header) = header {
                // As long as the white space before, so that joined chunks have no rest of it.
                let gap = if segment.start == 0 { PAGE_BREAK } else { "\n" };
                content.insert_str(0, gap);
                content.insert_str(0, &header.replace('\0', "\u{fffd}"));
                char_offset = char_offset.saturating_sub(header.chars().count() + gap.len());
            }
            chunks.push(Chunk {
                ordinal: self.next_ordinal,
                page_from: page.number,
                page_to: page.number,
                char_offset,
                token_count: self.tokens.count(&content),
                boxes: boxes::boxes(&document, &range),
                content_sha256: content_sha256(&content),
                text: content,
            });
            self.next_ordinal += 1;
            before = Some(segment);
        }
        self.next_offset += text.chars().count() + PAGE_BREAK.chars().count();
        chunks
    }
}

/// Returns the header of the table in which a segment starts, if both fit into a chunk.
fn table_header<'page>(
    page: &Page<'page>,
    segment: &Range<usize>,
    config: &ChunkConfig,
    tokens: &Tokens,
) -> Option<&'page str> {
    let start = segment.start;
    let table = page
        .tables
        .iter()
        .find(|table| table.range.contains(&start) && !table.header.is_empty())?;
    let rows = page.text.get(table.range.clone())?;
    let is_on_page = rows.starts_with(&table.header);
    let first_row = table.range.start + if is_on_page { table.header.len() } else { 0 };
    let content = page.text.get(segment.clone())?;
    let fits = tokens.count(&table.header) + tokens.count(content) < config.max_tokens;
    (start >= first_row && fits).then_some(table.header.as_str())
}

/// Returns the text to which offsets refer: all pages that have text, separated by [`PAGE_BREAK`].
pub fn document_text(pages: &[Page<'_>]) -> String {
    DocumentText::new(pages).into_text()
}

/// Returns the SHA-256 of a chunk's text.
pub fn content_sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Returns the id of a chunk: a version 8 UUID that is the same whenever the same document is
/// chunked by the same rules.
pub fn chunk_id(document: Uuid, ordinal: i32) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"chunk")
        .chain_update(document.as_bytes())
        .chain_update(CHUNKING_VERSION.to_be_bytes())
        .chain_update(ordinal.to_be_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Converts byte offsets to character offsets. The offsets must be ascending, so that each part of
/// the text is counted once.
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
