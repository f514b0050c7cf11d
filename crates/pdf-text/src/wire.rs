//! What the two processes say to each other: to the child one line of JSON with the limits and then the file's bytes, back one
//! line of JSON per event.

use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::refusal::Refusal;

/// An answer of the child never has a longer line than this: a page of the largest text allowed, with its words.
pub(crate) const LINE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// One line from the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    /// The child has shut itself in and begins to read.
    Confined {
        /// Whether the kernel keeps it from files and sockets.
        fully: bool,
    },
    /// So many pages of so many were looked at.
    Progress { read: u32, pages: u32 },
    /// The first reader found nothing, for this reason, and the second is asked. If that ends the child, the reason holds.
    Second { refusal: Refusal },
    /// A page, cleaned.
    Page(Page),
    /// The last line of a document that was read.
    Done {
        pages: u32,
        unreadable: Vec<u32>,
        opinion: Opinion,
    },
    /// The last line of a document that was not.
    Refused {
        #[serde(flatten)]
        refusal: Refusal,
    },
}

/// Which reader the text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Opinion {
    /// The reader that looks at every file.
    First,
    /// The reader that is asked when the first found nothing.
    Second,
}
