//! An answer, pending or final.

mod tools;

use jiff::Timestamp;
use maud::{Markup, html};

use super::prose;
use super::{EVENT_DONE, EVENT_STATUS, EVENT_TEXT};
use crate::ask::Rating;
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::parts::{self, Severity, csrf};
use crate::web::shared::pages::{PRODUCT, format, icons};

pub use tools::rating_form;

/// Documents with unread pages that an answer names. The others are counted.
const MAX_UNREAD_NAMED: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerView {
    /// Also part of the element's id and the stream's URL.
    pub id: MessageId,
    pub author: AuthorView,
    pub state: AnswerState,
    /// Empty for excerpts, where the citations are the answer.
    pub text: String,
    /// The passages given to the model.
    pub citations: Vec<CitationView>,
    /// Documents with pages that could not be read, whose text the answer may lack.
    pub unread: Vec<UnreadDocument>,
    /// Who stopped it, if this is known.
    pub stopped_by: Option<String>,
    /// The reader's rating. `None` if it cannot be rated.
    pub rating: Option<RatingView>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorView {
    Model {
        /// As named by the API.
        name: String,
    },
    /// Passages quoted from the documents, without a model.
    Excerpts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerState {
    /// Being generated, or waiting for a client to open its stream.
    Pending,
    Complete,
    Stopped,
    Failed {
        reason: String,
        /// What the user can do about it.
        hint: String,
        /// It reached its maximum length.
        can_continue: bool,
    },
    /// No passage is relevant enough.
    NotFound,
}

impl AnswerView {
    fn is_excerpts(&self) -> bool {
        self.author == AuthorView::Excerpts && self.state == AnswerState::Complete
    }
}

/// The reader's rating of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatingView {
    None,
    Good,
    Bad,
}

impl RatingView {
    /// As submitted by the form.
    fn value(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Good => Rating::Good.as_str(),
            Self::Bad => Rating::Bad.as_str(),
        }
    }
}

impl From<Option<Rating>> for RatingView {
    fn from(rating: Option<Rating>) -> Self {
        match rating {
            None => Self::None,
            Some(Rating::Good) => Self::Good,
            Some(Rating::Bad) => Self::Bad,
        }
    }
}

/// A document with pages that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadDocument {
    pub document: DocumentId,
    pub title: String,
    /// Such as `198 of 311 pages are images.`
    pub summary: String,
}

/// A passage that an answer is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitationView {
    /// As referenced in the text: `[1]`.
    pub number: u32,
    /// `None` if the document was deleted.
    pub document: Option<DocumentId>,
    pub title: String,
    /// Page of the best match, at which the PDF opens.
    pub page: u32,
    pub page_from: u32,
    pub page_to: u32,
    /// The printed labels of both pages, such as `iv`, if they are not the page numbers.
    pub printed_from: Option<String>,
    pub printed_to: Option<String>,
    /// Whether the text references it.
    pub cited: bool,
    pub quote: String,
}

impl CitationView {
    /// `page 7`, `page 7 (printed iv)`, or `pages 7–8 (printed iv–v)`.
    fn pages(&self) -> String {
        let printed = (self.printed_from.as_deref(), self.printed_to.as_deref());
        format::printed_pages(self.page_from, self.page_to, printed)
    }
}

/// What happens before there is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Searching,
    Reading { passages: u32 },
    Writing,
}

/// An answer in its conversation; sent with [`super::EVENT_DONE`] once it is final.
pub fn answer(form_context: FormContext<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    if view.state == AnswerState::Pending {
        pending(form_context, thread, view)
    } else {
        final_answer(form_context, thread, view)
    }
}

fn pending(form_context: FormContext<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    let stream = format!(
        "/w/{}/chat/{thread}/messages/{}",
        form_context.workspace, view.id
    );
    html! {
        article.message.answer.pending id={ "message-" (view.id) } aria-busy="true" aria-live="off" hx-ext="sse" sse-connect={ (stream) "/events" } sse-close=(EVENT_DONE)
            sse-swap=(EVENT_DONE) hx-swap="outerHTML" {
            (author(&view.author))
            div.answer-status sse-swap=(EVENT_STATUS) hx-swap="innerHTML" { (answer_status(Progress::Searching)) }
            div.answer-text dir="auto" sse-swap=(EVENT_TEXT) hx-swap="innerHTML" { (answer_text(form_context, view)) }
            form.stop method="post" action={ (stream) "/stop" } hx-post={ (stream) "/stop" } hx-swap="none" {
                (csrf(form_context.csrf))
                button.button.small type="submit" { (icons::STOP) "Stop" }
            }
        }
    }
}

