//! Documents as rows of the main database: upload, ingestion state and results. A document's text
//! is stored only in the tenant's database.
//!
//! Lifecycle: [`create_upload()`] reserves a row within the quota and returns a presigned URL;
//! [`complete_upload()`] verifies the uploaded file and enqueues the job; ingestion ends in
//! `ready`, or in `failed` with a reason. [`cancel`], [`retry`], [`rename`] and [`delete`] change
//! the row and enqueue the job that carries the change out in one transaction, so a crash in
//! between loses nothing. Every query filters by workspace as well as by document.

mod change;
mod complete_upload;
mod create_upload;
mod error;
mod jobs;
mod names;
mod row;
mod search;
mod sweep;
mod text;

pub use change::{ChangeError, cancel, delete, rename, retry};
pub use complete_upload::{
    CompleteUploadError, MAGIC_WINDOW_BYTES, UploadOutcome, complete_upload,
};
pub use create_upload::{
    CreateUploadError, NewUpload, PendingUpload, UPLOAD_TIMEOUT, UPLOAD_URL_TTL, create_upload,
};
pub use error::{BlockedOn, IngestError, SystemFailure};
pub use jobs::{DeleteDocument, DiscardText, Ingest, RenameDocument};
pub use names::{FileName, InvalidTitle, MAX_TITLE_CHARS, Title};
pub use row::{
    Document, DocumentPages, DocumentPhase, DocumentStatus, IngestStep, PageSummary, count_pending,
    find, list, page_report, pages,
};
pub use search::{
    Hit, InvalidSearchQuery, MAX_HITS, MAX_QUERY_CHARS, SearchQuery, SnippetPart, search,
};
pub use sweep::fail_overdue_uploads;
pub use text::{PASSAGES_PER_PAGE, Passage, passages};

pub(crate) use row::publish_change;

/// The media type under which every file is stored and served.
pub const MEDIA_TYPE: &str = "application/pdf";
