//! Why a document could not be read, and what is in the way for now: as rows keep it, and in words that say what to do.

use pdf_text::Refusal;
use serde::{Deserialize, Serialize};

/// Why a document `failed`. The row holds it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Failure {
    /// The file itself.
    File(Refusal),
    /// Its way here, or something of ours.
    Own(OwnFailure),
}

/// Reasons that lie outside of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum OwnFailure {
    /// It did not arrive in time.
    UploadMissing,
    /// What arrived is not what was announced.
    UploadMismatch,
    /// The stored file is gone.
    FileGone,
    /// Somebody cancelled the reading.
    Cancelled,
    /// The store of files was away for too long.
    StorageAway,
    /// The workspace's database was away for too long.
    DatabaseAway,
    /// The embedding model was away for too long.
    ModelAway,
    /// The embedding model will not take the text.
    ModelRefused,
    /// Reading it took the worker down, more than once.
    WorkerDied,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Failure {
    /// As the row holds it.
    pub fn to_column(&self) -> String {
        // Enums of numbers and unit variants always become JSON; the fallback is still a failure that can be read.
        serde_json::to_string(self).unwrap_or_else(|_| r#"{"failure":"unknown"}"#.to_owned())
    }

    /// From the row.
    pub fn from_column(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::Own(OwnFailure::Unknown))
    }

    /// One word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(refusal) => refusal.code(),
            Self::Own(own) => own.code(),
        }
    }

    /// What happened.
    pub fn reason(&self) -> String {
        match self {
            Self::File(refusal) => refusal.to_string(),
            Self::Own(own) => own.words().0.to_owned(),
        }
    }

    /// What to do about it.
    pub fn what_to_do(&self) -> &'static str {
        match self {
            Self::File(refusal) => refusal.what_to_do(),
            Self::Own(own) => own.words().1,
        }
    }

    /// Whether reading it again may end otherwise.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::File(refusal) => matches!(refusal, Refusal::Internal | Refusal::TooSlow),
            Self::Own(_) => self.has_file(),
        }
    }

    /// Whether the file is still kept. Without it, only bringing it again helps. What is no PDF is not kept: that is seen
    /// when it arrives.
    pub fn has_file(&self) -> bool {
        !matches!(
            self,
            Self::File(Refusal::NotPdf)
                | Self::Own(
                    OwnFailure::UploadMissing | OwnFailure::UploadMismatch | OwnFailure::FileGone
                )
        )
    }
}

impl OwnFailure {
    fn code(self) -> &'static str {
        match self {
            Self::UploadMissing => "upload_missing",
            Self::UploadMismatch => "upload_mismatch",
            Self::FileGone => "file_gone",
            Self::Cancelled => "cancelled",
            Self::StorageAway => "storage_away",
            Self::DatabaseAway => "database_away",
            Self::ModelAway => "model_away",
            Self::ModelRefused => "model_refused",
            Self::WorkerDied => "worker_died",
            Self::Unknown => "unknown",
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::UploadMissing => (
                "The file did not arrive.",
                "The upload was broken off; choose the file again.",
            ),
            Self::UploadMismatch => (
                "What arrived is not the file that was chosen.",
                "It may have changed while it was sent; choose it again.",
            ),
            Self::FileGone => (
                "The stored file is gone.",
                "Remove this document and bring the file again.",
            ),
            Self::Cancelled => (
                "Reading was cancelled.",
                "Read it again when you want it, or remove it.",
            ),
            Self::StorageAway => (
                "The file store was away for too long.",
                "Nothing is lost: read it again in a while.",
            ),
            Self::DatabaseAway => (
                "This workspace's database was away for too long.",
                "Nothing is lost: read it again when the database is back.",
            ),
            Self::ModelAway => (
                "The embedding model was away for too long.",
                "Nothing is lost: read it again in a while.",
            ),
            Self::ModelRefused => (
                "The embedding model refused the text.",
                "Whoever runs this site has to look at the model's settings; read it again after that.",
            ),
            Self::WorkerDied => (
                "Reading this file stopped our reader several times.",
                "Print it as a new PDF and bring that; reading it again may help if the site was being restarted.",
            ),
            Self::Unknown => (
                "This document could not be read.",
                "Read it again; if that fails too, remove it and bring it anew.",
            ),
        }
    }
}

