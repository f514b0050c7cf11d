//! Conversations about a workspace's documents.
//!
//! A question is posted as a form to `/w/{workspace}/chat`, with `question`, `document` for each
//! document to search, and `thread` to continue a conversation. `shown` has the ids of the documents
//! that were selected when the page was rendered. The answer is then shown as
//! `Pending` and connects to `/w/{workspace}/chat/{thread}/messages/{message}/events`:
//! - [`EVENT_STATUS`] carries [`answer_status`];
//! - [`EVENT_TEXT`] carries what changed in [`answer_text`] since the previous event of this
//!   stream, as `kept:added`: the number of UTF-16 code units of the HTML that stay, and the HTML
//!   that follows them. The first event carries the whole text so far;
//! - [`EVENT_DONE`] carries the final [`answer`], or [`unavailable_answer`], and ends the stream.

mod answer;
mod head;
mod list;
mod prose;
mod scope;
mod viewer;

use jiff::Timestamp;
use maud::{Markup, html};

pub use answer::{
    AnswerState, AnswerView, AuthorView, CitationView, Progress, RatingView, UnreadDocument,
    answer, answer_status, answer_text, rating_form, unavailable_answer,
};
pub use head::Sharing;
pub use list::{ThreadLink, thread_list};

use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::web::shared::pages::FormContext;
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{self, csrf, form_error};
use crate::web::shared::pages::{format, icons};

