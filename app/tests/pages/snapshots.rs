//! Snapshots of every page of the gallery, and of the texts of errors.

use app::documents::{BlockedOn, IngestError, SystemFailure};
use app::identity::return_to::ReturnTo;
use app::web::shared::Problem;
use insta::assert_snapshot;
use pdf_text::DocumentError;

use crate::{outline, samples};

/// Pages of which the snapshot also contains the header, the navigation and the footer.
const WITH_LAYOUT: [&str; 3] = ["home", "account", "documents"];

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn every_page_of_the_gallery_matches_its_snapshot() {
    settings().bind(|| {
        for (name, page) in samples::all() {
            let html = page.into_string();
            let content = if WITH_LAYOUT.contains(&name) {
                outline::page(&html)
            } else {
                outline::main(&html)
            };
            assert_snapshot!(name, content);
        }
    });
}

#[test]
fn the_texts_of_problems_match_their_snapshot() {
    let problems = [
        Problem::malformed_request(),
        Problem::signed_out(&ReturnTo::new("/account")),
        Problem::owners_only(),
        Problem::invalid_csrf_token(),
        Problem::cross_site("https://folio.example"),
        Problem::not_found(),
        Problem::of_status(axum::http::StatusCode::METHOD_NOT_ALLOWED),
        Problem::too_large(),
        Problem::invalid_input("Enter a name of 1 to 80 characters."),
        Problem::rate_limited(1),
        Problem::rate_limited(30),
        Problem::rate_limited(150),
        Problem::unexpected(),
        Problem::from(sqlx::Error::PoolTimedOut),
        Problem::timeout(),
    ];
    let texts = problems.map(|problem| {
        let status = problem.status.as_u16();
        let Problem {
            code, title, hint, ..
        } = problem;
        format!("{status} {code}\n  {title}\n  {hint}\n")
    });
    settings().bind(|| assert_snapshot!("problems", texts.concat()));
}

#[test]
fn the_texts_of_ingestion_failures_match_their_snapshot() {
    let files = [
        DocumentError::NotPdf,
        DocumentError::Encrypted,
        DocumentError::NoText,
        DocumentError::Empty,
        DocumentError::TooLarge {
            max_bytes: 25_000_000,
        },
        DocumentError::TooManyPages {
            pages: 9_000,
            max_pages: 5_000,
        },
        DocumentError::TooMuchText {
            max_bytes: 20_000_000,
        },
        DocumentError::Broken,
        DocumentError::TooComplex,
        DocumentError::TooSlow,
        DocumentError::Internal,
    ];
    let failures = [
        SystemFailure::UploadMissing,
        SystemFailure::UploadMismatch,
        SystemFailure::FileMissing,
        SystemFailure::Cancelled,
        SystemFailure::StorageUnavailable,
        SystemFailure::DatabaseUnavailable,
        SystemFailure::DatabaseFull,
        SystemFailure::ModelUnavailable,
        SystemFailure::ModelRejected,
        SystemFailure::WorkerCrashed,
        SystemFailure::Unknown,
    ];
    let blocked = [
        BlockedOn::Storage,
        BlockedOn::Database,
        BlockedOn::DatabaseNotReady,
        BlockedOn::Model,
        BlockedOn::Reader,
    ];
    let failed = files
        .map(IngestError::File)
        .into_iter()
        .chain(failures.map(IngestError::System))
        .map(|error| {
            let retryable = if error.is_retryable() {
                " (retryable)"
            } else {
                ""
            };
            let (code, message, hint) = (error.code(), error.message(), error.hint());
            format!("{code}{retryable}\n  {message}\n  {hint}\n")
        });
    let waiting = blocked
        .into_iter()
        .map(|on| format!("{on:?}\n  {}\n", on.message()));
    let texts: String = failed.chain(waiting).collect();
    settings().bind(|| assert_snapshot!("ingestion-failures", texts));
}
