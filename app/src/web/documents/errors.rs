//! What each way of not working means for whoever asked.

use axum::http::StatusCode;

use crate::documents::{CreateUploadError, ChangeError, CompleteUploadError, IngestError};
use crate::jobs::QueueError;
use crate::objects::ObjectStoreError;
use crate::tenants::Unavailable;
use crate::web::shared::Problem;

const MEGABYTE: u64 = 1_000_000;

pub(super) fn begin(error: CreateUploadError) -> Problem {
    let refusal = |code, title: String, hint: &'static str| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, hint)
    };
    match error {
        CreateUploadError::Empty => refusal(
            "empty",
            "The file is empty".to_owned(),
            "Check that its export or download was complete.",
        ),
        CreateUploadError::TooLarge { max_bytes } => refusal(
            "too_large",
            format!("A file may have {}", size(max_bytes)),
            "Split it, or save it with smaller pictures.",
        ),
        CreateUploadError::NotPdf => refusal(
            "not_pdf",
            "Only PDF files can be read".to_owned(),
            "Save or print it as a PDF, and bring that.",
        ),
        CreateUploadError::TooMany { max_documents } => refusal(
            "too_many",
            format!("This workspace holds its {max_documents} documents"),
            "Remove one to bring another.",
        ),
        CreateUploadError::Duplicate { title, .. } => Problem::new(
            StatusCode::CONFLICT,
            "duplicate",
            format!("This file is here already, as \u{201c}{title}\u{201d}"),
            "There is no need to bring it again.",
        ),
        CreateUploadError::WorkspaceDeleted => Problem::not_found(),
        CreateUploadError::Objects(error) => objects(error),
        CreateUploadError::Database(error) => error.into(),
    }
}

pub(super) fn complete(error: CompleteUploadError) -> Problem {
    match error {
        CompleteUploadError::NotFound => Problem::not_found(),
        CompleteUploadError::NotArrived => Problem::new(
            StatusCode::CONFLICT,
            "not_arrived",
            "The file has not arrived",
            "Choose it again.",
        ),
        CompleteUploadError::Objects(error) => objects(error),
        CompleteUploadError::Database(error) => error.into(),
        CompleteUploadError::Queue(error) => queue(error),
    }
}

/// The file was looked at and is not what it should be.
pub(super) fn refused(failure: &IngestError) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        failure.code(),
        failure.message(),
        failure.hint(),
    )
}

pub(super) fn change(error: ChangeError) -> Problem {
    match error {
        ChangeError::NotFound => Problem::not_found(),
        ChangeError::FileMissing => no_file(),
        ChangeError::Database(error) => error.into(),
        ChangeError::Queue(error) => queue(error),
    }
}

pub(super) fn no_file() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no_file",
        "The file of this document is not here",
        "Bring it again, or remove the document.",
    )
}

fn queue(error: QueueError) -> Problem {
    match error {
        QueueError::Database(error) => error.into(),
        error @ (QueueError::Payload(_)
        | QueueError::Migrate(_)
        | QueueError::Cleanup(_)
        | QueueError::TakenOver) => Problem::internal_error(&error),
    }
}

pub(super) fn objects(error: ObjectStoreError) -> Problem {
    match error {
        ObjectStoreError::NotFound => no_file(),
        ObjectStoreError::Unavailable(_) => Problem::unavailable(
            "The file store is away for a moment. Nothing is lost; try again soon.",
        ),
        error @ (ObjectStoreError::Rejected { .. } | ObjectStoreError::InvalidRequest) => Problem::internal_error(&error),
    }
}

/// Why the workspace's database is not there, and what to do.
pub(super) fn database_words(reason: &Unavailable) -> &'static str {
    match reason {
        Unavailable::Provisioning(_) | Unavailable::SchemaOutdated { .. } => {
            "This workspace's database is being made ready. Try again in a moment."
        }
        Unavailable::Stalled(_) => {
            "This workspace's database waits for whoever runs this site. Its page says what it waits for."
        }
        Unavailable::Deleted | Unavailable::NotOwned => {
            "This workspace's database is gone. Its page says what can be done."
        }
        Unavailable::PoolsExhausted => {
            "Too many databases are in use right now. Try again in a moment."
        }
        Unavailable::Unreachable { .. } => {
            "This workspace's database does not answer; it may be waking up. Try again in a moment."
        }
    }
}

/// Whether the database ended a statement for its length.
pub(super) fn is_statement_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("57014"))
}

fn size(byte_count: u64) -> String {
    if byte_count >= MEGABYTE {
        format!("{} MB at most", byte_count / MEGABYTE)
    } else {
        format!("{byte_count} bytes at most")
    }
}
