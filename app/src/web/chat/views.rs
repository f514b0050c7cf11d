//! Converts rows of conversations to views.

use std::collections::HashMap;

use super::pages;
use crate::ask::threads::{AnswerNotes, ScopeDocument};
use crate::ask::{AnswerFailure, Author, Citation, Message, MessageState, Thread, Visibility};
use crate::documents::DocumentPages;
use crate::ids::{DocumentId, MessageId, UserId};
use crate::workspaces::members::Member;

pub(super) fn link(thread: Thread, reader: UserId, members: &[Member]) -> pages::ThreadLink {
    pages::ThreadLink {
        sharing: sharing(&thread, reader, members),
        id: thread.id,
        title: thread.title,
        is_pinned: thread.is_pinned,
        updated_at: thread.updated_at,
    }
}

fn sharing(thread: &Thread, reader: UserId, members: &[Member]) -> pages::Sharing {
    let is_own = thread.created_by == reader;
    let author =
        || name(members, thread.created_by).unwrap_or_else(|| "a former member".to_owned());
    match thread.visibility {
        Visibility::NotRestricted => pages::Sharing::NotRestricted,
        Visibility::Private => pages::Sharing::Private,
        Visibility::Shared if is_own => pages::Sharing::SharedByReader,
        Visibility::Shared => pages::Sharing::SharedBy(author()),
    }
}

pub(super) fn choice((id, title): (DocumentId, String)) -> pages::DocumentChoice {
    pages::DocumentChoice { id, title }
}

pub(super) fn thread(
    thread: Thread,
    messages: Vec<Message>,
    reader: UserId,
    members: &[Member],
    context: &AnswerContext,
    can_delete: bool,
) -> pages::ThreadView {
    let messages = messages
        .into_iter()
        .map(|message| {
            if message.author == Author::Person {
                let asked_by = message.created_by.and_then(|user| name(members, user));
                pages::MessageView::Question(question(&message, asked_by))
            } else {
                pages::MessageView::Answer(answer(message, context))
            }
        })
        .collect();
    pages::ThreadView {
        sharing: sharing(&thread, reader, members),
        id: thread.id,
        title: thread.title,
        scope: scope(thread.documents),
        is_pinned: thread.is_pinned,
        can_delete,
        messages,
    }
}

pub(super) fn scope(documents: Vec<ScopeDocument>) -> Vec<pages::DocumentChoice> {
    documents
        .into_iter()
        .map(|ScopeDocument { document, title }| choice((document, title)))
        .collect()
}

pub(super) fn ids(documents: &[ScopeDocument]) -> Vec<DocumentId> {
    documents.iter().map(|scope| scope.document).collect()
}

fn name(members: &[Member], user: UserId) -> Option<String> {
    members
        .iter()
        .find(|member| member.user == user)
        .map(|member| member.display_name.clone())
}

pub(super) fn question(message: &Message, asked_by: Option<String>) -> pages::QuestionView {
    pages::QuestionView {
        id: message.id,
        text: message.text.clone(),
        asked_by,
        asked_at: message.created_at,
    }
}

/// What an answer's view needs besides its row.
#[derive(Debug, Default)]
pub(super) struct AnswerContext {
    /// The documents that the conversation is limited to; empty for all.
    pub(super) scope: Vec<DocumentId>,
    /// Of the cited documents, and of all documents with pages that could not be read.
    pub(super) documents: HashMap<DocumentId, DocumentPages>,
    /// Of the conversation's answers. `None` if they cannot be rated.
    pub(super) notes: Option<HashMap<MessageId, AnswerNotes>>,
    pub(super) reader: Option<UserId>,
    /// For the names of those who stopped answers.
    pub(super) members: Vec<Member>,
}

impl AnswerContext {
    fn stopped_by(&self, message: MessageId) -> Option<String> {
        let user = self.notes.as_ref()?.get(&message)?.stopped_by?;
        if self.reader == Some(user) {
            return Some("You".to_owned());
        }
        Some(name(&self.members, user).unwrap_or_else(|| "A former member".to_owned()))
    }

    fn rating(&self, message: MessageId) -> Option<pages::RatingView> {
        let notes = self.notes.as_ref()?.get(&message);
        Some(notes.and_then(|notes| notes.rating).into())
    }
}

