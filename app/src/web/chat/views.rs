//! Converts rows of conversations to views.

use super::pages;
use crate::ask::{AnswerFailure, Author, Citation, Message, MessageState, Thread};
use crate::ids::{DocumentId, UserId};
use crate::workspaces::members::Member;

pub(super) fn link(thread: Thread) -> pages::ThreadLink {
    pages::ThreadLink {
        id: thread.id,
        title: thread.title,
        updated_at: thread.updated_at,
    }
}

pub(super) fn choice((id, title): (DocumentId, String)) -> pages::DocumentChoice {
    pages::DocumentChoice { id, title }
}

pub(super) fn thread(
    thread: Thread,
    messages: Vec<Message>,
    members: &[Member],
) -> pages::ThreadView {
    let mut last_question = String::new();
    let messages = messages
        .into_iter()
        .map(|message| {
            if message.author == Author::Person {
                last_question.clone_from(&message.text);
                let asked_by = message.created_by.and_then(|user| name(members, user));
                pages::MessageView::Question(question(&message, asked_by))
            } else {
                pages::MessageView::Answer(answer(message, last_question.clone()))
            }
        })
        .collect();
    pages::ThreadView {
        id: thread.id,
        title: thread.title,
        scope: match thread.document {
            Some((document, title)) => pages::Scope::One { document, title },
            None => pages::Scope::All,
        },
        messages,
    }
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

pub(super) fn answer(message: Message, question: String) -> pages::AnswerView {
    pages::AnswerView {
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
                }
            }
        },
        text: message.text,
        citations: message.citations.into_iter().map(citation).collect(),
        question,
        created_at: message.created_at,
    }
}

fn citation(citation: Citation) -> pages::CitationView {
    pages::CitationView {
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
            "It may be overloaded. Ask again in a minute.",
        ),
        AnswerFailure::ModelQuotaExhausted => (
            "The model\u{2019}s usage limit is reached",
            "Your administrator has to check its plan and billing. Until then, you can search your documents.",
        ),
        AnswerFailure::ModelRejected => (
            "The model rejected the request",
            "Its configuration may be wrong. Contact your administrator.",
        ),
        AnswerFailure::Interrupted => (
            "The answer was interrupted",
            "The part that was written is shown above. Ask again, or ask a narrower question.",
        ),
        AnswerFailure::Timeout => (
            "The answer took too long",
            "The part that was written is shown above. Ask again, or ask a narrower question.",
        ),
        AnswerFailure::Database => (
            "Your database didn\u{2019}t respond",
            "It may have been starting up. Ask again in a moment.",
        ),
        AnswerFailure::Abandoned => (
            "The answer couldn\u{2019}t be completed",
            "We tried several times. Ask again in a few minutes.",
        ),
    }
}
