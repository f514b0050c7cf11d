//! Why a file could not be read, in words for the person who brought it.

use serde::{Deserialize, Serialize};

/// Why a document has no text for us. All of them are lasting: the same file gets the same answer.
///
/// `Display` says what happened, [`Refusal::what_to_do`] what the person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// The bytes are something else.
    #[error("This file is not a PDF.")]
    NotPdf,
    /// It opens only with a password. (One that opens with an empty password is read.)
    #[error("This PDF is protected with a password.")]
    Encrypted,
    /// Pages, but hardly a word on them: scans, drawings.
    #[error("This PDF holds no text: its pages are pictures, or empty.")]
    NoText,
    /// No page at all.
    #[error("This PDF has no pages.")]
    Empty,
    /// More bytes than are read.
    #[error("This file is larger than {bytes_max} bytes.")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// More pages than are read.
    #[error("This PDF has {pages} pages; up to {pages_max} can be read.")]
    TooManyPages {
        /// How many it has.
        pages: u32,
        /// The limit.
        pages_max: u32,
    },
    /// More text than is kept.
    #[error("This PDF holds more than {bytes_max} bytes of text.")]
    TooMuchText {
        /// The limit.
        bytes_max: u64,
    },
    /// Nothing in it could be made sense of.
    #[error("This PDF is damaged and could not be opened.")]
    Broken,
    /// It asks for more memory than a document gets: a decompression bomb, endless nesting.
    #[error("This PDF is built in a way that takes too much memory to read.")]
    TooComplex,
    /// It asks for more time than a document gets.
    #[error("This PDF took too long to read.")]
    TooSlow,
    /// The reader failed on it: a defect of ours.
    #[error("This PDF could not be read because of an error on our side.")]
    Internal,
}

impl Refusal {
    /// What the person can do.
    pub fn what_to_do(&self) -> &'static str {
        match self {
            Self::NotPdf => "Check that it is the right file, or save it as PDF first.",
            Self::Encrypted => {
                "Open it with its password, save or print it as a PDF without one, and upload that."
            }
            Self::NoText => {
                "If it was scanned, run text recognition (OCR) on it first, as scanner software and PDF editors offer, and upload the result."
            }
            Self::Empty => "Check that the export or the download was complete.",
            Self::TooLarge { .. } => "Split it, or save it with smaller pictures.",
            Self::TooManyPages { .. } | Self::TooMuchText { .. } => {
                "Split it into parts, such as one file a chapter, and upload those."
            }
            Self::Broken => {
                "Download it again; if your viewer shows it, print it as a new PDF and upload that."
            }
            Self::TooComplex | Self::TooSlow => "Print it as a new PDF and upload that.",
            Self::Internal => {
                "Print it as a new PDF and upload that; if that fails too, please tell us."
            }
        }
    }

    /// A short name for metrics, logs and rows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPdf => "not_pdf",
            Self::Encrypted => "encrypted",
            Self::NoText => "no_text",
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyPages { .. } => "too_many_pages",
            Self::TooMuchText { .. } => "too_much_text",
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
    fn a_refusal_has_the_same_name_in_rows_and_on_the_wire() -> serde_json::Result<()> {
        for refusal in [
            Refusal::NotPdf,
            Refusal::TooManyPages {
                pages: 9_000,
                pages_max: 5_000,
            },
            Refusal::TooMuchText { bytes_max: 1 },
            Refusal::Internal,
        ] {
            let json = serde_json::to_value(&refusal)?;
            assert_eq!(
                json.get("refusal").and_then(|name| name.as_str()),
                Some(refusal.code())
            );
            assert_eq!(serde_json::from_value::<Refusal>(json)?, refusal);
        }
        Ok(())
    }
}
