//! Why ingesting a document failed or is blocked: as stored in rows, and as messages for users.

use pdf_text::DocumentError;
use serde::{Deserialize, Serialize};
use sqlx::Postgres;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};

/// Why a document is `failed`. Stored in the row as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IngestError {
    /// The file itself cannot be ingested.
    File(DocumentError),
    /// The upload, or one of the services that ingestion needs.
    System(SystemFailure),
}

/// Reasons other than the file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum SystemFailure {
    /// The file did not arrive before the deadline.
    UploadMissing,
    /// The uploaded file differs from the announced one.
    UploadMismatch,
    /// The stored file no longer exists.
    FileMissing,
    /// A user cancelled the ingestion.
    Cancelled,
    /// The object store was unavailable for all attempts.
    StorageUnavailable,
    /// The workspace's database was unavailable for all attempts.
    DatabaseUnavailable,
    /// The workspace's database has no space for the document.
    DatabaseFull,
    /// The embedding model was unavailable for all attempts.
    ModelUnavailable,
    /// The embedding model rejected the text.
    ModelRejected,
    /// Ingesting the document repeatedly crashed the worker.
    WorkerCrashed,
    /// A reason written by a newer version.
    #[serde(other)]
    Unknown,
}

impl IngestError {
    fn to_json(&self) -> String {
        // These enums always serialize; the fallback is a failure that decodes.
        serde_json::to_string(self).unwrap_or_else(|_| r#"{"failure":"unknown"}"#.to_owned())
    }

    fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::System(SystemFailure::Unknown))
    }

    /// Identifier for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::System(failure) => failure.code(),
        }
    }

    /// What happened, for the user.
    pub fn message(&self) -> String {
        match self {
            Self::File(error) => error.to_string(),
            Self::System(failure) => failure.message().to_owned(),
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File(error) => error.hint(),
            Self::System(failure) => failure.hint(),
        }
    }

    /// Whether another attempt at ingesting the stored file can succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File(error) => {
                matches!(error, DocumentError::Internal | DocumentError::TooSlow)
            }
            Self::System(_) => self.has_file(),
        }
    }

    /// Whether the file is still stored; if not, the user has to upload it again. A file that is
    /// not a PDF is deleted when its upload is completed.
    pub fn has_file(&self) -> bool {
        !matches!(
            self,
            Self::File(DocumentError::NotPdf)
                | Self::System(
                    SystemFailure::UploadMissing
                        | SystemFailure::UploadMismatch
                        | SystemFailure::FileMissing
                )
        )
    }
}

impl SystemFailure {
    fn code(self) -> &'static str {
        match self {
            Self::UploadMissing => "upload_missing",
            Self::UploadMismatch => "upload_mismatch",
            Self::FileMissing => "file_missing",
            Self::Cancelled => "cancelled",
            Self::StorageUnavailable => "storage_unavailable",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseFull => "database_full",
            Self::ModelUnavailable => "model_unavailable",
            Self::ModelRejected => "model_rejected",
            Self::WorkerCrashed => "worker_crashed",
            Self::Unknown => "unknown",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::UploadMissing => "The upload wasn\u{2019}t completed.",
            Self::UploadMismatch => "The uploaded file isn\u{2019}t the one you chose.",
            Self::FileMissing => "The stored file is missing.",
            Self::Cancelled => "The processing of this document was cancelled.",
            Self::StorageUnavailable => "The file storage was unavailable for too long.",
            Self::DatabaseUnavailable => {
                "This workspace\u{2019}s database was unavailable for too long."
            }
            Self::DatabaseFull => "This workspace\u{2019}s database is full.",
            Self::ModelUnavailable => "The embedding model was unavailable for too long.",
            Self::ModelRejected => "The embedding model rejected this document\u{2019}s text.",
            Self::WorkerCrashed => {
                "We tried to process this file several times, and every attempt crashed."
            }
            Self::Unknown => "This document couldn\u{2019}t be processed.",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::UploadMissing => "Upload the file again.",
            Self::UploadMismatch => "It may have changed during the upload. Upload it again.",
            Self::FileMissing => "Delete this document and upload the file again.",
            Self::Cancelled => "Your file is safe. Process it again, or delete the document.",
            Self::StorageUnavailable | Self::ModelUnavailable => {
                "Your file is safe. Process it again in a few minutes."
            }
            Self::DatabaseUnavailable => {
                "Your file is safe. Process it again once the database is available."
            }
            Self::DatabaseFull => {
                "Your file is safe. Delete documents that you no longer need, or ask your administrator to raise the database\u{2019}s size limit. Then process this document again."
            }
            Self::ModelRejected => {
                "Your file is safe. Ask your administrator to check the model\u{2019}s settings, then process it again."
            }
            Self::WorkerCrashed => {
                "Your file is safe. Process it again. If that fails, print it to a new PDF and upload that."
            }
            Self::Unknown => {
                "Your file is safe. Process it again. If that fails, delete it and upload the file again."
            }
        }
    }
}

