//! The buttons under an answer: copy, regenerate, rate, continue.

use maud::{Markup, html};

use super::{AnswerState, AnswerView, RatingView};
use crate::ids::{MessageId, ThreadId};
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::icons::{self, Icon};
use crate::web::shared::pages::parts::csrf;

/// The question that continues an answer.
const CONTINUE_QUESTION: &str = "Continue your answer where it stopped.";

fn url(form_context: FormContext<'_>, thread: ThreadId, message: MessageId) -> String {
    let workspace = form_context.workspace;
    format!("/w/{workspace}/chat/{thread}/messages/{message}")
}

pub(super) fn tools(form_context: FormContext<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    let url = url(form_context, thread, view.id);
    let has_content = !view.text.trim().is_empty() || view.is_excerpts();
    html! {
        div.answer-tools {
            @if matches!(view.state, AnswerState::Failed { can_continue: true, .. }) { (continuation(form_context, thread)) }
            @if has_content {
                (copy_button(&format!("{url}/text"), "Copy"))
                @if view.citations.iter().any(|citation| citation.cited) {
                    (copy_button(&format!("{url}/text?citations=no"), "Copy without citations"))
                }
            }
            form method="post" action={ (url) "/regenerate" } hx-post={ (url) "/regenerate" } hx-target="closest article" hx-swap="outerHTML" data-once {
                (csrf(form_context.csrf))
                button.button.small.quiet type="submit" {
                    (icons::AGAIN)
                    span { @if matches!(view.state, AnswerState::Failed { .. }) { "Try again" } @else { "Regenerate" } }
                }
            }
            @if let Some(rating) = view.rating { (rating_form(form_context, thread, view.id, rating)) }
        }
    }
}

/// Copying needs the script, which shows the button.
fn copy_button(url: &str, label: &str) -> Markup {
    html! {
        button.button.small.quiet type="button" data-copy-url=(url) hidden { (icons::COPY) span { (label) } }
    }
}

fn continuation(form_context: FormContext<'_>, thread: ThreadId) -> Markup {
    let chat = format!("/w/{}/chat", form_context.workspace);
    html! {
        form method="post" action=(chat) hx-post=(chat) hx-target="#messages" hx-swap="beforeend" data-once {
            (csrf(form_context.csrf))
            input type="hidden" name="thread" value=(thread);
            input type="hidden" name="question" value=(CONTINUE_QUESTION);
            button.button.small type="submit" { (icons::SEND) span { "Continue" } }
        }
    }
}

/// Rates an answer, or removes the rating. Its response replaces it.
pub fn rating_form(
    form_context: FormContext<'_>,
    thread: ThreadId,
    message: MessageId,
    rating: RatingView,
) -> Markup {
    let url = format!("{}/rating", url(form_context, thread, message));
    let button = |icon: Icon, label: &str, this: RatingView| {
        let is_pressed = rating == this;
        // Pressing it again removes the rating.
        let next = if is_pressed { RatingView::None } else { this };
        html! {
            button.icon-button id={ "rate-" (this.value()) "-" (message) } type="submit" name="rating" value=(next.value())
                aria-label=(label) title=(label) aria-pressed=(is_pressed) { (icon) }
        }
    };
    html! {
        form.rating method="post" action=(url) hx-post=(url) hx-swap="outerHTML" {
            (csrf(form_context.csrf))
            (button(icons::THUMB_UP, "Good answer", RatingView::Good))
            (button(icons::THUMB_DOWN, "Bad answer", RatingView::Bad))
        }
    }
}
