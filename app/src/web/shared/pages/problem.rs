//! What went wrong, as a page or as a fragment at the top of one.

use maud::{Markup, html};
use serde::Serialize;

use super::icons;
use super::layout::{PageContext, Layout};

/// A page that helps on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HelpLink {
    /// Its path on this site.
    pub path: String,
    /// What its link says.
    pub label: &'static str,
}

/// A problem in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemView {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// What to do about it.
    pub hint: String,
    /// A short name, to be quoted when asking for help.
    pub code: String,
    /// Where to sign in, if that is what is missing.
    pub sign_in: Option<String>,
    /// The request's number, by which the operator finds it in the log.
    pub request_id: Option<String>,
    /// After how many seconds it is worth trying again.
    pub retry_after_seconds: Option<u64>,
    /// The page that says more, if there is one.
    pub lead: Option<HelpLink>,
}

/// The page: for an error, for what was not found, for too many requests.
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
                        @if let Some(lead) = &view.lead {
                            a.button.primary href=(lead.path) { (lead.label) }
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

/// Where whoever asked goes on: in the workspace that they were in, if it is known.
fn back(context: &PageContext) -> HelpLink {
    let (path, label) = match (&context.workspace, &context.user) {
        (Some(workspace), _) => (
            format!("/w/{}/documents", workspace.id),
            "To the workspace\u{2019}s documents",
        ),
        (None, Some(_)) => ("/".to_owned(), "To your documents"),
        (None, None) => ("/".to_owned(), "To the front page"),
    };
    HelpLink { path, label }
}

/// The fragment, swapped into `#problems` at the top of the page that asked.
pub fn fragment(view: &ProblemView) -> Markup {
    html! {
        div.callout.bad.dismissable role="alert" data-problem=(view.code) data-request=[&view.request_id] {
            (icons::WARNING)
            div {
                p.callout-title { (view.title) }
                p {
                    (view.hint)
                    @if let Some(sign_in) = &view.sign_in { " " a href=(sign_in) { "Sign in" } }
                    @if let Some(lead) = &view.lead { " " a href=(lead.path) { (lead.label) } }
                }
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
            p.hint { "Try again in " (crate::web::shared::pages::format::count(seconds, "second", "seconds")) "." }
        }
    }
}
