//! Search over the text of all documents.

use maud::{Markup, html};

use super::Place;
use crate::ids::DocumentId;
use crate::web::shared::pages::{format, icons};

/// What was looked for and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchView {
    /// As it was typed.
    pub query: String,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Whether there is more than is shown.
    pub more: bool,
    /// Why the search could not be done, and what to do.
    pub trouble: Option<String>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where it stands.
    pub document: DocumentId,
    /// What people call that document.
    pub title: String,
    /// Its first page.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Its text around the words that were found.
    pub snippet: Vec<Piece>,
}

/// A piece of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was looked for.
    pub hit: bool,
}

pub(super) fn form(base: &str, search: Option<&SearchView>) -> Markup {
    html! {
        form.search #search role="search" method="get" action={ (base) "/search" }
            hx-get={ (base) "/search" } hx-target="#search-results" hx-trigger="input changed delay:300ms from:#q, submit, search from:#q"
            hx-sync="this:replace" hx-push-url="false" {
            label.visually-hidden for="q" { "Search the text of all documents" }
            (icons::SEARCH)
            input #q type="search" name="q" value=[search.map(|search| &search.query)] placeholder="Search the text of all documents" autocomplete="off"
                maxlength="200" enterkeyhint="search";
            button.button.small.submit type="submit" { "Search" }
        }
    }
}

/// What is inside `#search-results`; nothing at all for an empty query.
pub fn search_results(place: Place<'_>, view: &SearchView) -> Markup {
    html! {
        @if let Some(trouble) = &view.trouble {
            div.callout.warning { (icons::WARNING) p { (trouble) } }
        } @else if !view.query.trim().is_empty() {
            section.results aria-labelledby="results-title" {
                h2 #results-title {
                    @if view.hits.is_empty() { "Nothing found for \u{201c}" (view.query) "\u{201d}" }
                    @else { (format::count(view.hits.len() as u64, "passage", "passages")) @if view.more { ", and more" } " for \u{201c}" (view.query) "\u{201d}" }
                }
                @if view.hits.is_empty() {
                    p.hint { "Search looks for the words themselves. To find what is meant rather than what is written, "
                        a href={ "/w/" (place.workspace) "/chat" } { "ask a question" } "." }
                }
                ol.hits {
                    @for hit in &view.hits {
                        li.hit {
                            a.hit-link href={ "/w/" (place.workspace) "/documents/" (hit.document) "/file#page=" (hit.page_from) } target="_blank" rel="noopener" {
                                span.hit-title { (hit.title) }
                                span.hit-page { (format::pages(hit.page_from, hit.page_to)) }
                            }
                            p.hit-text { @for piece in &hit.snippet { @if piece.hit { mark { (piece.text) } } @else { (piece.text) } } }
                        }
                    }
                }
                @if view.more { p.hint { "More passages match. Another word makes the list shorter." } }
            }
        }
    }
}
