//! Full-text search over a workspace's documents.

use maud::{Markup, html};

use crate::ids::DocumentId;
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::{format, icons};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchView {
    pub query: String,
    /// Best match first.
    pub hits: Vec<HitView>,
    /// Whether there are more hits than shown.
    pub more: bool,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitView {
    pub document: DocumentId,
    pub title: String,
    pub page_from: u32,
    pub page_to: u32,
    /// The printed labels of both pages, such as `iv`, if they are not the page numbers.
    pub printed_from: Option<String>,
    pub printed_to: Option<String>,
    /// The text around the matches.
    pub snippet: Vec<Piece>,
}

/// A part of a snippet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// Whether this part matches the query.
    pub hit: bool,
}

pub(super) fn form(base: &str, search: Option<&SearchView>) -> Markup {
    html! {
        form.search #search role="search" method="get" action={ (base) "/search" }
            hx-get={ (base) "/search" } hx-target="#search-results" hx-trigger="input changed delay:300ms from:#q, submit, search from:#q"
            hx-sync="this:replace" hx-push-url="false" {
            label.visually-hidden for="q" { "Search documents" }
            (icons::SEARCH)
            input #q type="search" name="q" value=[search.map(|search| &search.query)] placeholder="Search all documents" autocomplete="off"
                maxlength="200" enterkeyhint="search";
            button.button.small.submit type="submit" { "Search" }
        }
    }
}

/// Content of `#search-results`; empty for an empty query.
pub fn search_results(form_context: FormContext<'_>, view: &SearchView) -> Markup {
    html! {
        @if let Some(error) = &view.error {
            div.callout.warning { (icons::WARNING) p { (error) } }
        } @else if !view.query.trim().is_empty() {
            section.results aria-labelledby="results-title" {
                h2 #results-title {
                    @if view.hits.is_empty() { "No results for \u{201c}" (view.query) "\u{201d}" }
                    @else { (format::count(view.hits.len() as u64, "passage", "passages")) @if view.more { " (showing the best matches)" } " for \u{201c}" (view.query) "\u{201d}" }
                }
                @if view.hits.is_empty() {
                    p.hint { "Search finds exact words. To search by meaning, "
                        a href={ "/w/" (form_context.workspace) "/chat" } { "ask a question" } "." }
                }
                ol.hits {
                    @for hit in &view.hits {
                        li.hit {
                            a.hit-link href={ "/w/" (form_context.workspace) "/documents/" (hit.document) "/file#page=" (hit.page_from) } target="_blank" rel="noopener" {
                                span.hit-title dir="auto" { (hit.title) }
                                span.hit-page { (format::printed_pages(hit.page_from, hit.page_to, (hit.printed_from.as_deref(), hit.printed_to.as_deref()))) }
                            }
                            p.hit-text dir="auto" { @for piece in &hit.snippet { @if piece.hit { mark { (piece.text) } } @else { (piece.text) } } }
                        }
                    }
                }
                @if view.more { p.hint { "There are more matches. Refine your search to see fewer." } }
            }
        }
    }
}
