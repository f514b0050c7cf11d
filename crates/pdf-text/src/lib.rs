//! Extracts the text of PDF files, with the position of every word on its page, in a sandboxed
//! child process.
//!
//! [`Extractor`] starts the child process and sends it the file. The child gives up all privileges
//! that it does not need (`child`), reads glyphs with their positions (`readers`), builds words and
//! lines from them (`layout`), cleans the text (`clean`), and returns the result page by page. The
//! crate stores no file and logs nothing of a document's content.

mod characters;
pub mod child;
mod clean;
mod confine;
mod document;
mod document_error;
mod extractor;
mod garbled;
mod layout;
mod limits;
mod page;
mod readers;
mod report;
mod wire;

pub use document_error::DocumentError;
pub use extractor::{ExtractError, Extractor, ExtractorConfig, Progress};
pub use limits::Limits;
pub use page::{Extraction, Page, Table, Word};
pub use report::{PageKind, PageRange, PageReport};
