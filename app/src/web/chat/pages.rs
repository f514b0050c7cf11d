//! Conversations with the documents.
//!
//! A question is posted as a form (`question`, and `document` for one document alone, `thread` to go on with one) to `/w/{workspace}/chat`.
//! The answer then stands in its thread as `Pending` and connects to `/w/{workspace}/chat/{thread}/messages/{message}/events`:
//! - [`EVENT_STATUS`] carries [`answer_status`];
//! - [`EVENT_TEXT`] carries [`answer_text`] of all that was written so far, so that a reader who comes late or again misses nothing;
//! - [`EVENT_DONE`] carries [`answer`] in its final form and ends the stream.

mod answer;
mod prose;

use jiff::Timestamp;
use maud::{Markup, html};

pub use answer::{
    AnswerState, AnswerView, Author, Citation, Progress, answer, answer_status, answer_text,
};

use crate::ids::{DocumentId, MessageId, ThreadId, WorkspaceId};
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{self, csrf, form_trouble};
use crate::web::shared::pages::{format, icons};

/// The event that says what is being done before there is text.
pub const EVENT_STATUS: &str = "status";
/// The event that carries the text so far.
pub const EVENT_TEXT: &str = "text";
/// The event that carries the whole answer and ends the stream.
pub const EVENT_DONE: &str = "done";
/// The longest question, in characters.
pub use crate::ask::MAX_QUESTION_CHARS;

/// Where messages stand.
#[derive(Debug, Clone, Copy)]
pub struct ChatPlace<'a> {
    /// Whose conversations they are.
    pub workspace: &'a WorkspaceId,
    /// The session's token against forged forms.
    pub csrf: &'a str,
    /// When the fragment is made: ages are told from it.
    pub now: Timestamp,
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPage {
    /// Conversations, newest first.
    pub threads: Vec<ThreadLink>,
    /// The one that is open; `None` is a new one.
    pub thread: Option<ThreadView>,
    /// Documents that can be asked.
    pub documents: Vec<DocumentChoice>,
    /// For a new conversation: the document that was chosen.
    pub chosen: Option<DocumentId>,
    /// Whether answers are extracts, since no model is set up.
    pub extracts_only: bool,
    /// The question typed before, if that went wrong.
    pub draft: String,
    /// What went wrong with the question, and what to do.
    pub trouble: Option<String>,
}

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLink {
    /// Stands in its URL.
    pub id: ThreadId,
    /// Its first question, shortened.
    pub title: String,
    /// When somebody last wrote in it.
    pub updated_at: Timestamp,
}

/// A document that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChoice {
    /// As the form sends it.
    pub id: DocumentId,
    /// What people call it.
    pub title: String,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadView {
    /// Stands in its URL.
    pub id: ThreadId,
    /// Its first question, shortened.
    pub title: String,
    /// What it asks.
    pub scope: Scope,
    /// Questions and answers in order.
    pub messages: Vec<MessageView>,
}

/// What a conversation asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every document.
    All,
    /// One document.
    One {
        /// Which.
        document: DocumentId,
        /// What people call it.
        title: String,
    },
}

/// A question or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageView {
    /// What somebody asked.
    Question(QuestionView),
    /// What came back.
    Answer(AnswerView),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionView {
    /// Its place in the page.
    pub id: MessageId,
    /// As it was typed.
    pub text: String,
    /// Who asked, unless they are gone.
    pub asked_by: Option<String>,
    /// When.
    pub asked_at: Timestamp,
}

/// The page.
pub fn page(context: &PageContext, place: ChatPlace<'_>, view: &ChatPage) -> Markup {
    let base = format!("/w/{}/chat", place.workspace);
    let title = view
        .thread
        .as_ref()
        .map_or("New conversation", |thread| &thread.title);
    Layout::new(context, title)
        .section(Section::Chat)
        .class("chat")
        .render(&html! {
            (thread_list(place, &view.threads, view.thread.as_ref().map(|thread| thread.id)))
            div.conversation {
                (head(place, view, &base))
                div.messages #messages role="log" aria-label="Conversation" {
                    @if let Some(thread) = &view.thread {
                        @for message in &thread.messages { (self::message(place, thread.id, message)) }
                    } @else { (beginning(place, view)) }
                }
                (composer(place, view, &base))
            }
        })
}

