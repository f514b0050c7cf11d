//! The pure part of retrieval: what is cut, chosen, asked and checked, without IO and without a clock.
//!
//! In the order of the data: [`chunk()`] cuts the text of a document's pages into [`Chunk`]s that an embedding model reads whole.
//! [`passages()`] makes of the chunks that a search found what a model is given to read; [`Relevance`] says whether anything is near enough
//! at all. [`prompt()`] asks the question, [`AnswerReader`] checks the citations of the answer while it streams, and [`extracts()`]
//! quotes the passages where no model writes.
//!
//! Tokens are those of `cl100k_base` everywhere, counted by [`Tokens`].

mod answer;
mod chunk;
mod extracts;
mod passages;
mod prompt;
mod relevance;
mod tokens;

pub use answer::{AnswerPart, AnswerReader, NOT_FOUND_MARK, Read, cited_numbers, parts};
pub use chunk::{
    Bounds, CHUNK_TOKENS, CHUNKING, Chunk, MAX_BOXES, OVERLAP_TOKENS, PAGE_BREAK, Page, PlacedWord,
    Rules, RulesError, chunk, chunk_id, content_sha256, document_text,
};
pub use extracts::{Extract, MAX_EXTRACTS, extracts};
pub use passages::{Candidate, Passage, passages};
pub use prompt::{Prompt, prompt};
pub use relevance::Relevance;
pub use tokens::Tokens;
