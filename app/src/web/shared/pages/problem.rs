//! Error messages, as a page or as a fragment at the top of a page.

use maud::{Markup, html};
use serde::Serialize;

use super::icons;
use super::layout::{Layout, PageContext};

/// A link to a page with more information.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HelpLink {
    pub path: String,
    pub label: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemView {
    pub status: u16,
    pub title: String,
    /// What the user can do about it.
    pub hint: String,
    /// Short error code, to quote in support requests.
    pub code: String,
    /// Sign-in path, if the user has to sign in.
    pub sign_in: Option<String>,
    /// Id of the request in the logs.
    pub request_id: Option<String>,
    pub retry_after_seconds: Option<u64>,
    pub link: Option<HelpLink>,
}

pub fn page(context: &PageContext, view: &ProblemView) -> Markup {
    let icon = match view.status {
        404 => icons::SEARCH,
        401 | 403 => icons::LOCK,
        429 | 503 => icons::CLOCK,
        _ => icons::WARNING,
    };
    Layout::new(context, &view.title)
        .class("centred")
        .render(&html! {
            section.problem {
                span.empty-icon { (icon) }
                h1 { (view.title) }
                p.lead { (view.hint) }
                (wait(view))
                div.form-actions.centre {
                    @if let Some(sign_in) = &view.sign_in {
                        a.button.primary href=(sign_in) { "Sign in" }
                    } @else {
                        @let back = back(context);
                        @if let Some(link) = &view.link {
                            a.button.primary href=(link.path) { (link.label) }
                            a.button href=(back.path) { (back.label) }
                        } @else {
                            a.button.primary href=(back.path) { (back.label) }
                        }
                    }
                }
                p.hint.problem-code { (view.status) " \u{b7} " (view.code) @if let Some(id) = &view.request_id { " \u{b7} request " (id) } }
            }
        })
}

/// Where to continue: the current workspace if known, otherwise the home page.
fn back(context: &PageContext) -> HelpLink {
    let (path, label) = match (&context.workspace, &context.user) {
        (Some(workspace), _) => (format!("/w/{}/documents", workspace.id), "Go to documents"),
        (None, Some(_)) => ("/".to_owned(), "Go to your documents"),
        (None, None) => ("/".to_owned(), "Go to home page"),
    };
    HelpLink { path, label }
}

/// The fragment swapped into `#problems` at the top of the current page.
pub fn fragment(view: &ProblemView) -> Markup {
    html! {
        div.callout.bad.dismissable role="alert" data-problem=(view.code) data-request=[&view.request_id] {
            (icons::WARNING)
            div {
                p.callout-title { (view.title) }
                p {
                    (view.hint)
                    @if let Some(sign_in) = &view.sign_in { " " a href=(sign_in) { "Sign in" } }
                    @if let Some(link) = &view.link { " " a href=(link.path) { (link.label) } }
                }
                (wait(view))
            }
            button.icon-button type="button" data-dismiss aria-label="Dismiss" { (icons::CROSS) }
        }
    }
}

fn wait(view: &ProblemView) -> Markup {
    html! {
        // For too many requests, the hint already says when to retry.
        @if let Some(seconds) = view.retry_after_seconds.filter(|_| view.status != 429) {
            p.hint { "Try again in " (crate::web::shared::pages::format::count(seconds, "second", "seconds")) "." }
        }
    }
}
