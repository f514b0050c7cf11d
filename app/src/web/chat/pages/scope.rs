//! Which documents a conversation searches.

use maud::{Markup, html};

use super::{ChatPage, DocumentChoice};
use crate::ids::DocumentId;
use crate::web::shared::pages::{FormContext, format, icons};

/// Documents that are named; the others are counted.
const MAX_NAMED: usize = 5;

/// The documents in words. An update replaces the line on the page.
pub(super) fn line(
    form_context: FormContext<'_>,
    scope: &[DocumentChoice],
    is_update: bool,
) -> Markup {
    let named = &scope[..scope.len().min(MAX_NAMED)];
    let others = scope.len() - named.len();
    html! {
        p.hint #conversation-scope hx-swap-oob=[is_update.then_some("true")] {
            "Searching: "
            @if scope.is_empty() { "all documents" }
            @for (index, document) in named.iter().enumerate() {
                @if index > 0 { ", " }
                a href={ "/w/" (form_context.workspace) "/documents/" (document.id) } dir="auto" { (document.title) }
            }
            @if others > 0 { " and " (format::count(others as u64, "other document", "other documents")) }
        }
    }
}

/// The documents to choose from, of which none means all. Without the empty field, a form without
/// selected documents would leave the conversation as it is.
pub(super) fn choice(view: &ChatPage) -> Markup {
    let scope = view.thread.as_ref().map(|thread| thread.scope.as_slice());
    let chosen: Vec<DocumentId> = match scope {
        Some(scope) => scope.iter().map(|document| document.id).collect(),
        None => view.chosen.clone(),
    };
    // Deleted, or too old to be listed.
    let unlisted = scope.unwrap_or_default().iter().filter(|document| {
        let mut listed = view.documents.iter();
        listed.all(|listed| listed.id != document.id)
    });
    let all: Vec<&DocumentChoice> = unlisted.chain(&view.documents).collect();
    let named: Vec<&str> = all
        .iter()
        .filter(|document| chosen.contains(&document.id))
        .map(|document| document.title.as_str())
        .collect();
    html! {
        details.menu.scope data-menu data-scope {
            summary #scope {
                (icons::DOCUMENTS)
                span.visually-hidden { "Documents to search: " }
                span.scope-label dir="auto" {
                    @match named.as_slice() {
                        [] => "All documents",
                        [title] => (title),
                        several => (format::count(several.len() as u64, "document", "documents")),
                    }
                }
            }
            div.menu-items {
                p.hint { "Select the documents to search, or none for all." }
                input type="hidden" name="document" value="";
                ul {
                    @for document in all {
                        @let id = format!("scope-{}", document.id);
                        li {
                            input id=(id) type="checkbox" name="document" value=(document.id) checked[chosen.contains(&document.id)];
                            label for=(id) dir="auto" { (document.title) }
                        }
                    }
                }
            }
        }
    }
}