/// What is in the way for now; reading goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The store of files.
    Storage,
    /// The workspace's database is away.
    Database,
    /// The workspace's database is not ready yet.
    DatabaseNotReady,
    /// The embedding model is away.
    Model,
    /// The reader of PDFs could not run.
    Reader,
}

impl Trouble {
    /// As the row holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Database => "database",
            Self::DatabaseNotReady => "database_not_ready",
            Self::Model => "model",
            Self::Reader => "reader",
        }
    }

    /// From the row. One that this version does not know is none.
    pub fn from_column(text: &str) -> Option<Self> {
        [
            Self::Storage,
            Self::Database,
            Self::DatabaseNotReady,
            Self::Model,
            Self::Reader,
        ]
        .into_iter()
        .find(|trouble| trouble.as_str() == text)
    }

    /// What people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Storage => "The file store does not answer.",
            Self::Database => "This workspace's database does not answer.",
            Self::DatabaseNotReady => "This workspace's database is not ready yet.",
            Self::Model => "The embedding model does not answer.",
            Self::Reader => "The reader of PDFs could not start.",
        }
    }

    /// What the document has failed with when it lasts too long.
    pub fn when_it_lasts(self) -> Failure {
        match self {
            Self::Storage => Failure::Own(OwnFailure::StorageAway),
            Self::Database | Self::DatabaseNotReady => Failure::Own(OwnFailure::DatabaseAway),
            Self::Model => Failure::Own(OwnFailure::ModelAway),
            Self::Reader => Failure::File(Refusal::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_back_from_their_rows() {
        for failure in [
            Failure::File(Refusal::Encrypted),
            Failure::File(Refusal::TooManyPages {
                pages: 9000,
                pages_max: 5000,
            }),
            Failure::Own(OwnFailure::UploadMismatch),
            Failure::Own(OwnFailure::WorkerDied),
        ] {
            assert_eq!(Failure::from_column(&failure.to_column()), failure);
            assert!(failure.to_column().contains(failure.code()));
        }
    }

    #[test]
    fn what_an_older_or_newer_version_wrote_is_still_a_failure() {
        for text in [
            "",
            "no json",
            r#"{"failure":"weather"}"#,
            r#"{"refusal":"weather"}"#,
        ] {
            assert_eq!(
                Failure::from_column(text),
                Failure::Own(OwnFailure::Unknown),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_cannot_be_read_again() {
        assert!(!Failure::Own(OwnFailure::UploadMissing).is_worth_a_retry());
        assert!(!Failure::File(Refusal::Encrypted).is_worth_a_retry());
        assert!(Failure::Own(OwnFailure::ModelAway).is_worth_a_retry());
        assert!(Failure::Own(OwnFailure::Cancelled).is_worth_a_retry());
    }

    #[test]
    fn a_file_is_kept_unless_it_never_came_is_gone_or_is_no_pdf() {
        for failure in [
            Failure::File(Refusal::NotPdf),
            Failure::Own(OwnFailure::UploadMissing),
            Failure::Own(OwnFailure::UploadMismatch),
            Failure::Own(OwnFailure::FileGone),
        ] {
            assert!(!failure.has_file(), "{failure:?}");
            assert!(!failure.is_worth_a_retry(), "{failure:?}");
        }
        assert!(Failure::File(Refusal::Encrypted).has_file());
        assert!(Failure::Own(OwnFailure::Cancelled).has_file());
    }

    #[test]
    fn troubles_come_back_from_their_rows() {
        assert_eq!(Trouble::from_column("model"), Some(Trouble::Model));
        assert_eq!(Trouble::from_column("weather"), None);
    }
}
