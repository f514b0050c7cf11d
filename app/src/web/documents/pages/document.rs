//! One document: its details, actions and extracted text.

use maud::{Markup, html};

use super::{DatabaseStatus, DocumentState, DocumentView};
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{self, csrf};
use crate::web::shared::pages::{format, icons};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPage {
    pub document: DocumentView,
    /// The first passages in reading order; empty until the document is ready.
    pub passages: Vec<PassageView>,
    /// URL of the next passages, if there are more.
    pub more: Option<String>,
    /// Why the database is unavailable, if it is.
    pub database: Option<DatabaseStatus>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageView {
    pub page_from: u32,
    pub page_to: u32,
    /// The printed labels of both pages, such as `iv`, if they are not the page numbers.
    pub printed_from: Option<String>,
    pub printed_to: Option<String>,
    pub text: String,
}

pub fn page(context: &PageContext, form_context: FormContext<'_>, view: &DocumentPage) -> Markup {
    let document = &view.document;
    let list = format!("/w/{}/documents", form_context.workspace);
    let url = format!("{list}/{}", document.id);
    Layout::new(context, &document.title)
        .section(Section::Documents)
        .render(&html! {
            a.back href=(list) { (icons::BACK) "All documents" }
            (parts::heading(&document.title, None, Some(actions(form_context, document, &url))))
            (crate::web::documents::pages::database(form_context.workspace, view.database))
            (parts::form_error(view.error.as_deref()))
            div hx-ext="sse" sse-connect={ (list) "/events" } {
                // Refetched whenever the document changes: the events carry rows of the list, which
                // this page does not have.
                div #document-state hx-get=(url) hx-select="#document-state" hx-swap="outerHTML" hx-trigger="sse:document throttle:1s, sse:documents throttle:1s" {
                    (state(form_context, document))
                }
            }
            @if !view.passages.is_empty() { (passages(view, &url)) }
            (forms(form_context, document, &url))
        })
}

fn actions(form_context: FormContext<'_>, document: &DocumentView, url: &str) -> Markup {
    html! {
        @if document.state == DocumentState::Ready {
            a.button.primary href={ "/w/" (form_context.workspace) "/chat?document=" (document.id) } { (icons::CHAT) "Ask about this document" }
        }
        @if document.has_file {
            a.button href={ (url) "/file" } target="_blank" rel="noopener" { (icons::OPEN) "Open PDF" }
            a.button href={ (url) "/download" } { (icons::DOWNLOAD) "Download" }
        }
    }
}

fn state(form_context: FormContext<'_>, document: &DocumentView) -> Markup {
    html! {
        div.card {
            dl.facts {
                div { dt { "Status" } dd { (crate::web::documents::pages::state_badge(&document.state)) } }
                div { dt { "Size" } dd { (format::bytes(document.byte_count)) } }
                @if let Some(pages) = document.page_count { div { dt { "Pages" } dd { (format::thousands(pages.into())) } } }
                @if let Some(chunks) = document.chunk_count { div { dt { "Passages" } dd { (format::thousands(chunks.into())) } } }
                div { dt { "Uploaded" } dd { (format::time(document.added_at, form_context.now)) @if let Some(name) = &document.added_by { " by " (name) } } }
                div.grow { dt { "File" } dd.file-name dir="auto" { (document.file_name) } }
            }
            (crate::web::documents::pages::state_line(form_context, document))
            @if let Some(unreadable) = document.left_out() {
                @for warning in &unreadable.warnings { (crate::web::documents::pages::warning(warning)) }
            }
        }
    }
}

fn passages(view: &DocumentPage, url: &str) -> Markup {
    html! {
        section.passages aria-labelledby="passages-title" {
            h2 #passages-title { "Extracted text" }
            p.hint { "These passages are used for search and answers. They\u{2019}re stored in your workspace\u{2019}s database." }
            ol {
                @for passage in &view.passages {
                    li.passage {
                        a.passage-page href={ (url) "/file#page=" (passage.page_from) } target="_blank" rel="noopener" {
                            (format::printed_pages(passage.page_from, passage.page_to, (passage.printed_from.as_deref(), passage.printed_to.as_deref())))
                        }
                        p dir="auto" { (passage.text) }
                    }
                }
            }
            @if let Some(more) = &view.more { a.button href=(more) { "Show more" } }
        }
    }
}

fn forms(form_context: FormContext<'_>, document: &DocumentView, url: &str) -> Markup {
    let retry = document.state.can_be_retried();
    html! {
        @if document.state != DocumentState::Deleting {
            section.card.stack #rename {
                h2 { "Rename document" }
                form.inline-form method="post" action={ (url) "/rename" } data-once {
                    (csrf(form_context.csrf))
                    div.field.grow {
                        label for="title" { "Title" }
                        input #title type="text" name="title" value=(document.title) dir="auto" required maxlength="500" autocomplete="off";
                    }
                    button.button type="submit" { "Save" }
                }
            }
            @if retry {
                section.card.stack {
                    h2 { "Process again" }
                    p { "We\u{2019}ll extract the text again and replace the existing passages. You can keep using the document in the meantime." }
                    div.form-actions { (parts::button_form(&format!("{url}/retry"), form_context.csrf, "button", html! { (icons::AGAIN) "Process again" })) }
                }
            }
            section.card.stack.danger-zone #delete {
                h2 { "Delete document" }
                p { "This deletes the file and its extracted text. Existing conversations are kept, but their links to this document will stop working. This can\u{2019}t be undone." }
                div.form-actions { (parts::ConfirmedButton {
                    action: &format!("{url}/delete"),
                    csrf: form_context.csrf,
                    class: "button danger",
                    label: html! { (icons::TRASH) "Delete document" },
                    question: "Delete document?",
                    consequences: "The file and its extracted text will be deleted. This can\u{2019}t be undone.",
                    confirm: "Delete document",
                }) }
            }
        }
    }
}
