//! Rows of conversations as pages show them.

use super::pages;
use crate::ask::{Author, Citation, AnswerFailure, Message, MessageState, Thread};
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
    let mut asked = String::new();
    let messages = messages
        .into_iter()
        .map(|message| {
            if message.author == Author::Person {
                asked.clone_from(&message.text);
                let by = message.created_by.and_then(|user| name(members, user));
                pages::MessageView::Question(question(&message, by))
            } else {
                pages::MessageView::Answer(answer(message, asked.clone()))
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

pub(super) fn question(message: &Message, by: Option<String>) -> pages::QuestionView {
    pages::QuestionView {
        id: message.id,
        text: message.text.clone(),
        asked_by: by,
        asked_at: message.created_at,
    }
}

/// `asked` is the question that it answers.
pub(super) fn answer(message: Message, asked: String) -> pages::AnswerView {
    pages::AnswerView {
        id: message.id,
        author: match message.author {
            Author::Model(name) => pages::Author::Model { name },
            Author::Extracts | Author::Person => pages::Author::Extracts,
        },
        state: match message.state {
            MessageState::Pending => pages::AnswerState::Pending,
            MessageState::Complete => pages::AnswerState::Complete,
            MessageState::Stopped => pages::AnswerState::Stopped,
            MessageState::NotFound => pages::AnswerState::NotFound,
            MessageState::Failed(failure) => {
                let (reason, hint) = words(failure);
                pages::AnswerState::Failed {
                    reason: reason.to_owned(),
                    hint: hint.to_owned(),
                }
            }
        },
        text: message.text,
        citations: message.citations.into_iter().map(citation).collect(),
        question: asked,
        created_at: message.created_at,
    }
}

fn citation(citation: Citation) -> pages::Citation {
    pages::Citation {
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

/// What happened, and what to do.
fn words(failure: AnswerFailure) -> (&'static str, &'static str) {
    match failure {
        AnswerFailure::ModelBusy => (
            "The model did not answer",
            "It is away or has too much to do. Ask again in a minute.",
        ),
        AnswerFailure::ModelQuotaExhausted => (
            "The model\u{2019}s account is used up",
            "Whoever runs this site has to look at its plan and billing. Until then, search the documents.",
        ),
        AnswerFailure::ModelRejected => (
            "The model refused the question",
            "Its settings or its key are not right. Whoever runs this site has to look at them.",
        ),
        AnswerFailure::Interrupted => (
            "The answer broke off",
            "What was written is above. Ask again, or ask for less at once.",
        ),
        AnswerFailure::Timeout => (
            "The answer took too long",
            "What was written is above. Ask again, or ask for less at once.",
        ),
        AnswerFailure::Database => (
            "Your database did not answer",
            "It may have been waking up. Ask again in a moment.",
        ),
        AnswerFailure::Abandoned => (
            "The answer could not be finished",
            "It was begun several times and never came to its end. Ask again.",
        ),
    }
}