impl sqlx::Type<Postgres> for IngestError {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <str as sqlx::Type<Postgres>>::compatible(ty)
    }
}

impl sqlx::Encode<'_, Postgres> for IngestError {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <String as sqlx::Encode<Postgres>>::encode(self.to_json(), buffer)
    }
}

/// Never fails on the content: what this version does not know becomes [`SystemFailure::Unknown`].
impl<'r> sqlx::Decode<'r, Postgres> for IngestError {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_json(<&str as sqlx::Decode<Postgres>>::decode(
            value,
        )?))
    }
}

/// What an ingestion is waiting for. It continues without user action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum BlockedOn {
    Storage,
    Database,
    DatabaseNotReady,
    Model,
    /// The program that extracts text from PDFs could not run.
    Reader,
}

impl BlockedOn {
    /// What is being waited for, for the user.
    pub fn message(self) -> &'static str {
        match self {
            Self::Storage => "The file storage isn\u{2019}t responding.",
            Self::Database => "This workspace\u{2019}s database isn\u{2019}t responding.",
            Self::DatabaseNotReady => "This workspace\u{2019}s database isn\u{2019}t ready yet.",
            Self::Model => "The embedding model isn\u{2019}t responding.",
            Self::Reader => "The PDF reader couldn\u{2019}t start.",
        }
    }

    /// The failure that the document ends with after the last attempt.
    pub fn into_permanent(self) -> IngestError {
        match self {
            Self::Storage => IngestError::System(SystemFailure::StorageUnavailable),
            Self::Database | Self::DatabaseNotReady => {
                IngestError::System(SystemFailure::DatabaseUnavailable)
            }
            Self::Model => IngestError::System(SystemFailure::ModelUnavailable),
            Self::Reader => IngestError::File(DocumentError::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_a_round_trip_through_the_column() {
        for error in [
            IngestError::File(DocumentError::Encrypted),
            IngestError::File(DocumentError::TooManyPages {
                pages: 9000,
                max_pages: 5000,
            }),
            IngestError::System(SystemFailure::UploadMismatch),
            IngestError::System(SystemFailure::WorkerCrashed),
        ] {
            assert_eq!(IngestError::from_json(&error.to_json()), error);
            assert!(error.to_json().contains(error.code()));
        }
    }

    #[test]
    fn unknown_column_values_decode_as_an_unknown_failure() {
        for text in [
            "",
            "no json",
            r#"{"failure":"weather"}"#,
            r#"{"refusal":"weather"}"#,
        ] {
            assert_eq!(
                IngestError::from_json(text),
                IngestError::System(SystemFailure::Unknown),
                "{text}"
            );
        }
    }

    #[test]
    fn only_failures_with_a_stored_file_can_be_retried() {
        assert!(!IngestError::System(SystemFailure::UploadMissing).is_retryable());
        assert!(!IngestError::File(DocumentError::Encrypted).is_retryable());
        assert!(IngestError::System(SystemFailure::ModelUnavailable).is_retryable());
        assert!(IngestError::System(SystemFailure::Cancelled).is_retryable());
        assert!(IngestError::System(SystemFailure::DatabaseFull).is_retryable());
    }

    #[test]
    fn the_file_is_stored_unless_it_is_missing_or_not_a_pdf() {
        for error in [
            IngestError::File(DocumentError::NotPdf),
            IngestError::System(SystemFailure::UploadMissing),
            IngestError::System(SystemFailure::UploadMismatch),
            IngestError::System(SystemFailure::FileMissing),
        ] {
            assert!(!error.has_file(), "{error:?}");
            assert!(!error.is_retryable(), "{error:?}");
        }
        assert!(IngestError::File(DocumentError::Encrypted).has_file());
        assert!(IngestError::System(SystemFailure::Cancelled).has_file());
    }
}
