//! Documents as rows of the main database: what was promised, what arrived, and how far reading it came. What they say is in the
//! tenant's database and nowhere else.
//!
//! A document's way: [`begin()`] (row and quota at once, a URL to send the file with) -> [`complete()`] (what arrived is looked at,
//! the job is added) -> ingestion -> `ready`, or `failed` with words. [`cancel`], [`retry`], [`rename`] and [`remove`] change the
//! row and add the job that carries it out, in one transaction; whatever dies in between, the job goes on. Every query names
//! the workspace beside the document.

mod begin;
mod change;
mod complete;
mod failure;
mod names;
mod row;
mod search;
mod sweep;
mod text;

pub use begin::{BeginError, Begun, NewUpload, UPLOAD_LIMIT, UPLOAD_URL_TTL, begin};
pub use change::{ChangeError, cancel, remove, rename, retry};
pub use complete::{CompleteError, Completed, MAGIC_WINDOW_BYTES, complete};
pub use failure::{Failure, OwnFailure, Trouble};
pub use names::{FileName, NotATitle, TITLE_CHARS_MAX, Title};
pub use row::{Document, State, Step, find, list};
pub use search::{HITS_MAX, Hit, Piece, QUERY_CHARS_MAX, SearchError, SearchQuery, search};
pub use sweep::{Swept, sweep_uploads};
pub use text::{PASSAGES_A_PAGE, Passage, passages};

pub(crate) use row::note_event;

/// The type that every file is stored and sent as.
pub const MEDIA_TYPE: &str = "application/pdf";
