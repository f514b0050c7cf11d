//! Conversations as stored in the tenant's database: the types here, and inserting, reading and
//! deleting them in a file each.

mod delete;
mod insert;
mod notes;
mod queries;
mod rename;
mod row;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AnswerFailure;
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};

pub use delete::{clear_quotes_of_document, delete};
pub use insert::{ask, regenerate};
pub use notes::{AnswerNotes, Rating, notes, rate};
pub(in crate::ask) use row::{StoredAuthor, StoredState};

pub use rename::{InvalidThreadTitle, MAX_TITLE_CHARS, ThreadTitle, rename};

pub use queries::{
    MAX_LISTED_DOCUMENTS, MAX_LISTED_THREADS, MAX_SEARCH_CHARS, MAX_SHOWN_MESSAGES, documents,
    find, list, message, messages, search,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub id: ThreadId,
    /// Its first question, shortened.
    pub title: String,
    pub created_by: UserId,
    /// The document that the conversation is about, with its title at the time; `None` for all
    /// documents.
    pub document: Option<(DocumentId, String)>,
    /// When the last question was asked.
    pub updated_at: Timestamp,
}

/// A question or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub thread: ThreadId,
    /// Position in the conversation, from 0.
    pub ordinal: i32,
    pub author: Author,
    pub state: MessageState,
    pub text: String,
    /// The passages that the answer was based on.
    pub citations: Vec<Citation>,
    /// The user who asked; `None` for answers.
    pub created_by: Option<UserId>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A user, with a question.
    Person,
    /// A chat model, by name.
    Model(String),
    /// No model: the answer consists of excerpts.
    Excerpts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// An answer that is being written or about to be.
    Pending,
    /// A finished answer, or a question.
    Complete,
    /// Stopped by a user.
    Stopped,
    Failed(AnswerFailure),
    /// No passage is relevant enough.
    NotFound,
}

/// A passage that an answer is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// As in the text: `[1]`.
    pub number: u32,
    pub document: DocumentId,
    /// The document's title at the time.
    pub title: String,
    /// The page on which the best part of the passage begins.
    pub page: u32,
    pub page_from: u32,
    pub page_to: u32,
    /// Whether the answer's text refers to this citation.
    pub cited: bool,
    /// The passage, shortened.
    pub quote: String,
    /// Whether the document has been deleted since.
    #[serde(skip)]
    pub document_removed: bool,
}

/// Which conversation a question belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionTarget {
    /// A new conversation, about one document or all of them.
    NewThread(Option<DocumentId>),
    Thread(ThreadId),
    /// A conversation that is about this document from now on, or about all of them.
    ThreadAbout(ThreadId, Option<DocumentId>),
}

/// A stored question with its pending answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedQuestion {
    pub thread: ThreadId,
    pub question: Message,
    pub answer: Message,
}

/// Collapses white space and truncates to `max_characters`, with an ellipsis.
pub(in crate::ask) fn shorten(text: &str, max_characters: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max_characters - 1) {
        Some((end, _)) if line[end..].chars().nth(1).is_some() => {
            format!("{}\u{2026}", line[..end].trim_end())
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_text_is_one_line_with_an_ellipsis_if_truncated() {
        assert_eq!(shorten("What\nis  this?", 20), "What is this?");
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde\u{2026}");
        assert_eq!(
            shorten("\u{e9}\u{e9}\u{e9}\u{e9}", 3),
            "\u{e9}\u{e9}\u{2026}"
        );
    }
}
