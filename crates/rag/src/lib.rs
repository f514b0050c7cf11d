//! The pure part of retrieval-augmented generation, without I/O and without a clock.
//!
//! In the order of the data flow: [`chunk()`] cuts the text of a document's pages into [`Chunk`]s
//! that fit an embedding model. [`terms()`] are the words of a question to search for. [`Fusion`]
//! ranks the chunks that a search found, and [`Relevance`] decides whether any of them is similar
//! enough to the question. [`passages()`] turns them into the passages that a model reads.
//! [`expanded_question`] and [`standalone_prompt`] turn a follow-up question into one that can be
//! searched. [`prompt()`] builds the prompt, [`AnswerParser`] validates the citations of the
//! answer while it is streamed, and [`extractive_answer()`] quotes the passages if no language
//! model is configured.
//!
//! Tokens are always those of `cl100k_base`, counted by [`Tokens`].

mod answer;
mod chunk;
mod contents;
mod conversation;
mod extractive_answer;
mod passages;
mod prompt;
mod relevance;
mod terms;
mod tokens;

pub use answer::{
    AnswerParser, AnswerPart, NOT_FOUND_MARKER, ParsedAnswer, cited_numbers, parts,
    without_citations,
};
pub use chunk::{
    Bounds, CHUNK_TOKENS, CHUNKING_VERSION, Chunk, ChunkConfig, Chunker, InvalidChunkConfig,
    MAX_BOXES, OVERLAP_TOKENS, PAGE_BREAK, Page, PositionedWord, Table, chunk, chunk_id,
    content_sha256, document_text,
};
pub use conversation::{expanded_question, history, standalone_prompt, standalone_question};
pub use extractive_answer::{Excerpt, MAX_EXCERPTS, extractive_answer};
pub use passages::{Candidate, Passage, passages};
pub use prompt::{Prompt, Turn, prompt};
pub use relevance::{Fusion, Relevance, Scale};
pub use terms::{MAX_TERMS, Term, terms};
pub use tokens::Tokens;