fn final_answer(form_context: FormContext<'_>, thread: ThreadId, view: &AnswerView) -> Markup {
    html! {
        article.message.answer id={ "message-" (view.id) } {
            @if view.state == AnswerState::NotFound { (product_author()) } @else { (author(&view.author)) }
            @match &view.state {
                AnswerState::NotFound => (not_found(view)),
                AnswerState::Pending | AnswerState::Complete | AnswerState::Stopped | AnswerState::Failed { .. } => {
                    @if view.author == AuthorView::Excerpts { (excerpts(form_context, view)) } @else {
                        div.answer-text dir="auto" { (answer_text(form_context, view)) }
                        @if !view.text.trim().is_empty() { (sources(form_context, view)) }
                    }
                },
            }
            @match &view.state {
                AnswerState::Stopped => p.answer-end { (parts::badge(Severity::Neutral, "Stopped")) " " (stop_text(view)) },
                AnswerState::Failed { reason, hint, .. } => {
                    (parts::callout(Severity::Bad, reason, &html! { p { (hint) } }))
                },
                AnswerState::Pending | AnswerState::Complete | AnswerState::NotFound => {},
            }
            (unread(form_context, view))
            (tools::tools(form_context, thread, view))
        }
    }
}

/// Replaces a pending answer that the reader can no longer see. Sent with [`super::EVENT_DONE`].
pub fn unavailable_answer() -> Markup {
    html! {
        article.message.answer {
            (parts::callout(Severity::Neutral, "This conversation is no longer available", &html! { p { "It was deleted or made private." } }))
        }
    }
}

fn author(author: &AuthorView) -> Markup {
    html! {
        header.message-head {
            @match author {
                AuthorView::Model { name } => { (icons::LOGO) strong { (PRODUCT) } span.model title="AI model" { (name) } },
                AuthorView::Excerpts => { (icons::QUOTE) strong { "Excerpts from your documents" } span.model { "no AI model used" } },
            }
        }
    }
}

/// Author line of messages that come from neither a model nor a document.
fn product_author() -> Markup {
    html! { header.message-head { (icons::LOGO) strong { (PRODUCT) } } }
}

/// The status text, sent with [`super::EVENT_STATUS`].
pub fn answer_status(progress: Progress) -> Markup {
    html! {
        span.dots aria-hidden="true" { span {} span {} span {} }
        @match progress {
            Progress::Searching => "Searching your documents\u{2026}",
            Progress::Reading { passages } => { "Reading " (format::count(passages.into(), "passage", "passages")) "\u{2026}" },
            Progress::Writing => "Writing\u{2026}",
        }
    }
}

/// The text so far with its references as links. Its changes are sent with [`super::EVENT_TEXT`].
pub fn answer_text(form_context: FormContext<'_>, view: &AnswerView) -> Markup {
    prose::render(&view.text, &|number| {
        view.citations
            .iter()
            .find(|citation| citation.number == number)
            .map(|citation| reference(form_context, citation))
    })
}

/// Renders `[1]` as a link that opens the PDF at the page.
fn reference(form_context: FormContext<'_>, citation: &CitationView) -> Markup {
    let label = format!(
        "Source {}: {}, {}",
        citation.number,
        citation.title,
        citation.pages()
    );
    html! {
        @if let Some(url) = page_url(form_context, citation) {
            a.ref href=(url) target="_blank" rel="noopener" data-citation=(citation.number) aria-label=(label) title=(label) { (citation.number) }
        } @else {
            span.ref title=(label) { (citation.number) }
        }
    }
}

/// URL of the PDF.
fn file_url(form_context: FormContext<'_>, citation: &CitationView) -> Option<String> {
    let workspace = form_context.workspace;
    let document = citation.document?;
    Some(format!("/w/{workspace}/documents/{document}/file"))
}

