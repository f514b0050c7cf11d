//! The list of conversations, with a search.

use jiff::Timestamp;
use maud::{Markup, html};

use super::Sharing;
use crate::ask::MAX_THREAD_SEARCH_CHARS;
use crate::ids::ThreadId;
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::{format, icons};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLink {
    pub id: ThreadId,
    /// By default the first question, shortened.
    pub title: String,
    pub sharing: Sharing,
    /// Whether the reader pinned it.
    pub is_pinned: bool,
    /// When the last message was added.
    pub updated_at: Timestamp,
}

/// The list of conversations beside the open one; collapsible on phones. `search` is the text that
/// all of them contain.
pub fn thread_list(
    form_context: FormContext<'_>,
    threads: &[ThreadLink],
    current: Option<ThreadId>,
    search: &str,
) -> Markup {
    let base = format!("/w/{}/chat", form_context.workspace);
    html! {
        details.threads #threads data-wide-open open[!search.is_empty()] {
            summary { (icons::CHAT) span { "Conversations" } span.count { (threads.len()) } }
            nav aria-label="Conversations" {
                a.button.wide href=(base) { (icons::PLUS) "New conversation" }
                @if !threads.is_empty() || !search.is_empty() { (search_form(&base, search)) }
                div #thread-results aria-live="polite" {
                    @if threads.is_empty() && search.is_empty() { p.hint { "Your conversations will appear here." } }
                    @else if threads.is_empty() { p.hint { "No conversation contains this text." } }
                    ul {
                        @for thread in threads {
                            li {
                                a href={ (base) "/" (thread.id) } aria-current=[(current == Some(thread.id)).then_some("page")] {
                                    span.thread-title dir="auto" { (thread.title) }
                                    small {
                                        @if thread.is_pinned { (icons::PIN) span.visually-hidden { "Pinned, " } }
                                        (format::time(thread.updated_at, form_context.now))
                                        @match &thread.sharing {
                                            Sharing::SharedByReader => " \u{b7} shared",
                                            Sharing::SharedBy(name) => { " \u{b7} shared by " bdi { (name) } },
                                            Sharing::Private | Sharing::NotRestricted => {},
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn search_form(base: &str, search: &str) -> Markup {
    html! {
        form.search role="search" method="get" action=(base) hx-get=(base) hx-target="#thread-results" hx-select="#thread-results"
            hx-swap="outerHTML" hx-trigger="input changed delay:300ms from:#thread-search, submit, search from:#thread-search"
            hx-sync="this:replace" hx-push-url="false" {
            label.visually-hidden for="thread-search" { "Search conversations" }
            (icons::SEARCH)
            input #thread-search type="search" name="q" value=(search) placeholder="Search conversations" autocomplete="off"
                maxlength=(MAX_THREAD_SEARCH_CHARS) enterkeyhint="search";
        }
    }
}
