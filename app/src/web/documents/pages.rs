//! A workspace's documents: upload, processing status and full-text search.
//!
//! The stream `/w/{workspace}/documents/events` updates the page:
//! - [`EVENT_LIST`] carries [`list_update`], when documents were added or deleted or the client
//!   reconnected;
//! - [`EVENT_DOCUMENT`] carries [`row_update`], when one document changed.

mod database;
pub mod document;
mod row;
mod search;

use jiff::Timestamp;
use maud::{Markup, html};

pub use database::DatabaseStatus;
pub(super) use database::database;
pub use row::{row, row_update};
pub(super) use row::{state_badge, state_line, warning};
pub use search::{HitView, Piece, SearchView, search_results};

use crate::ids::DocumentId;
use crate::web::shared::assets;
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{self, csrf, heading};
use crate::web::shared::pages::{format, icons};

/// Carries the whole list.
pub const EVENT_LIST: &str = "documents";
/// Carries one row.
pub const EVENT_DOCUMENT: &str = "document";

/// A document in the list and on its own page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentView {
    pub id: DocumentId,
    pub title: String,
    pub file_name: String,
    pub byte_count: u64,
    /// `None` until the text has been extracted.
    pub page_count: Option<u32>,
    /// Number of searchable passages; `None` until the document is ready.
    pub chunk_count: Option<u32>,
    /// Pages that could not be read, if any.
    pub unreadable: Option<UnreadablePages>,
    pub added_at: Timestamp,
    /// `None` if the account was deleted.
    pub added_by: Option<String>,
    /// Whether the file is stored, so that it can be opened and downloaded.
    pub has_file: bool,
    pub state: DocumentState,
}

impl DocumentView {
    /// The unreadable pages of a document that is ready.
    pub(super) fn left_out(&self) -> Option<&UnreadablePages> {
        self.unreadable
            .as_ref()
            .filter(|_| self.state == DocumentState::Ready)
    }
}

/// What is missing in the text of a document whose other pages could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadablePages {
    /// For the list, for example `198 of 311 pages are images.`
    pub summary: String,
    /// For the details, for example `Pages 2–5 are damaged and could not be read.`
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentState {
    Uploading,
    Queued,
    Working {
        step: IngestStage,
        /// Progress of the stage, 0 to 100.
        percent: u8,
        /// The transient error after which the stage is retried.
        blocked: Option<Blocked>,
    },
    Ready,
    Failed {
        /// What is wrong, for example `This PDF is password-protected.`
        reason: String,
        /// What the user can do about it.
        hint: String,
        /// Whether processing the document again may succeed.
        retry: bool,
    },
    /// A user cancelled the processing.
    Cancelled {
        message: String,
        hint: String,
    },
    Deleting,
}

impl DocumentState {
    /// Whether the document's text is stored, so that users can ask about it.
    pub(super) fn is_searchable(&self) -> bool {
        match self {
            Self::Ready => true,
            Self::Working { step, .. } => *step >= IngestStage::Embed,
            Self::Uploading
            | Self::Queued
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Deleting => false,
        }
    }

    /// Whether users can have the document processed again.
    pub(super) fn can_be_retried(&self) -> bool {
        matches!(
            self,
            Self::Ready | Self::Failed { retry: true, .. } | Self::Cancelled { .. }
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub message: String,
    pub retry_at: Option<Timestamp>,
}

/// The stages of processing a document, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IngestStage {
    Fetch,
    Extract,
    Chunk,
    Embed,
    Store,
}

impl IngestStage {
    /// The stage as shown to users.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fetch => "Fetching file",
            Self::Extract => "Extracting text",
            Self::Chunk => "Splitting into passages",
            Self::Embed => "Searchable, indexing passages",
            Self::Store => "Saving to your database",
        }
    }

    /// Start and length of the stage within the overall progress, in percent, so that a single bar
    /// never runs backwards.
    fn share(self) -> (u32, u32) {
        match self {
            Self::Fetch => (0, 10),
            Self::Extract => (10, 35),
            Self::Chunk => (45, 5),
            Self::Embed => (50, 45),
            Self::Store => (95, 5),
        }
    }

    /// Overall progress when this stage is at `percent`.
    pub fn overall_percent(self, percent: u8) -> u32 {
        let (begin, covers) = self.share();
        begin + covers * u32::from(percent.min(100)) / 100
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentsView {
    /// Newest first.
    pub documents: Vec<DocumentView>,
    pub limits: UploadLimits,
    /// Why the database is unavailable, if it is.
    pub database: Option<DatabaseStatus>,
}

/// Upload limits, shown before the user selects files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    pub max_file_bytes: u64,
    pub max_documents: u32,
}

