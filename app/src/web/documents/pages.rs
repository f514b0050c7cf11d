//! The documents of a workspace: bringing them, watching them become searchable, searching their text.
//!
//! Live parts, over the stream `/w/{workspace}/documents/events`:
//! - [`EVENT_LIST`] carries [`list_update`]: a document came or went, or the reader was away for a while;
//! - [`EVENT_DOCUMENT`] carries [`row_update`]: one document changed.

mod database;
pub mod document;
mod row;
mod search;

use jiff::Timestamp;
use maud::{Markup, html};

pub use database::DatabaseNote;
pub(super) use database::database;
pub use row::{row, row_update};
pub(super) use row::{state_badge, state_line, warning};
pub use search::{Hit, Piece, SearchView, search_results};

use crate::ids::{DocumentId, WorkspaceId};
use crate::web::shared::assets;
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{self, csrf, heading};
use crate::web::shared::pages::{format, icons};

/// The event that carries the whole list.
pub const EVENT_LIST: &str = "documents";
/// The event that carries one row.
pub const EVENT_DOCUMENT: &str = "document";

/// What a list or a row needs to know about where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose documents they are.
    pub workspace: &'a WorkspaceId,
    /// The session's token against forged forms.
    pub csrf: &'a str,
    /// When the fragment is made: ages are told from it.
    pub now: Timestamp,
}

/// One document, as list and page show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentView {
    /// Stands in its URLs.
    pub id: DocumentId,
    /// What people call it.
    pub title: String,
    /// As it was uploaded.
    pub file_name: String,
    /// Its size.
    pub byte_count: u64,
    /// Known once it was read.
    pub page_count: Option<u32>,
    /// Passages that can be searched; known once it was read.
    pub chunk_count: Option<u32>,
    /// Which of its pages were left out, if any.
    pub unreadable: Option<UnreadablePages>,
    /// When it came.
    pub added_at: Timestamp,
    /// Who brought it, unless they are gone.
    pub added_by: Option<String>,
    /// Whether its file is here, to be opened and downloaded.
    pub has_file: bool,
    /// How far it is.
    pub state: DocumentState,
}

impl DocumentView {
    /// What was left out of a document that can be asked all the same.
    pub(super) fn left_out(&self) -> Option<&UnreadablePages> {
        self.unreadable
            .as_ref()
            .filter(|_| self.state == DocumentState::Ready)
    }
}

/// Pages that are damaged and could not be read, of a document whose others were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadablePages {
    /// How many.
    pub count: u32,
    /// Of how many that the file has.
    pub of: u32,
    /// Which, such as `Pages 2, 5 are damaged and could not be read.`
    pub which: String,
}

/// How far a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentState {
    /// Its file is on the way.
    Uploading,
    /// It waits for its turn.
    Queued,
    /// It is being read.
    Working {
        /// What is being done.
        step: ReadingStep,
        /// How much of the step is done, 0 to 100.
        percent: u8,
        /// What went wrong a moment ago and is tried again.
        trouble: Option<Trouble>,
    },
    /// It can be searched and asked.
    Ready,
    /// It could not be read.
    Failed {
        /// What is wrong, such as `The file is locked with a password.`
        reason: String,
        /// What to do about it.
        hint: String,
        /// Whether reading it again can help.
        retry: bool,
    },
    /// It is on its way out.
    Deleting,
}

/// A passing trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong.
    pub words: String,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

/// What is done to a document, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadingStep {
    /// Getting the file.
    Fetch,
    /// Getting its text.
    Extract,
    /// Cutting the text into passages.
    Chunk,
    /// Making their vectors.
    Embed,
    /// Writing all of it into the tenant's database.
    Store,
}

impl ReadingStep {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fetch => "Fetching the file",
            Self::Extract => "Reading its pages",
            Self::Chunk => "Finding its passages",
            Self::Embed => "Making it searchable",
            Self::Store => "Saving to your database",
        }
    }

    /// Where in the whole this step stands, so that one bar never runs backwards: (begins at, covers), in percent.
    fn share(self) -> (u32, u32) {
        match self {
            Self::Fetch => (0, 10),
            Self::Extract => (10, 35),
            Self::Chunk => (45, 5),
            Self::Embed => (50, 45),
            Self::Store => (95, 5),
        }
    }

    /// How much of the whole is done when this step is done by `percent`.
    pub fn overall_percent(self, percent: u8) -> u32 {
        let (begin, covers) = self.share();
        begin + covers * u32::from(percent.min(100)) / 100
    }
}

/// The documents of a workspace, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentsView {
    /// All of them.
    pub documents: Vec<DocumentView>,
    /// What the plan allows.
    pub limits: UploadLimits,
    /// Why the database cannot be used now, if so.
    pub database: Option<DatabaseNote>,
}

/// What may be brought; told before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// The largest file.
    pub file_bytes_max: u64,
    /// How many documents a workspace may hold.
    pub documents_max: u32,
}

