//! One document: what is known of it, what can be done with it, and the text that was read from it.

use maud::{Markup, html};

use super::{DatabaseNote, DocumentState, DocumentView, Place};
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{self, csrf};
use crate::web::shared::pages::{format, icons};

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPage {
    /// The document.
    pub document: DocumentView,
    /// The first passages of its text, in reading order; empty until it was read.
    pub passages: Vec<PassageView>,
    /// Where the page with the next passages is, if there are more.
    pub more: Option<String>,
    /// Why the database cannot be used now, if so.
    pub database: Option<DatabaseNote>,
    /// What went wrong with a form on this page, and what to do.
    pub trouble: Option<String>,
}

/// A passage as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageView {
    /// Its first page.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Its text.
    pub text: String,
}

/// The page.
pub fn page(context: &PageContext, place: Place<'_>, view: &DocumentPage) -> Markup {
    let document = &view.document;
    let list = format!("/w/{}/documents", place.workspace);
    let here = format!("{list}/{}", document.id);
    Layout::new(context, &document.title)
        .section(Section::Documents)
        .render(&html! {
            a.back href=(list) { (icons::BACK) "All documents" }
            (parts::heading(&document.title, None, Some(actions(place, document, &here))))
            (crate::web::documents::pages::database(place.workspace, view.database))
            (parts::form_trouble(view.trouble.as_deref()))
            div hx-ext="sse" sse-connect={ (list) "/events" } {
                // What is said of the document is fetched anew whenever it changed; its events carry rows of the list, which this page has not.
                div #document-state hx-get=(here) hx-select="#document-state" hx-swap="outerHTML" hx-trigger="sse:document throttle:1s, sse:documents throttle:1s" {
                    (state(place, document))
                }
            }
            @if !view.passages.is_empty() { (passages(view, &here)) }
            (forms(place, document, &here))
        })
}

fn actions(place: Place<'_>, document: &DocumentView, here: &str) -> Markup {
    html! {
        @if document.state == DocumentState::Ready {
            a.button.primary href={ "/w/" (place.workspace) "/chat?document=" (document.id) } { (icons::CHAT) "Ask it" }
        }
        @if document.has_file {
            a.button href={ (here) "/file" } target="_blank" rel="noopener" { (icons::OPEN) "Open" }
            a.button href={ (here) "/download" } { (icons::DOWNLOAD) "Download" }
        }
    }
}

fn state(place: Place<'_>, document: &DocumentView) -> Markup {
    html! {
        div.card {
            dl.facts {
                div { dt { "State" } dd { (crate::web::documents::pages::state_badge(&document.state)) } }
                div { dt { "Size" } dd { (format::bytes(document.byte_count)) } }
                @if let Some(pages) = document.page_count { div { dt { "Pages" } dd { (format::thousands(pages.into())) } } }
                @if let Some(chunks) = document.chunk_count { div { dt { "Passages" } dd { (format::thousands(chunks.into())) } } }
                div { dt { "Brought" } dd { (format::time(document.added_at, place.now)) @if let Some(name) = &document.added_by { " by " (name) } } }
                div.grow { dt { "File" } dd.file-name { (document.file_name) } }
            }
            (crate::web::documents::pages::state_line(place, document))
            @if let Some(unreadable) = document.left_out() { (crate::web::documents::pages::warning(&unreadable.which)) }
        }
    }
}

fn passages(view: &DocumentPage, here: &str) -> Markup {
    html! {
        section.passages aria-labelledby="passages-title" {
            h2 #passages-title { "What was read" }
            p.hint { "The passages that search and answers draw on, as they stand in your database." }
            ol {
                @for passage in &view.passages {
                    li.passage {
                        a.passage-page href={ (here) "/file#page=" (passage.page_from) } target="_blank" rel="noopener" {
                            (format::pages(passage.page_from, passage.page_to))
                        }
                        p { (passage.text) }
                    }
                }
            }
            @if let Some(more) = &view.more { a.button href=(more) { "More passages" } }
        }
    }
}

fn forms(place: Place<'_>, document: &DocumentView, here: &str) -> Markup {
    let retry = matches!(
        document.state,
        DocumentState::Ready | DocumentState::Failed { retry: true, .. }
    );
    html! {
        @if document.state != DocumentState::Deleting {
            section.card.stack #rename {
                h2 { "Rename" }
                form.inline-form method="post" action={ (here) "/rename" } data-once {
                    (csrf(place.csrf))
                    div.field.grow {
                        label for="title" { "Title" }
                        input #title type="text" name="title" value=(document.title) required maxlength="500" autocomplete="off";
                    }
                    button.button type="submit" { "Save" }
                }
            }
            @if retry {
                section.card.stack {
                    h2 { "Read again" }
                    p { "Reads the file once more and replaces its passages. Until that is done, the old ones serve." }
                    div.form-actions { (parts::button_form(&format!("{here}/retry"), place.csrf, "button", html! { (icons::AGAIN) "Read again" })) }
                }
            }
            section.card.stack.danger-zone #remove {
                h2 { "Remove" }
                p { "The file, its text and everything made from it go. Conversations stay, but their references to it lead nowhere. This cannot be undone." }
                div.form-actions { (parts::button_form(&format!("{here}/remove"), place.csrf, "button danger", html! { (icons::TRASH) "Remove document" })) }
            }
        }
    }
}