/// The list of conversations beside the open one; on a phone it folds.
pub fn thread_list(
    place: ChatPlace<'_>,
    threads: &[ThreadLink],
    current: Option<ThreadId>,
) -> Markup {
    let base = format!("/w/{}/chat", place.workspace);
    html! {
        details.threads #threads data-wide-open {
            summary { (icons::CHAT) span { "Conversations" } span.count { (threads.len()) } }
            nav aria-label="Conversations" {
                a.button.wide href=(base) { (icons::PLUS) "New conversation" }
                @if threads.is_empty() { p.hint { "Your conversations are kept here, in your database." } }
                ul {
                    @for thread in threads {
                        li {
                            a href={ (base) "/" (thread.id) } aria-current=[(current == Some(thread.id)).then_some("page")] {
                                span.thread-title { (thread.title) }
                                small { (format::time(thread.updated_at, place.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn head(place: ChatPlace<'_>, view: &ChatPage, base: &str) -> Markup {
    html! {
        header.conversation-head {
            @match &view.thread {
                None => h1 { "New conversation" },
                Some(thread) => {
                    div {
                        h1 { (thread.title) }
                        p.hint {
                            @match &thread.scope {
                                Scope::All => "Asks all documents",
                                Scope::One { document, title } => { "Asks " a href={ "/w/" (place.workspace) "/documents/" (document) } { (title) } },
                            }
                        }
                    }
                    (parts::menu("thread-menu", "this conversation", &parts::button_form(&format!("{base}/{}/remove", thread.id), place.csrf,
                        "menu-item danger", html! { (icons::TRASH) span { "Remove conversation" } })))
                },
            }
        }
    }
}

/// What stands where the messages will be.
fn beginning(place: ChatPlace<'_>, view: &ChatPage) -> Markup {
    html! {
        @if view.documents.is_empty() {
            (parts::empty(icons::DOCUMENTS, "Nothing to ask yet", "Bring a PDF first. As soon as it is ready you can ask it anything.",
                Some(html! { a.button.primary href={ "/w/" (place.workspace) "/documents" } { (icons::UPLOAD) "Bring documents" } })))
        } @else {
            div.empty {
                span.empty-icon { (icons::CHAT) }
                h2 { "What would you like to know?" }
                p { "Ask in plain words. The answer names the pages it rests on; a click opens the PDF there." }
            }
        }
    }
}

/// A message as it stands in its thread.
pub fn message(place: ChatPlace<'_>, thread: ThreadId, message: &MessageView) -> Markup {
    match message {
        MessageView::Question(view) => question(place, view),
        MessageView::Answer(view) => answer(place, thread, view),
    }
}

/// A question just asked and its answer to come: what a script-posted question gets back, to be put at the end of `#messages`.
pub fn exchange(
    place: ChatPlace<'_>,
    thread: ThreadId,
    asked: &QuestionView,
    answering: &AnswerView,
) -> Markup {
    html! {
        (question(place, asked))
        (answer(place, thread, answering))
    }
}

fn question(place: ChatPlace<'_>, view: &QuestionView) -> Markup {
    html! {
        article.message.question id={ "message-" (view.id) } {
            header.message-head {
                strong { (view.asked_by.as_deref().unwrap_or("A former member")) }
                " " (format::time(view.asked_at, place.now))
            }
            p.question-text { (view.text) }
        }
    }
}

/// The form for a question. In an open thread the script posts it and the answer appears below; otherwise the page changes to the thread.
fn composer(place: ChatPlace<'_>, view: &ChatPage, base: &str) -> Markup {
    let thread = view.thread.as_ref();
    let posts = thread.map(|_| base);
    html! {
        @if thread.is_some() || !view.documents.is_empty() {
            form.composer #composer method="post" action=(base) data-once data-composer
                hx-post=[posts] hx-target=[posts.map(|_| "#messages")] hx-swap=[posts.map(|_| "beforeend")] {
                (csrf(place.csrf))
                @if let Some(thread) = thread { input type="hidden" name="thread" value=(thread.id); }
                (form_trouble(view.trouble.as_deref()))
                label.visually-hidden for="question" { "Your question" }
                textarea #question name="question" rows="2" required maxlength=(MAX_QUESTION_CHARS) placeholder="Ask your documents\u{2026}"
                    aria-describedby="composer-hint" enterkeyhint="send" data-submit-on-enter { (view.draft) }
                div.composer-foot {
                    @if thread.is_none() { (scope_choice(view)) }
                    p.hint #composer-hint {
                        @if view.extracts_only { "No model is set up: you get the passages that fit best." }
                        @else { "Answers can be wrong. Check the pages they name." }
                    }
                    button.button.primary.send type="submit" { (icons::SEND) span { "Ask" } }
                }
                noscript { p.hint { "Answers are streamed, which needs JavaScript." } }
            }
        }
    }
}

fn scope_choice(view: &ChatPage) -> Markup {
    html! {
        div.scope {
            label.visually-hidden for="scope" { "Which documents to ask" }
            select #scope name="document" {
                option value="" selected[view.chosen.is_none()] { "All documents" }
                @for document in &view.documents {
                    option value=(document.id) selected[view.chosen == Some(document.id)] { (document.title) }
                }
            }
        }
    }
}
