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

/// The menu of the documents to search.
pub(super) fn menu(view: &ChatPage) -> Markup {
    if let Some(thread) = &view.thread {
        return menu_of_thread(&thread.scope, &view.documents, false);
    }
    let documents: Vec<&DocumentChoice> = view.documents.iter().collect();
    choices(&documents, &view.chosen, None, false)
}

/// The menu of a conversation about `scope`. An update replaces the one on the page.
pub(super) fn menu_of_thread(
    scope: &[DocumentChoice],
    documents: &[DocumentChoice],
    is_update: bool,
) -> Markup {
    // Deleted, or too old to be listed.
    let unlisted = scope.iter().filter(|document| {
        let mut listed = documents.iter();
        listed.all(|listed| listed.id != document.id)
    });
    let all: Vec<&DocumentChoice> = unlisted.chain(documents).collect();
    let selected: Vec<DocumentId> = scope.iter().map(|document| document.id).collect();
    let ids: Vec<String> = selected.iter().map(ToString::to_string).collect();
    choices(&all, &selected, Some(&ids.join(" ")), is_update)
}

/// The checkboxes of the documents; none selected means all. The empty hidden field tells "none
/// selected" apart from a form without this menu.
fn choices(
    documents: &[&DocumentChoice],
    selected: &[DocumentId],
    shown: Option<&str>,
    is_update: bool,
) -> Markup {
    let named: Vec<&str> = documents
        .iter()
        .filter(|document| selected.contains(&document.id))
        .map(|document| document.title.as_str())
        .collect();
    html! {
        details.menu.scope #scope-menu data-menu data-scope hx-swap-oob=[is_update.then_some("true")] {
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
                @if let Some(shown) = shown { input type="hidden" name="shown" value=(shown); }
                ul {
                    @for document in documents {
                        @let id = format!("scope-{}", document.id);
                        li {
                            input id=(id) type="checkbox" name="document" value=(document.id) checked[selected.contains(&document.id)];
                            label for=(id) dir="auto" { (document.title) }
                        }
                    }
                }
            }
        }
    }
}
