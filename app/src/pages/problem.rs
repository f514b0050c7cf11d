//! What went wrong, as a page or as a fragment at the top of one.

use maud::{Markup, html};

use super::icons;
use super::layout::{Chrome, Frame};

/// A problem in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemView {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// What to do about it.
    pub what_to_do: String,
    /// A short name, to be quoted when asking for help.
    pub code: String,
    /// Where to sign in, if that is what is missing.
    pub sign_in: Option<String>,
    /// The request's number, by which the operator finds it in the log.
    pub request_id: Option<String>,
    /// After how many seconds it is worth trying again.
    pub retry_after_seconds: Option<u64>,
}

/// The page: for an error, for what was not found, for too many requests.
pub fn page(chrome: &Chrome, view: &ProblemView) -> Markup {
    let icon = match view.status {
        404 => icons::SEARCH,
        401 | 403 => icons::LOCK,
        429 | 503 => icons::CLOCK,
        _ => icons::WARNING,
    };
    Frame::new(chrome, &view.title)
        .class("centred")
        .render(&html! {
            section.problem {
                span.empty-icon { (icon) }
                h1 { (view.title) }
                p.lead { (view.what_to_do) }
                (wait(view))
                div.form-actions.centre {
                    @if let Some(sign_in) = &view.sign_in {
                        a.button.primary href=(sign_in) { "Sign in" }
                    } @else {
                        a.button.primary href="/" { @if chrome.user.is_some() { "To your documents" } @else { "To the front page" } }
                    }
                }
                p.hint.problem-code { (view.status) " \u{b7} " (view.code) @if let Some(id) = &view.request_id { " \u{b7} request " (id) } }
            }
        })
}

/// The fragment, swapped into `#problems` at the top of the page that asked.
pub fn fragment(view: &ProblemView) -> Markup {
    html! {
        div.callout.bad.dismissable role="alert" data-problem=(view.code) data-request=[&view.request_id] {
            (icons::WARNING)
            div {
                p.callout-title { (view.title) }
                p { (view.what_to_do) @if let Some(sign_in) = &view.sign_in { " " a href=(sign_in) { "Sign in" } } }
                (wait(view))
            }
            button.icon-button type="button" data-dismiss aria-label="Dismiss" { (icons::CROSS) }
        }
    }
}

fn wait(view: &ProblemView) -> Markup {
    html! {
        // With too many requests, what to do says it already.
        @if let Some(seconds) = view.retry_after_seconds.filter(|_| view.status != 429) {
            p.hint { "Try again in " (super::format::count(seconds, "second", "seconds")) "." }
        }
    }
}