/// URL of the PDF at the passage's page.
fn page_url(form_context: FormContext<'_>, citation: &CitationView) -> Option<String> {
    let file = file_url(form_context, citation)?;
    Some(format!("{file}#page={}", citation.page))
}

/// A list item with a source of an answer, and what the viewer needs to show it. The quoted passage
/// in the content is a `blockquote`.
fn source_item(form_context: FormContext<'_>, citation: &CitationView, content: &Markup) -> Markup {
    let file = file_url(form_context, citation);
    let only_with_file = |value: String| file.as_ref().map(|_| value);
    html! {
        li data-source=[only_with_file(citation.number.to_string())] data-file=[&file] data-page=[only_with_file(citation.page.to_string())]
            data-pages=[only_with_file(citation.pages())] data-title=[only_with_file(citation.title.clone())] { (content) }
    }
}

fn source_link(form_context: FormContext<'_>, citation: &CitationView) -> Markup {
    html! {
        span.ref aria-hidden="true" { (citation.number) }
        @if let Some(url) = page_url(form_context, citation) {
            a.source-link href=(url) target="_blank" rel="noopener" data-citation=(citation.number) {
                span.source-title dir="auto" { (citation.title) } span.source-page { (citation.pages()) }
            }
        } @else {
            span.source-title dir="auto" { (citation.title) } span.source-page { (citation.pages()) " (document deleted)" }
        }
    }
}

fn sources(form_context: FormContext<'_>, view: &AnswerView) -> Markup {
    let cited: Vec<&CitationView> = view
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
                        (source_item(form_context, citation, &html! {
                            details {
                                summary { (source_line(citation)) }
                                blockquote dir="auto" { (citation.quote) }
                                @if let Some(url) = page_url(form_context, citation) {
                                    a href=(url) target="_blank" rel="noopener" data-citation=(citation.number) { "Open PDF at " (citation.pages()) }
                                }
                            }
                        }))
                    }
                }
            }
        }
    }
}

fn source_line(citation: &CitationView) -> Markup {
    html! {
        span.ref aria-hidden="true" { (citation.number) }
        span.source-title dir="auto" { (citation.title) }
        span.source-page { (citation.pages()) @if citation.document.is_none() { " (document deleted)" } }
    }
}

/// Names the documents whose text the answer may lack.
fn unread(form_context: FormContext<'_>, view: &AnswerView) -> Markup {
    let named = &view.unread[..view.unread.len().min(MAX_UNREAD_NAMED)];
    let others = view.unread.len() - named.len();
    html! {
        @if !named.is_empty() {
            div.answer-unread {
                p { (icons::WARNING)
                    @if view.state == AnswerState::NotFound { "Some pages couldn\u{2019}t be read. The answer may be on one of them:" }
                    @else { "Some pages couldn\u{2019}t be read, so the answer may be incomplete:" }
                }
                ul {
                    @for document in named {
                        li {
                            a href={ "/w/" (form_context.workspace) "/documents/" (document.document) } dir="auto" { (document.title) }
                            ": " (document.summary)
                        }
                    }
                    @if others > 0 {
                        li { (format::count(others as u64, "other document", "other documents")) }
                    }
                }
            }
        }
    }
}

fn excerpts(form_context: FormContext<'_>, view: &AnswerView) -> Markup {
    html! {
        p.hint { "These are the most relevant passages, quoted word for word." }
        ol.excerpts {
            @for citation in &view.citations {
                (source_item(form_context, citation, &html! {
                    blockquote dir="auto" { (citation.quote) }
                    p.excerpt-source { (source_link(form_context, citation)) }
                }))
            }
        }
    }
}

fn not_found(view: &AnswerView) -> Markup {
    html! {
        div.answer-text {
            @if view.text.trim().is_empty() {
                p { "We couldn\u{2019}t find an answer in your documents." }
            } @else { p dir="auto" { (view.text) } }
        }
        p.hint { "Try rephrasing your question, making it more specific, or uploading a document that covers it." }
    }
}

fn stop_text(view: &AnswerView) -> Markup {
    html! {
        @match &view.stopped_by {
            Some(name) => bdi { (name) },
            None => "Someone",
        }
        " stopped this answer, so it may be incomplete."
    }
}
