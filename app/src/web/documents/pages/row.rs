//! A document's row in the list.

use maud::{Markup, html};

use super::{Blocked, DocumentState, DocumentView};
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

pub fn row(form_context: FormContext<'_>, document: &DocumentView) -> Markup {
    item(form_context, document, false)
}

/// A row that replaces the one on the page, sent with [`super::EVENT_DOCUMENT`].
pub fn row_update(form_context: FormContext<'_>, document: &DocumentView) -> Markup {
    item(form_context, document, true)
}

fn item(form_context: FormContext<'_>, document: &DocumentView, update: bool) -> Markup {
    let url = format!("/w/{}/documents/{}", form_context.workspace, document.id);
    html! {
        li.row id={ "document-" (document.id) } hx-swap-oob=[update.then_some("true")] data-state=(state_key(&document.state))
            data-announce={ (document.title) ": " (state_label(&document.state).1) } {
            span.row-icon { (icons::DOCUMENTS) }
            div.row-main {
                p.row-title { a href=(url) dir="auto" { (document.title) } }
                p.row-meta {
                    span { (format::bytes(document.byte_count)) }
                    @if let Some(pages) = document.page_count { span { (format::count(pages.into(), "page", "pages")) } }
                    @if let Some(chunks) = document.chunk_count { span { (format::count(chunks.into(), "passage", "passages")) } }
                    span { (format::time(document.added_at, form_context.now)) }
                    @if let Some(name) = &document.added_by { span.on-wide { "by " (name) } }
                }
                (state_line(form_context, document))
                @if let Some(unreadable) = document.left_out() { (warning(&unreadable.summary)) }
            }
            (state_badge(&document.state))
            div.row-actions {
                @if document.state.is_searchable() {
                    a.button.small href={ "/w/" (form_context.workspace) "/chat?document=" (document.id) } aria-label={ "Ask about " (document.title) } { (icons::CHAT) "Ask" }
                }
                @if document.state != DocumentState::Deleting { (actions(form_context, document, &url)) }
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
        DocumentState::Cancelled { .. } => "cancelled",
        DocumentState::Deleting => "deleting",
    }
}

pub(in crate::web) fn state_badge(state: &DocumentState) -> Markup {
    let (tone, label) = state_label(state);
    parts::badge(tone, label)
}

fn state_label(state: &DocumentState) -> (Severity, &'static str) {
    match state {
        DocumentState::Uploading => (Severity::Neutral, "Uploading"),
        DocumentState::Queued => (Severity::Neutral, "Queued"),
        DocumentState::Working { blocked: None, .. } => (Severity::Neutral, "Processing"),
        DocumentState::Working { .. } => (Severity::Warning, "Retrying"),
        DocumentState::Ready => (Severity::Good, "Ready"),
        DocumentState::Failed { .. } => (Severity::Bad, "Failed"),
        DocumentState::Cancelled { .. } => (Severity::Neutral, "Cancelled"),
        DocumentState::Deleting => (Severity::Neutral, "Deleting"),
    }
}

/// Details that the badge does not show.
pub(in crate::web) fn state_line(form_context: FormContext<'_>, document: &DocumentView) -> Markup {
    html! {
        @match &document.state {
            DocumentState::Uploading | DocumentState::Ready => {},
            DocumentState::Queued => p.row-state { "Waiting to be processed." },
            DocumentState::Deleting => p.row-state { "The document is being deleted." },
            DocumentState::Working { step, percent, blocked } => {
                @let overall = step.overall_percent(*percent);
                div.row-progress {
                    progress max="100" value=(overall) aria-label={ "Processing " (document.title) } {}
                    p.row-state { (step.label()) "\u{2026} " span.percent { (overall) "%" } }
                }
                @if let Some(blocked) = blocked { (blocked_line(form_context, blocked)) }
            },
            DocumentState::Cancelled { message, hint } => p.row-state { (message) " " (hint) },
            DocumentState::Failed { reason, hint, .. } => {
                p.row-failure { strong { (reason) } " " (hint) }
            },
        }
    }
}

/// A warning that requires no retry.
pub(in crate::web) fn warning(text: &str) -> Markup {
    html! { p.row-warning { (icons::WARNING) span { (text) } } }
}

fn blocked_line(form_context: FormContext<'_>, blocked: &Blocked) -> Markup {
    let wait = blocked.retry_at.map_or(0, |at| {
        at.as_second().saturating_sub(form_context.now.as_second())
    });
    html! {
        p.row-warning {
            (icons::WARNING)
            span { (blocked.message) " "
                @if wait > 0 { "Retrying in " (wait) " s." } @else { "Retrying now." }
            }
        }
    }
}

fn actions(form_context: FormContext<'_>, document: &DocumentView, url: &str) -> Markup {
    let retry = document.state.can_be_retried();
    let cancel = matches!(
        document.state,
        DocumentState::Uploading | DocumentState::Queued | DocumentState::Working { .. }
    );
    let items = html! {
        @if document.has_file {
            a.menu-item href={ (url) "/file" } target="_blank" rel="noopener" { (icons::OPEN) span { "Open PDF" } }
            a.menu-item href={ (url) "/download" } { (icons::DOWNLOAD) span { "Download" } }
        }
        a.menu-item href={ (url) "#rename" } data-dialog="rename-document" data-action={ (url) "/rename" } data-title=(document.title) {
            (icons::PENCIL) span { "Rename" }
        }
        @if retry { (parts::button_form(&format!("{url}/retry"), form_context.csrf, "menu-item", html! { (icons::AGAIN) span { "Process again" } })) }
        @if cancel { (parts::button_form(&format!("{url}/cancel"), form_context.csrf, "menu-item", html! { (icons::CROSS) span { "Cancel processing" } })) }
        a.menu-item.danger.separate href={ (url) "#delete" } data-dialog="delete-document" data-action={ (url) "/delete" } data-title=(document.title) {
            (icons::TRASH) span { "Delete" }
        }
    };
    parts::menu(&format!("menu-{}", document.id), &document.title, &items)
}