/// The page. With `search`, results stand where the list would be.
pub fn page(
    context: &PageContext,
    place: Place<'_>,
    view: &DocumentsView,
    search: Option<&SearchView>,
) -> Markup {
    let base = format!("/w/{}/documents", place.workspace);
    Layout::new(context, "Documents")
        .section(Section::Documents)
        .class("wide")
        .scripts(&[assets::UPLOAD_JS])
        .render(&html! {
            (heading("Documents", Some(html! { "PDFs you can search and ask. They and all that is made from them stay in this workspace." }), None))
            (database(place.workspace, view.database))
            (drop_zone(place, view, &base))
            div hx-ext="sse" sse-connect={ (base) "/events" } {
                div hidden sse-swap=(EVENT_DOCUMENT) hx-swap="none" {}
                (search::form(&base, search))
                div #search-results aria-live="polite" { @if let Some(search) = search { (search_results(place, search)) } }
                section #document-list aria-label="All documents" sse-swap=(EVENT_LIST) { (list(place, view)) }
            }
            (dialogs(place))
        })
}

/// Where files are dropped or picked. Uploading needs the script: files go straight to the object store.
fn drop_zone(place: Place<'_>, view: &DocumentsView, base: &str) -> Markup {
    let limits = view.limits;
    let free = view.free();
    html! {
        form.drop-zone #upload method="post" action=(base) enctype="multipart/form-data" data-upload
            data-file-bytes-max=(limits.file_bytes_max) data-documents-max=(limits.documents_max) {
            (csrf(place.csrf))
            span.drop-icon { (icons::UPLOAD) }
            div.drop-words {
                p.drop-title {
                    label for="files" {
                        span.on-wide { "Drop PDFs here, or " span.link { "choose files" } }
                        span.on-phone.link { "Choose PDFs" }
                    }
                }
                p.hint #files-hint {
                    "Up to " (format::bytes(limits.file_bytes_max)) " each, " (format::count(u64::from(limits.documents_max), "document", "documents"))
                    " in all. " (room(view, false))
                }
            }
            input.visually-hidden #files type="file" name="files" accept="application/pdf,.pdf" multiple aria-describedby="files-hint" disabled[free == 0];
            noscript { p.hint { "Uploading needs JavaScript: files go straight from your browser to the file store." } }
        }
        ul.uploads #uploads aria-label="Uploads" {}
        p.visually-hidden #upload-status role="status" {}
    }
}

/// How much room is left, also for the script, which says so before it sends anything.
fn room(view: &DocumentsView, update: bool) -> Markup {
    let free = view.free();
    html! {
        span #documents-free data-free=(free) hx-swap-oob=[update.then_some("true")] {
            @if free == 0 { "There is no room left: remove one to bring another." }
            @else { "Room for " (format::thousands(free)) " more." }
        }
    }
}

impl DocumentsView {
    /// How many more documents there is room for.
    fn free(&self) -> u64 {
        u64::from(self.limits.documents_max).saturating_sub(self.documents.len() as u64)
    }
}

/// The list with the room that is left: sent with [`EVENT_LIST`].
pub fn list_update(place: Place<'_>, view: &DocumentsView) -> Markup {
    html! { (list(place, view)) (room(view, true)) }
}

/// What is inside `#document-list`: all rows, or how to begin.
pub fn list(place: Place<'_>, view: &DocumentsView) -> Markup {
    html! {
        @if view.documents.is_empty() {
            (parts::empty(icons::DOCUMENTS, "No documents yet",
                "Drop a few PDFs above: a contract, a manual, lecture notes. Once they are read you can ask them anything, and every answer names its page.", None))
        } @else {
            div.list-head {
                h2 { "All documents" }
                p.hint { (format::count(view.documents.len() as u64, "document", "documents")) }
            }
            ul.rows {
                @for document in &view.documents { (row(place, document)) }
            }
        }
    }
}

/// One dialog for all rows; the script fills in whose it is. Without script the row's links lead to the same forms on the document's page.
fn dialogs(place: Place<'_>) -> Markup {
    html! {
        dialog #rename-document aria-labelledby="rename-document-title" {
            form.stack method="post" data-once {
                h2 #rename-document-title { "Rename document" }
                (csrf(place.csrf))
                div.field {
                    label for="rename-title" { "Title" }
                    input #rename-title type="text" name="title" required maxlength="500" autocomplete="off" data-slot="title";
                }
                div.form-actions {
                    button.button.primary type="submit" { "Save" }
                    button.button.quiet type="button" data-close { "Cancel" }
                }
            }
        }
        dialog #remove-document aria-labelledby="remove-document-title" {
            form.stack method="post" data-once {
                h2 #remove-document-title { "Remove document?" }
                (csrf(place.csrf))
                p { strong data-slot="title" {} " goes, with its file, its text and everything made from it. Conversations stay, but their references to it lead nowhere. This cannot be undone." }
                div.form-actions {
                    button.button.danger type="submit" { "Remove" }
                    button.button.quiet type="button" data-close { "Keep it" }
                }
            }
        }
    }
}
