//! Conversations as stored in the tenant's database: the types here, and inserting, reading and
//! deleting them in a file each.

mod delete;
mod former_members;
mod insert;
mod notes;
mod queries;
mod rename;
mod row;
mod sharing;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AnswerFailure;
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};

pub use delete::{
    Deletion, PurgeConversations, UNDO_TIME, clear_quotes_of_document, delete, find_deleted,
    purge_deleted, restore,
};
pub use former_members::{DeletePrivateConversations, delete_private};
pub use insert::{ask, regenerate};
pub use notes::{AnswerNotes, Rating, notes, rate};
pub use row::IS_VISIBLE;
pub(in crate::ask) use row::{StoredAuthor, StoredState, scope};

pub use rename::{InvalidThreadTitle, MAX_TITLE_CHARS, ThreadTitle, rename};
pub use sharing::{pin, share};

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
    pub visibility: Visibility,
    /// Whether the reader pinned it.
    pub is_pinned: bool,
    /// The documents that the conversation is about; empty for all documents.
    pub documents: Vec<ScopeDocument>,
    /// When the last question was asked.
    pub updated_at: Timestamp,
}

/// Who sees a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The user who started it.
    Private,
    /// All members, because that user shared it.
    Shared,
    /// All members, because the tenant has not been migrated yet.
    NotRestricted,
}

/// A document that a conversation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeDocument {
    pub document: DocumentId,
    /// The title when it was chosen, shown after the document was deleted.
    pub title: String,
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

/// Which conversation a question belongs to. Without documents, it is about all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionTarget<'a> {
    /// A new conversation about these documents.
    NewThread(&'a [DocumentId]),
    Thread(ThreadId),
    /// A conversation that is about these documents from now on.
    ThreadAbout(ThreadId, &'a [DocumentId]),
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