/// The documents page. With `search`, search results are shown above the list.
pub fn page(
    context: &PageContext,
    form_context: FormContext<'_>,
    view: &DocumentsView,
    search: Option<&SearchView>,
) -> Markup {
    let base = format!("/w/{}/documents", form_context.workspace);
    Layout::new(context, "Documents")
        .section(Section::Documents)
        .class("wide")
        .scripts(&[assets::UPLOAD_JS])
        .render(&html! {
            (heading("Documents", Some(html! { "Upload PDFs, search their text and ask questions about them. Everything stays in this workspace." }), None))
            (database(form_context.workspace, view.database))
            (drop_zone(form_context, view, &base))
            div hx-ext="sse" sse-connect={ (base) "/events" } {
                div hidden sse-swap=(EVENT_DOCUMENT) hx-swap="none" {}
                (search::form(&base, search))
                div #search-results aria-live="polite" { @if let Some(search) = search { (search_results(form_context, search)) } }
                section #document-list aria-label="All documents" sse-swap=(EVENT_LIST) { (list(form_context, view)) }
            }
            (dialogs(form_context))
        })
}

/// Upload area. Uploads need JavaScript, because files are sent directly to the object store.
fn drop_zone(form_context: FormContext<'_>, view: &DocumentsView, base: &str) -> Markup {
    let limits = view.limits;
    let free = view.free();
    html! {
        form.drop-zone #upload method="post" action=(base) enctype="multipart/form-data" data-upload
            data-max-file-bytes=(limits.max_file_bytes) data-max-documents=(limits.max_documents) {
            (csrf(form_context.csrf))
            span.drop-icon { (icons::UPLOAD) }
            div.drop-words {
                p.drop-title {
                    label for="files" {
                        span.on-wide { "Drop PDFs here or " span.link { "choose files" } }
                        span.on-phone.link { "Choose PDFs" }
                    }
                }
                p.hint #files-hint {
                    "Up to " (format::bytes(limits.max_file_bytes)) " per file, " (format::count(u64::from(limits.max_documents), "document", "documents"))
                    " in total. " (room(view, false))
                }
            }
            input.visually-hidden #files type="file" name="files" accept="application/pdf,.pdf" multiple aria-describedby="files-hint" disabled[free == 0];
            noscript { p.hint { "Uploading requires JavaScript." } }
        }
        ul.uploads #uploads aria-label="Uploads" {}
        p.visually-hidden #upload-status role="status" {}
    }
}

/// The remaining number of documents, also read by the upload script.
fn room(view: &DocumentsView, update: bool) -> Markup {
    let free = view.free();
    html! {
        span #documents-free data-free=(free) hx-swap-oob=[update.then_some("true")] {
            @if free == 0 { "You\u{2019}ve reached the document limit. Delete a document to upload another." }
            @else { "You can upload " (format::thousands(free)) " more." }
        }
    }
}

impl DocumentsView {
    /// How many more documents may be uploaded.
    fn free(&self) -> u64 {
        u64::from(self.limits.max_documents).saturating_sub(self.documents.len() as u64)
    }
}

/// The list and the remaining number of documents, sent with [`EVENT_LIST`].
pub fn list_update(form_context: FormContext<'_>, view: &DocumentsView) -> Markup {
    html! { (list(form_context, view)) (room(view, true)) }
}

/// Content of `#document-list`: all rows, or the empty state.
pub fn list(form_context: FormContext<'_>, view: &DocumentsView) -> Markup {
    html! {
        @if view.documents.is_empty() {
            (parts::empty(icons::DOCUMENTS, "No documents yet",
                "Upload a few PDFs, such as a contract, a manual or lecture notes. Once they\u{2019}re ready, you can ask questions about them, and every answer links to the pages it\u{2019}s based on.", None))
        } @else {
            div.list-head {
                h2 { "All documents" }
                p.hint { (format::count(view.documents.len() as u64, "document", "documents")) }
            }
            ul.rows {
                @for document in &view.documents { (row(form_context, document)) }
            }
        }
    }
}

/// Dialogs shared by all rows and filled in by the script. Without JavaScript, the rows link to the
/// same forms on the document's page.
fn dialogs(form_context: FormContext<'_>) -> Markup {
    html! {
        dialog #rename-document aria-labelledby="rename-document-title" {
            form.stack method="post" data-once {
                h2 #rename-document-title { "Rename document" }
                (csrf(form_context.csrf))
                div.field {
                    label for="rename-title" { "Title" }
                    input #rename-title type="text" name="title" required maxlength="500" autocomplete="off" data-slot="title";
                }
                div.form-actions {
                    button.button.primary type="submit" { "Save" }
                    button.button.quiet type="button" command="close" commandfor="rename-document" { "Cancel" }
                }
            }
        }
        dialog #delete-document aria-labelledby="delete-document-title" {
            form.stack method="post" data-once {
                h2 #delete-document-title { "Delete document?" }
                (csrf(form_context.csrf))
                p { strong data-slot="title" {} " will be deleted, along with its file and extracted text. Existing conversations are kept, but their links to this document will stop working. This can\u{2019}t be undone." }
                div.form-actions {
                    button.button.danger type="submit" { "Delete document" }
                    button.button.quiet type="button" command="close" commandfor="delete-document" autofocus { "Cancel" }
                }
            }
        }
    }
}
