//! Reasons why a document cannot be read, with messages for the user who uploaded it.

use serde::{Deserialize, Serialize};

/// Reason why a document cannot be read. All reasons are permanent: the same file gives the same
/// error.
///
/// `Display` says what happened. [`DocumentError::hint`] says what the user can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum DocumentError {
    #[error("This file is not a PDF.")]
    NotPdf,
    /// The file requires a password. Files that open with an empty password are read.
    #[error("This PDF is protected with a password.")]
    Encrypted,
    /// The pages contain hardly any text: scans or drawings.
    #[error("This PDF contains no text. Its pages are images or empty.")]
    NoText,
    /// All text uses fonts without character codes.
    #[error("The text of this PDF uses fonts without character codes and cannot be read.")]
    UnreadableFont,
    #[error("This PDF has no pages.")]
    Empty,
    /// Many pages are missing: the end of the file is lost.
    #[error("This PDF is incomplete ({expected} pages expected, {found} found).")]
    Incomplete {
        /// Number of pages that the file should have.
        expected: u32,
        found: u32,
    },
    /// The file has no text of its own, only attached files.
    #[error("This PDF is a portfolio with {files} attached files and has no text of its own.")]
    Portfolio { files: u32 },
    /// The pages are only a placeholder for a dynamic XFA form.
    #[error("This PDF is an XFA form, whose content only some PDF viewers can show.")]
    XfaForm,
    /// The file exceeds `max_input_bytes`.
    #[error("This file is larger than {max_bytes} bytes.")]
    TooLarge { max_bytes: u64 },
    /// The file exceeds `max_pages`.
    #[error("This PDF has {pages} pages. The limit is {max_pages} pages.")]
    TooManyPages {
        /// Number of pages in the file.
        pages: u32,
        max_pages: u32,
    },
    #[error("This PDF contains more than {max_bytes} bytes of text.")]
    TooMuchText { max_bytes: u64 },
    /// One page exceeds `max_page_text_bytes` or `max_page_words`.
    #[error("Page {page} of this PDF contains too much text for one page.")]
    TooMuchTextOnPage {
        /// Number of the page, starting at 1.
        page: u32,
    },
    #[error("This PDF contains more than {max_words} words.")]
    TooManyWords { max_words: u32 },
    /// The text has more passages than the caller stores of one document.
    #[error("This PDF contains more than {max_passages} passages of text.")]
    TooManyPassages { max_passages: u32 },
    /// The file could not be parsed.
    #[error("This PDF is damaged and could not be opened.")]
    Broken,
    /// Reading the file exceeds the memory limit, for example because of a decompression bomb or
    /// deep nesting.
    #[error("This PDF needs too much memory to read.")]
    TooComplex,
    /// Reading the file exceeds the time limit.
    #[error("This PDF took too long to read.")]
    TooSlow,
    /// The reader failed because of a bug.
    #[error("This PDF could not be read because of an internal error.")]
    Internal,
}

impl DocumentError {
    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotPdf => "Check that you chose the right file, or save it as a PDF first.",
            Self::Encrypted => {
                "Open it with its password, save or print it as a PDF without one, and upload that."
            }
            Self::NoText => {
                "If it was scanned, run text recognition (OCR) on it first, as scanner software and PDF editors offer, and upload the result."
            }
            Self::UnreadableFont => {
                "Print it to a new PDF from the program that made it, or run text recognition (OCR) on it, and upload the result."
            }
            Self::Empty => "Check that the export or download was complete.",
            Self::Incomplete { .. } => {
                "Download it again, and check that it has all its pages before you upload it."
            }
            Self::Portfolio { .. } => {
                "Save the attached files with a PDF viewer and upload them separately."
            }
            Self::XfaForm => {
                "Open it in a viewer that shows the form, print it to a new PDF, and upload that."
            }
            Self::TooLarge { .. } => {
                "Split it into smaller files, or reduce the size of its images."
            }
            Self::TooMuchTextOnPage { .. } => {
                "Check the page in a viewer. If it looks like an ordinary page, print it to a new PDF and upload that."
            }
            Self::TooManyPages { .. }
            | Self::TooMuchText { .. }
            | Self::TooManyWords { .. }
            | Self::TooManyPassages { .. } => {
                "Split it into several files, for example one per chapter."
            }
            Self::Broken => {
                "Download it again. If your viewer can open it, print it to a new PDF and upload that."
            }
            Self::TooComplex | Self::TooSlow => "Print it to a new PDF and upload that.",
            Self::Internal => {
                "Print it to a new PDF and upload that. If that fails too, contact support."
            }
        }
    }

    /// Identifier for metrics, logs and database rows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPdf => "not_pdf",
            Self::Encrypted => "encrypted",
            Self::NoText => "no_text",
            Self::UnreadableFont => "unreadable_font",
            Self::Empty => "empty",
            Self::Incomplete { .. } => "incomplete",
            Self::Portfolio { .. } => "portfolio",
            Self::XfaForm => "xfa_form",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyPages { .. } => "too_many_pages",
            Self::TooMuchText { .. } => "too_much_text",
            Self::TooMuchTextOnPage { .. } => "too_much_text_on_page",
            Self::TooManyWords { .. } => "too_many_words",
            Self::TooManyPassages { .. } => "too_many_passages",
            Self::Broken => "broken",
            Self::TooComplex => "too_complex",
            Self::TooSlow => "too_slow",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_equals_its_serialized_name() -> serde_json::Result<()> {
        for error in [
            DocumentError::NotPdf,
            DocumentError::TooManyPages {
                pages: 9_000,
                max_pages: 5_000,
            },
            DocumentError::TooMuchText { max_bytes: 1 },
            DocumentError::Incomplete {
                expected: 40,
                found: 6,
            },
            DocumentError::XfaForm,
            DocumentError::TooMuchTextOnPage { page: 1 },
            DocumentError::TooManyWords { max_words: 1 },
            DocumentError::TooManyPassages { max_passages: 1 },
            DocumentError::Internal,
        ] {
            let json = serde_json::to_value(&error)?;
            assert_eq!(
                json.get("error").and_then(|name| name.as_str()),
                Some(error.code())
            );
            assert_eq!(serde_json::from_value::<DocumentError>(json)?, error);
        }
        Ok(())
    }
}