pub(super) fn answer(message: Message, context: &AnswerContext) -> pages::AnswerView {
    pages::AnswerView {
        stopped_by: context.stopped_by(message.id),
        rating: context.rating(message.id),
        unread: unread(&message, context),
        id: message.id,
        author: match message.author {
            Author::Model(name) => pages::AuthorView::Model { name },
            Author::Excerpts | Author::Person => pages::AuthorView::Excerpts,
        },
        state: match message.state {
            MessageState::Pending => pages::AnswerState::Pending,
            MessageState::Complete => pages::AnswerState::Complete,
            MessageState::Stopped => pages::AnswerState::Stopped,
            MessageState::NotFound => pages::AnswerState::NotFound,
            MessageState::Failed(failure) => {
                let (reason, hint) = explain(failure);
                pages::AnswerState::Failed {
                    reason: reason.to_owned(),
                    hint: hint.to_owned(),
                    can_continue: failure == AnswerFailure::MaxLength,
                }
            }
        },
        text: message.text,
        citations: message
            .citations
            .into_iter()
            .map(|citation| view(citation, context))
            .collect(),
        created_at: message.created_at,
    }
}

/// The documents with pages that could not be read, among those that the answer is based on: the
/// cited ones, or if nothing was found, all that were searched.
fn unread(message: &Message, context: &AnswerContext) -> Vec<pages::UnreadDocument> {
    let is_searched = |id: &DocumentId| context.scope.is_empty() || context.scope.contains(id);
    let is_cited = |id: &DocumentId| {
        let mut cited = message.citations.iter().filter(|citation| citation.cited);
        cited.any(|citation| citation.document == *id)
    };
    let mut unread: Vec<_> = context
        .documents
        .iter()
        .filter(|(id, _)| match message.state {
            MessageState::NotFound => is_searched(id),
            MessageState::Complete => is_cited(id),
            MessageState::Pending | MessageState::Stopped | MessageState::Failed(_) => false,
        })
        .filter(|(_, document)| document.report.unread_count() > 0)
        .filter_map(|(id, document)| {
            Some(pages::UnreadDocument {
                document: *id,
                title: document.title.clone(),
                summary: document.report.summary()?,
            })
        })
        .collect();
    unread.sort_by(|a, b| (&a.title, a.document.0).cmp(&(&b.title, b.document.0)));
    unread
}

fn view(citation: Citation, context: &AnswerContext) -> pages::CitationView {
    let label = |page| {
        let report = &context.documents.get(&citation.document)?.report;
        report.label(page).map(ToOwned::to_owned)
    };
    pages::CitationView {
        printed_from: label(citation.page_from),
        printed_to: label(citation.page_to),
        number: citation.number,
        document: (!citation.document_removed).then_some(citation.document),
        title: citation.title,
        page: citation.page,
        page_from: citation.page_from,
        page_to: citation.page_to,
        cited: citation.cited,
        quote: citation.quote,
    }
}

/// The reason and the hint.
fn explain(failure: AnswerFailure) -> (&'static str, &'static str) {
    match failure {
        AnswerFailure::ModelBusy => (
            "The model didn\u{2019}t respond",
            "It may be overloaded. Try again in a minute.",
        ),
        AnswerFailure::ModelQuotaExhausted => (
            "The model\u{2019}s usage limit is reached",
            "Ask your administrator to check its plan and billing. In the meantime, you can search your documents.",
        ),
        AnswerFailure::ModelRejected => (
            "The model rejected the request",
            "Its configuration may be wrong. Contact your administrator.",
        ),
        AnswerFailure::Interrupted => (
            "The answer was interrupted",
            "The part that was written is shown above. Try again, or ask a narrower question.",
        ),
        AnswerFailure::EmptyAnswer => (
            "The model\u{2019}s answer was empty",
            "Try again, or rephrase your question.",
        ),
        AnswerFailure::MaxLength => (
            "The answer reached its maximum length",
            "The part that was written is shown above. Continue it, or ask a narrower question.",
        ),
        AnswerFailure::Timeout => (
            "The answer took too long",
            "The part that was written is shown above. Try again, or ask a narrower question.",
        ),
        AnswerFailure::Database => (
            "Your database didn\u{2019}t respond",
            "It may have been starting up. Try again in a moment.",
        ),
        AnswerFailure::DatabaseFull => (
            "Your workspace\u{2019}s database is full",
            "Your question is saved, but the answer isn\u{2019}t. Delete documents or conversations that you no longer need, or ask your administrator to raise the size limit. Then try again.",
        ),
        AnswerFailure::Abandoned => (
            "The answer couldn\u{2019}t be completed",
            "We tried several times. Try again in a few minutes.",
        ),
    }
}
