//! Maps errors of documents to [`Problem`]s.

use axum::http::StatusCode;

use crate::documents::{ChangeError, CompleteUploadError, CreateUploadError, IngestError};
use crate::jobs::QueueError;
use crate::objects::ObjectStoreError;
use crate::tenants::Unavailable;
use crate::web::shared::Problem;

const MEGABYTE: u64 = 1_000_000;

pub(super) fn create_upload(error: CreateUploadError) -> Problem {
    let rejected = |code, title: String, hint: &'static str| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, hint)
    };
    match error {
        CreateUploadError::Empty => rejected(
            "empty",
            "The file is empty".to_owned(),
            "Nothing was uploaded. Check that the file was exported or downloaded completely.",
        ),
        CreateUploadError::TooLarge { max_bytes } => rejected(
            "too_large",
            format!("This file is larger than {}", size(max_bytes)),
            "Nothing was uploaded. Split the file, or reduce the size of its images.",
        ),
        CreateUploadError::NotPdf => rejected(
            "not_pdf",
            "Only PDF files are supported".to_owned(),
            "Nothing was uploaded. Save the file as a PDF and upload that.",
        ),
        CreateUploadError::TooMany { max_documents } => rejected(
            "too_many",
            format!("This workspace has reached its limit of {max_documents} documents"),
            "Nothing was uploaded. Delete a document first, and try again.",
        ),
        CreateUploadError::Duplicate { title, .. } => Problem::new(
            StatusCode::CONFLICT,
            "duplicate",
            format!("This file is already in the workspace as \u{201c}{title}\u{201d}"),
            "You don\u{2019}t need to upload it again.",
        ),
        CreateUploadError::WorkspaceDeleted => Problem::not_found(),
        CreateUploadError::Objects(error) => objects(error),
        CreateUploadError::Database(error) => error.into(),
    }
}

pub(super) fn complete_upload(error: CompleteUploadError) -> Problem {
    match error {
        CompleteUploadError::NotFound => Problem::not_found(),
        CompleteUploadError::NotArrived => Problem::new(
            StatusCode::CONFLICT,
            "not_arrived",
            "The upload is incomplete",
            "Upload the file again.",
        ),
        CompleteUploadError::Objects(error) => objects(error),
        CompleteUploadError::Database(error) => error.into(),
        CompleteUploadError::Queue(error) => queue(error),
    }
}

/// The uploaded file was rejected.
pub(super) fn rejected_file(error: &IngestError) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        error.code(),
        error.message(),
        error.hint(),
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
        "The file of this document is missing",
        "Upload it again, or delete the document.",
    )
}

fn queue(error: QueueError) -> Problem {
    match error {
        QueueError::Database(error) => error.into(),
        error @ QueueError::Payload(_) => Problem::internal_error(&error),
    }
}

pub(super) fn objects(error: ObjectStoreError) -> Problem {
    match error {
        ObjectStoreError::NotFound => no_file(),
        ObjectStoreError::Unavailable(_) => Problem::unavailable(
            "The file storage isn\u{2019}t responding. Your files are safe. Try again in a moment.",
        ),
        error @ (ObjectStoreError::Rejected { .. } | ObjectStoreError::InvalidRequest) => {
            Problem::internal_error(&error)
        }
    }
}

/// Why the workspace's database is unavailable, in one line.
pub(super) fn database_message(reason: &Unavailable) -> &'static str {
    match reason {
        Unavailable::Provisioning(_) | Unavailable::SchemaOutdated { .. } => {
            "Your database is being set up. Try again in a moment."
        }
        Unavailable::Stalled(_) => {
            "Your database couldn\u{2019}t be set up. Your administrator needs to fix a problem first."
        }
        Unavailable::Deleted | Unavailable::NotOwned => {
            "Your database no longer exists. The database status page explains your options."
        }
        Unavailable::PoolsExhausted => "The service is busy. Try again in a moment.",
        Unavailable::Full => {
            "Your database is full. Delete documents that you no longer need, or ask your administrator to raise its size limit."
        }
        Unavailable::Unreachable { .. } => {
            "Your database isn\u{2019}t responding; it may be starting up. Try again in a moment."
        }
    }
}

fn size(byte_count: u64) -> String {
    if byte_count >= MEGABYTE {
        format!("{} MB", byte_count / MEGABYTE)
    } else {
        format!("{byte_count} bytes")
    }
}
