//! Conversations as the tenant's database keeps them: what they are, here; how they are asked, read and removed, in a file each.

mod asking;
mod reading;
mod removing;
mod row;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};

pub use asking::ask;
pub use reading::{
    DOCUMENTS_LISTED_MAX, MESSAGES_SHOWN_MAX, THREADS_LISTED_MAX, documents, find, list, message,
    messages, question_of,
};
pub use removing::{forget_document, remove};

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Stands in its URL.
    pub id: ThreadId,
    /// Its first question, shortened.
    pub title: String,
    /// The one document that it asks, with what it was called; `None`: all.
    pub document: Option<(DocumentId, String)>,
    /// When somebody last wrote in it.
    pub updated_at: Timestamp,
}

/// A question or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Stands in URLs.
    pub id: MessageId,
    /// Its conversation.
    pub thread: ThreadId,
    /// Its place there, from 0.
    pub ordinal: i32,
    /// Who speaks.
    pub author: Author,
    /// How far it is.
    pub state: MessageState,
    /// What is said.
    pub text: String,
    /// What an answer was given to read.
    pub citations: Vec<Citation>,
    /// Who asked.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A person, with a question.
    Person,
    /// A model, by its name.
    Model(String),
    /// The documents themselves.
    Extracts,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// It is to be written, or is being written.
    Pending,
    /// It is whole. So are questions.
    Complete,
    /// Somebody ended it.
    Stopped,
    /// It could not be written to its end.
    Failed(Failure),
    /// Nothing in the documents is near enough.
    NotFound,
}

/// A passage that an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// As it stands in the text: `[1]`.
    pub number: u32,
    /// Whose passage it is.
    pub document: DocumentId,
    /// What the document was called.
    pub title: String,
    /// The page where the best of it begins.
    pub page: u32,
    /// First page of the passage.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Whether the answer refers to it.
    pub cited: bool,
    /// What it says, shortened.
    pub quote: String,
    /// Whether the document has been removed since.
    #[serde(skip)]
    pub is_gone: bool,
}

/// Where a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a new conversation, of one document or of all.
    New(Option<DocumentId>),
    /// In one that is there.
    Thread(ThreadId),
}

/// A question that was asked, and its answer to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where they stand.
    pub thread: ThreadId,
    /// What was asked.
    pub question: Message,
    /// What will be answered.
    pub answer: Message,
}

/// One line of a text, of so many characters at most.
pub(in crate::ask) fn shortened(text: &str, characters_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(characters_max - 1) {
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
    fn a_title_is_one_line_and_ends_where_it_no_longer_fits() {
        assert_eq!(shortened("What\nis  this?", 20), "What is this?");
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde\u{2026}");
        assert_eq!(
            shortened("\u{e9}\u{e9}\u{e9}\u{e9}", 3),
            "\u{e9}\u{e9}\u{2026}"
        );
    }
}
