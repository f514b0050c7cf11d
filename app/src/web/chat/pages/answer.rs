//! An answer: while it is written, and in its final form.

use jiff::Timestamp;
use maud::{Markup, html};

use super::prose;
use super::{ChatPlace, EVENT_DONE, EVENT_STATUS, EVENT_TEXT};
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::web::shared::pages::parts::{self, Severity, csrf};
use crate::web::shared::pages::{PRODUCT, format, icons};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerView {
    /// Its place in the page, and in its stream's URL.
    pub id: MessageId,
    /// Who speaks.
    pub author: Author,
    /// How far it is.
    pub state: AnswerState,
    /// What was written; for extracts nothing, since the citations are the answer.
    pub text: String,
    /// What it was given to read.
    pub citations: Vec<Citation>,
    /// The question it answers, to ask it again.
    pub question: String,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Who speaks in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A model.
    Model {
        /// As the endpoint names it.
        name: String,
    },
    /// Nobody: passages of the documents, quoted.
    Extracts,
}

/// How far an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerState {
    /// It is being written, or waits for its stream to be opened.
    Pending,
    /// It is whole.
    Complete,
    /// Somebody stopped it.
    Stopped,
    /// It broke off.
    Failed {
        /// What happened.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Nothing in the documents is near enough to the question.
    NotFound,
}

/// A passage that an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// As it stands in the text: `[1]`.
    pub number: u32,
    /// Which document; `None` once it was removed.
    pub document: Option<DocumentId>,
    /// What people called it.
    pub title: String,
    /// The page where the best of it begins: there the PDF is opened.
    pub page: u32,
    /// Its first page.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Whether the answer refers to it.
    pub cited: bool,
    /// The passage.
    pub quote: String,
}

/// What is being done before there is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Looking for passages.
    Searching,
    /// So many passages were found and are being read.
    Reading {
        /// How many.
        passages: u32,
    },
    /// The model writes.
    Writing,
}

/// An answer as it stands in its thread; sent with [`super::EVENT_DONE`] in its final form.
pub fn answer(place: ChatPlace<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    if view.state == AnswerState::Pending {
        pending(place, thread, view)
    } else {
        ended(place, thread, view)
    }
}

fn pending(place: ChatPlace<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    let stream = format!("/w/{}/chat/{thread}/messages/{}", place.workspace, view.id);
    html! {
        article.message.answer.pending id={ "message-" (view.id) } aria-busy="true" aria-live="off" hx-ext="sse" sse-connect={ (stream) "/events" } sse-close=(EVENT_DONE)
            sse-swap=(EVENT_DONE) hx-swap="outerHTML" {
            (author(&view.author))
            div.answer-status sse-swap=(EVENT_STATUS) hx-swap="innerHTML" { (answer_status(Progress::Searching)) }
            div.answer-text sse-swap=(EVENT_TEXT) hx-swap="innerHTML" { (answer_text(place, view)) }
            form.stop method="post" action={ (stream) "/stop" } hx-post={ (stream) "/stop" } hx-swap="none" {
                (csrf(place.csrf))
                button.button.small type="submit" { (icons::STOP) "Stop" }
            }
        }
    }
}

fn ended(place: ChatPlace<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    html! {
        article.message.answer id={ "message-" (view.id) } {
            @if view.state == AnswerState::NotFound { (nobody()) } @else { (author(&view.author)) }
            @match &view.state {
                AnswerState::NotFound => (not_found(view)),
                AnswerState::Pending | AnswerState::Complete | AnswerState::Stopped | AnswerState::Failed { .. } => {
                    @if view.author == Author::Extracts { (extracts(place, view)) } @else {
                        div.answer-text { (answer_text(place, view)) }
                        @if !view.text.trim().is_empty() { (sources(place, view)) }
                    }
                },
            }
            @match &view.state {
                AnswerState::Stopped => p.answer-end { (parts::badge(Severity::Neutral, "Stopped")) " You stopped this answer; it may be incomplete." },
                AnswerState::Failed { reason, hint } => {
                    (parts::callout(Severity::Bad, reason, &html! { p { (hint) } }))
                },
                AnswerState::Pending | AnswerState::Complete | AnswerState::NotFound => {},
            }
            @if matches!(view.state, AnswerState::Stopped | AnswerState::Failed { .. }) { (ask_again(place, thread, view)) }
        }
    }
}

fn author(author: &Author) -> Markup {
    html! {
        header.message-head {
            @match author {
                Author::Model { name } => { (icons::LOGO) strong { (PRODUCT) } span.model title="The model that wrote this" { (name) } },
                Author::Extracts => { (icons::QUOTE) strong { "Extracts from your documents" } span.model { "no model\u{2019}s words" } },
            }
        }
    }
}