/// Carries the status before there is text.
pub const EVENT_STATUS: &str = "status";
/// Carries what changed in the text.
pub const EVENT_TEXT: &str = "text";
/// Carries the final answer and ends the stream.
pub const EVENT_DONE: &str = "done";
pub use crate::ask::MAX_QUESTION_CHARS;
use crate::ask::threads::UNDO_TIME;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPage {
    /// Newest first.
    pub threads: Vec<ThreadLink>,
    /// The text that the listed conversations contain. Empty if all are listed.
    pub search: String,
    /// The open conversation; `None` for a new one.
    pub thread: Option<ThreadView>,
    /// How many documents are being uploaded or processed.
    pub pending_documents: u32,
    /// The documents that questions can be limited to.
    pub documents: Vec<DocumentChoice>,
    /// For a new conversation: the selected documents.
    pub chosen: Vec<DocumentId>,
    /// A conversation that was just deleted and can be restored.
    pub deleted: Option<DeletedThread>,
    /// Whether answers are excerpts because no model is configured.
    pub excerpts_only: bool,
    /// The question from a rejected submission.
    pub draft: String,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChoice {
    pub id: DocumentId,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadView {
    pub id: ThreadId,
    /// By default the first question, shortened.
    pub title: String,
    /// The documents that it is limited to; empty for all.
    pub scope: Vec<DocumentChoice>,
    pub sharing: Sharing,
    /// Whether the reader pinned it.
    pub is_pinned: bool,
    /// Whether the reader may delete it.
    pub can_delete: bool,
    /// In order.
    pub messages: Vec<MessageView>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedThread {
    pub id: ThreadId,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageView {
    Question(QuestionView),
    Answer(AnswerView),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionView {
    /// Also part of the element's id.
    pub id: MessageId,
    pub text: String,
    /// `None` if the account was deleted.
    pub asked_by: Option<String>,
    pub asked_at: Timestamp,
}

pub fn page(context: &PageContext, form_context: FormContext<'_>, view: &ChatPage) -> Markup {
    let base = format!("/w/{}/chat", form_context.workspace);
    let title = view
        .thread
        .as_ref()
        .map_or("New conversation", |thread| &thread.title);
    Layout::new(context, title)
        .section(Section::Chat)
        .class("chat")
        .render(&html! {
            @if let Some(deleted) = &view.deleted { (undo(form_context, deleted, &base)) }
            (thread_list(form_context, &view.threads, view.thread.as_ref().map(|thread| thread.id), &view.search))
            div.conversation {
                (head::head(form_context, view, &base))
                div.messages #messages role="log" aria-label="Conversation" {
                    @if let Some(thread) = &view.thread {
                        @for message in &thread.messages { (self::message(form_context, thread.id, message)) }
                    } @else { (beginning(form_context, view)) }
                }
                (composer(form_context, view, &base))
            }
            (viewer::viewer())
        })
}

/// Offers to undo a deletion. The script removes it when it is too late.
fn undo(form_context: FormContext<'_>, deleted: &DeletedThread, base: &str) -> Markup {
    html! {
        div.toast.dismissable role="status" data-undo-seconds=(UNDO_TIME.as_secs()) {
            (icons::TRASH)
            p.grow { "Deleted \u{201c}" bdi { (deleted.title) } "\u{201d}." }
            (parts::button_form(&format!("{base}/{}/restore", deleted.id), form_context.csrf, "button small", "Undo"))
        }
    }
}

/// Shown instead of messages in a new conversation.
fn beginning(form_context: FormContext<'_>, view: &ChatPage) -> Markup {
    html! {
        @if view.documents.is_empty() && view.pending_documents > 0 {
            (parts::empty(icons::CLOCK, "Your documents are being processed",
                &format!("{} will be ready soon. Then you can ask questions here.", format::count(view.pending_documents.into(), "document", "documents")),
                Some(html! { a.button.primary href={ "/w/" (form_context.workspace) "/documents" } { "Show progress" } })))
        } @else if view.documents.is_empty() {
            (parts::empty(icons::DOCUMENTS, "No documents to ask about yet", "Upload a PDF first. You can ask questions about it as soon as it\u{2019}s ready.",
                Some(html! { a.button.primary href={ "/w/" (form_context.workspace) "/documents" } { (icons::UPLOAD) "Upload documents" } })))
        } @else {
            div.empty {
                span.empty-icon { (icons::CHAT) }
                h2 { "What would you like to know?" }
                p { "Ask in your own words. Each answer links to the pages it\u{2019}s based on." }
            }
        }
    }
}

pub fn message(form_context: FormContext<'_>, thread: ThreadId, message: &MessageView) -> Markup {
    match message {
        MessageView::Question(view) => question(form_context, view),
        MessageView::Answer(view) => answer(form_context, thread, view),
    }
}

/// A new question and its pending answer, appended to `#messages` when the form is posted by
/// script.
pub fn exchange(
    form_context: FormContext<'_>,
    thread: ThreadId,
    scope: &[DocumentChoice],
    documents: &[DocumentChoice],
    asked: &QuestionView,
    answering: &AnswerView,
) -> Markup {
    html! {
        (scope::line(form_context, scope, true))
        (scope::menu_of_thread(scope, documents, true))
        (question(form_context, asked))
        (answer(form_context, thread, answering))
    }
}

fn question(form_context: FormContext<'_>, view: &QuestionView) -> Markup {
    html! {
        article.message.question id={ "message-" (view.id) } {
            header.message-head {
                strong { (view.asked_by.as_deref().unwrap_or("Former member")) }
                " " (format::time(view.asked_at, form_context.now))
            }
            p.question-text dir="auto" { (view.text) }
            button.button.small.quiet type="button" data-edit-question hidden { (icons::PENCIL) span { "Edit and ask again" } }
        }
    }
}

/// The question form. In an open conversation the script posts it and the answer appears below;
/// otherwise the browser navigates to the new conversation.
fn composer(form_context: FormContext<'_>, view: &ChatPage, base: &str) -> Markup {
    let thread = view.thread.as_ref();
    let posts = thread.map(|_| base);
    html! {
        @if thread.is_some() || !view.documents.is_empty() {
            form.composer #composer method="post" action=(base) data-once data-composer
                hx-post=[posts] hx-target=[posts.map(|_| "#messages")] hx-swap=[posts.map(|_| "beforeend")] {
                (csrf(form_context.csrf))
                @if let Some(thread) = thread { input type="hidden" name="thread" value=(thread.id); }
                (form_error(view.error.as_deref()))
                label.visually-hidden for="question" { "Your question" }
                textarea #question name="question" dir="auto" rows="2" required maxlength=(MAX_QUESTION_CHARS) placeholder="Ask a question about your documents\u{2026}"
                    aria-describedby="composer-hint" enterkeyhint="send" data-submit-on-enter data-draft { (view.draft) }
                div.composer-foot {
                    (scope::menu(view))
                    p.hint #composer-hint {
                        @if view.excerpts_only { "No AI model is configured. You\u{2019}ll get the most relevant passages instead." }
                        @else { "Answers may contain mistakes. Check the cited pages." }
                    }
                    button.button.primary.send type="submit" { (icons::SEND) span { "Ask" } }
                }
                noscript { p.hint { "Answers require JavaScript." } }
            }
        }
    }
}
