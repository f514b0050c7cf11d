//! Why files do not form a valid set of migrations.

use std::io;
use std::path::PathBuf;

use super::limits::{MAX_MIGRATIONS, MAX_SQL_BYTES};

#[derive(Debug, thiserror::Error)]
pub enum MigrationSetError {
    #[error("no migrations found: add at least one file such as 0001_documents.sql")]
    Empty,
    #[error("{file:?} is not a valid migration file name: {problem}")]
    InvalidFileName { file: String, problem: &'static str },
    #[error("{first} and {second} have the same version: renumber one of them")]
    DuplicateVersion { first: String, second: String },
    /// If the second statement of such a file failed, the effect of the first would remain.
    #[error(
        "{file} runs outside a transaction, where only one statement is allowed (got {count}): move each \
         statement to its own file"
    )]
    MultipleStatements { file: String, count: usize },
    #[error("{file} contains no SQL statement")]
    NoStatement { file: String },
    #[error("{file}, line {line}: {what}")]
    Unterminated {
        file: String,
        /// Where the unterminated token starts.
        line: usize,
        what: &'static str,
    },
    #[error("{file}, line {line}: a migration must not contain {what}")]
    Forbidden {
        file: String,
        line: usize,
        /// What was found, and why it is forbidden.
        what: &'static str,
    },
    #[error(
        "the migrations exceed the limit of {MAX_MIGRATIONS} files or of {MAX_SQL_BYTES} bytes in total"
    )]
    TooLarge,
    #[error(
        "{file} is not encoded in UTF-8 but in {encoding}: save it as UTF-8 without a byte order mark"
    )]
    NotUtf8 {
        file: String,
        /// What the encoding seems to be.
        encoding: &'static str,
    },
    #[error(
        "{first} of an earlier source comes after {second} of a later one: list the sources in the order of their versions"
    )]
    OutOfOrder { first: String, second: String },
    /// The directory, or a file in it.
    #[error("failed to read {path}")]
    Unreadable { path: PathBuf, source: io::Error },
}

impl MigrationSetError {
    /// The file to correct and the line, if the error is one of a file.
    pub fn location(&self) -> Option<(&str, usize)> {
        match self {
            Self::InvalidFileName { file, .. }
            | Self::MultipleStatements { file, .. }
            | Self::NoStatement { file }
            | Self::NotUtf8 { file, .. } => Some((file, 1)),
            Self::Unterminated { file, line, .. } | Self::Forbidden { file, line, .. } => {
                Some((file, *line))
            }
            Self::DuplicateVersion { second, .. } => Some((second, 1)),
            Self::OutOfOrder { first, .. } => Some((first, 1)),
            Self::Empty | Self::TooLarge | Self::Unreadable { .. } => None,
        }
    }
}
