//! One document in the list.

use maud::{Markup, html};

use super::{DocumentState, DocumentView, Place, Trouble, UnreadablePages};
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

/// The row, as it stands in the list.
pub fn row(place: Place<'_>, document: &DocumentView) -> Markup {
    item(place, document, false)
}

/// The row, as an update of the one that is on the page: sent with [`super::EVENT_DOCUMENT`].
pub fn row_update(place: Place<'_>, document: &DocumentView) -> Markup {
    item(place, document, true)
}

fn item(place: Place<'_>, document: &DocumentView, update: bool) -> Markup {
    let here = format!("/w/{}/documents/{}", place.workspace, document.id);
    html! {
        li.row id={ "document-" (document.id) } hx-swap-oob=[update.then_some("true")] data-state=(state_key(&document.state))
            data-announce={ (document.title) ": " (state_words(&document.state).1) } {
            span.row-icon { (icons::DOCUMENTS) }
            div.row-main {
                p.row-title { a href=(here) { (document.title) } }
                p.row-meta {
                    span { (format::bytes(document.byte_count)) }
                    @if let Some(pages) = document.page_count { span { (format::count(pages.into(), "page", "pages")) } }
                    @if let Some(chunks) = document.chunk_count { span { (format::count(chunks.into(), "passage", "passages")) } }
                    span { (format::time(document.added_at, place.now)) }
                    @if let Some(name) = &document.added_by { span.on-wide { "by " (name) } }
                }
                (state_line(place, document))
                @if let Some(unreadable) = document.left_out() { (warning(&unreadable_words(unreadable))) }
            }
            (state_badge(&document.state))
            div.row-actions {
                @if document.state == DocumentState::Ready {
                    a.button.small href={ "/w/" (place.workspace) "/chat?document=" (document.id) } aria-label={ "Ask " (document.title) } { (icons::CHAT) "Ask" }
                }
                @if document.state != DocumentState::Deleting { (actions(place, document, &here)) }
            }
        }
    }
}

fn state_key(state: &DocumentState) -> &'static str {
    match state {
        DocumentState::Uploading => "uploading",
        DocumentState::Queued => "queued",
        DocumentState::Working { .. } => "working",
        DocumentState::Ready => "ready",
        DocumentState::Failed { .. } => "failed",
        DocumentState::Deleting => "deleting",
    }
}

/// The state in a word.
pub(in crate::web) fn state_badge(state: &DocumentState) -> Markup {
    let (tone, label) = state_words(state);
    parts::badge(tone, label)
}

fn state_words(state: &DocumentState) -> (Severity, &'static str) {
    match state {
        DocumentState::Uploading => (Severity::Neutral, "Uploading"),
        DocumentState::Queued => (Severity::Neutral, "Waiting"),
        DocumentState::Working { trouble: None, .. } => (Severity::Neutral, "Reading"),
        DocumentState::Working { .. } => (Severity::Warning, "Trying again"),
        DocumentState::Ready => (Severity::Good, "Ready"),
        DocumentState::Failed { .. } => (Severity::Bad, "Not readable"),
        DocumentState::Deleting => (Severity::Neutral, "Being removed"),
    }
}

/// What more there is to say than the badge does.
pub(in crate::web) fn state_line(place: Place<'_>, document: &DocumentView) -> Markup {
    html! {
        @match &document.state {
            DocumentState::Uploading | DocumentState::Ready => {},
            DocumentState::Queued => p.row-state { "It is read as soon as it is its turn." },
            DocumentState::Deleting => p.row-state { "Its file, text and passages are going." },
            DocumentState::Working { step, percent, trouble } => {
                @let overall = step.overall_percent(*percent);
                div.row-progress {
                    progress max="100" value=(overall) aria-label={ "Reading " (document.title) } {}
                    p.row-state { (step.words()) "\u{2026} " span.percent { (overall) "%" } }
                }
                @if let Some(trouble) = trouble { (trouble_line(place, trouble)) }
            },
            DocumentState::Failed { reason, hint, .. } => {
                p.row-failure { strong { (reason) } " " (hint) }
            },
        }
    }
}

/// Something that a person should know, without anything being tried again.
pub(in crate::web) fn warning(words: &str) -> Markup {
    html! { p.row-trouble { (icons::WARNING) span { (words) } } }
}

fn unreadable_words(unreadable: &UnreadablePages) -> String {
    format!(
        "{} of {} could not be read.",
        format::thousands(unreadable.count.into()),
        format::count(unreadable.of.into(), "page", "pages")
    )
}

fn trouble_line(place: Place<'_>, trouble: &Trouble) -> Markup {
    let wait = trouble
        .retry_at
        .map_or(0, |at| at.as_second().saturating_sub(place.now.as_second()));
    html! {
        p.row-trouble {
            (icons::WARNING)
            span { (trouble.words) " "
                @if wait > 0 { "Trying again in " (wait) " s." } @else { "Trying again." }
            }
        }
    }
}

fn actions(place: Place<'_>, document: &DocumentView, here: &str) -> Markup {
    let retry = matches!(
        document.state,
        DocumentState::Ready | DocumentState::Failed { retry: true, .. }
    );
    let cancel = matches!(
        document.state,
        DocumentState::Uploading | DocumentState::Queued | DocumentState::Working { .. }
    );
    let items = html! {
        @if document.has_file {
            a.menu-item href={ (here) "/file" } target="_blank" rel="noopener" { (icons::OPEN) span { "Open the PDF" } }
            a.menu-item href={ (here) "/download" } { (icons::DOWNLOAD) span { "Download" } }
        }
        a.menu-item href={ (here) "#rename" } data-dialog="rename-document" data-action={ (here) "/rename" } data-title=(document.title) {
            (icons::PENCIL) span { "Rename" }
        }
        @if retry { (parts::button_form(&format!("{here}/retry"), place.csrf, "menu-item", html! { (icons::AGAIN) span { "Read again" } })) }
        @if cancel { (parts::button_form(&format!("{here}/cancel"), place.csrf, "menu-item", html! { (icons::CROSS) span { "Cancel" } })) }
        a.menu-item.danger.separate href={ (here) "#remove" } data-dialog="remove-document" data-action={ (here) "/remove" } data-title=(document.title) {
            (icons::TRASH) span { "Remove" }
        }
    };
    parts::menu(&format!("menu-{}", document.id), &document.title, &items)
}
