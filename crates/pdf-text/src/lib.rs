//! Text of PDF files, with the place of every word on its page, read in a confined child process.
//!
//! The way of a document: [`Extractor`] starts the child and hands over the bytes; the child takes everything from itself that it
//! does not need (`child`), reads glyphs with their places (`readers`), makes words and lines of them (`layout`), makes clean
//! text of those (`clean`), and answers page by page. Nothing here keeps a file, and nothing of a document reaches a log.

pub mod child;
mod clean;
mod document;
mod extractor;
mod layout;
mod limits;
mod page;
mod readers;
mod refusal;
mod wire;

pub use extractor::{ExtractError, Extractor, ExtractorConfig, Progress};
pub use limits::Limits;
pub use page::{Extraction, Page, Word};
pub use refusal::Refusal;