/// Above what neither a model nor a document says.
fn nobody() -> Markup {
    html! { header.message-head { (icons::LOGO) strong { (PRODUCT) } } }
}

/// What is being done, in words: sent with [`super::EVENT_STATUS`].
pub fn answer_status(progress: Progress) -> Markup {
    html! {
        span.dots aria-hidden="true" { span {} span {} span {} }
        @match progress {
            Progress::Searching => "Looking through the documents\u{2026}",
            Progress::Reading { passages } => { "Reading " (format::count(passages.into(), "passage", "passages")) "\u{2026}" },
            Progress::Writing => "Writing\u{2026}",
        }
    }
}

/// The text so far, with its references as links: sent with [`super::EVENT_TEXT`].
pub fn answer_text(place: ChatPlace<'_>, view: &AnswerView) -> Markup {
    prose::render(&view.text, &|number| {
        view.citations
            .iter()
            .find(|citation| citation.number == number)
            .map(|citation| reference(place, citation))
    })
}

/// `[1]` as a link that opens the PDF at its page.
fn reference(place: ChatPlace<'_>, citation: &Citation) -> Markup {
    let label = format!(
        "Source {}: {}, {}",
        citation.number,
        citation.title,
        format::pages(citation.page_from, citation.page_to)
    );
    html! {
        @if let Some(url) = page_url(place, citation) {
            a.ref href=(url) target="_blank" rel="noopener" aria-label=(label) title=(label) { (citation.number) }
        } @else {
            span.ref title=(label) { (citation.number) }
        }
    }
}

/// Where the PDF opens at the passage's page.
fn page_url(place: ChatPlace<'_>, citation: &Citation) -> Option<String> {
    citation.document.map(|document| {
        format!(
            "/w/{}/documents/{document}/file#page={}",
            place.workspace, citation.page
        )
    })
}

fn source_link(place: ChatPlace<'_>, citation: &Citation) -> Markup {
    html! {
        span.ref aria-hidden="true" { (citation.number) }
        @if let Some(url) = page_url(place, citation) {
            a.source-link href=(url) target="_blank" rel="noopener" {
                span.source-title { (citation.title) } span.source-page { (format::pages(citation.page_from, citation.page_to)) }
            }
        } @else {
            span.source-title { (citation.title) } span.source-page { (format::pages(citation.page_from, citation.page_to)) ", document removed" }
        }
    }
}

fn sources(place: ChatPlace<'_>, view: &AnswerView) -> Markup {
    let cited: Vec<&Citation> = view
        .citations
        .iter()
        .filter(|citation| citation.cited)
        .collect();
    html! {
        @if !cited.is_empty() {
            div.sources {
                h2 { "Sources" }
                ol {
                    @for citation in cited {
                        li {
                            details {
                                summary { (source_line(citation)) }
                                blockquote { (citation.quote) }
                                @if let Some(url) = page_url(place, citation) {
                                    a href=(url) target="_blank" rel="noopener" { "Open the PDF at " (format::pages(citation.page_from, citation.page_to)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn source_line(citation: &Citation) -> Markup {
    html! {
        span.ref aria-hidden="true" { (citation.number) }
        span.source-title { (citation.title) }
        span.source-page { (format::pages(citation.page_from, citation.page_to)) @if citation.document.is_none() { ", document removed" } }
    }
}

fn extracts(place: ChatPlace<'_>, view: &AnswerView) -> Markup {
    html! {
        p.hint { "These passages fit the question best. They are quoted as they stand; nothing was added." }
        ol.extracts {
            @for citation in &view.citations {
                li {
                    blockquote { (citation.quote) }
                    p.extract-source { (source_link(place, citation)) }
                }
            }
        }
    }
}

fn not_found(view: &AnswerView) -> Markup {
    html! {
        div.answer-text {
            @if view.text.trim().is_empty() {
                p { "Nothing in these documents is near enough to this question to answer it." }
            } @else { p { (view.text) } }
        }
        p.hint { "Try other words, ask about something narrower, or bring the document that should know." }
    }
}

fn ask_again(place: ChatPlace<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    html! {
        form method="post" action={ "/w/" (place.workspace) "/chat" } data-once {
            (csrf(place.csrf))
            input type="hidden" name="thread" value=(thread);
            input type="hidden" name="question" value=(view.question);
            button.button.small type="submit" { (icons::AGAIN) "Ask again" }
        }
    }
}
