//! Protocol between the two processes. The parent sends one line of JSON with the limits, followed
//! by the file. The child sends one line of JSON per message. Messages are tagged externally, because
//! serde would keep a copy of the words of a page to find an internal tag.

use serde::{Deserialize, Serialize};

use crate::confine::Confinement;
use crate::document_error::DocumentError;
use crate::page::Page;
use crate::report::PageReport;

/// Maximum length of a message: a page with the most text and words allowed by the default limits.
/// It bounds the memory of the parent process, which reads one message at a time.
pub(crate) const MAX_MESSAGE_BYTES: u64 = 12 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The child is sandboxed and starts to read.
    Confined {
        level: Confinement,
    },
    /// `read` of `pages` pages have been processed.
    Progress {
        read: u32,
        pages: u32,
    },
    /// The first reader failed with this error and the second reader starts. If the second ends the
    /// child, this error is reported.
    Fallback {
        error: DocumentError,
    },
    Page(Page),
    /// Last message of a document that was read.
    Done {
        report: PageReport,
        reader: ReaderKind,
    },
    /// Last message of a document that could not be read.
    Failed(DocumentError),
}

/// The reader that produced the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReaderKind {
    /// The reader that is tried first.
    Hayro,
    /// The reader that is tried if the first fails.
    PdfExtract,
}
