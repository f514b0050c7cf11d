//! End-to-end tests through the sandboxed child, as the app extracts documents.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod cases;
mod child;
mod fonts;
mod forms;
mod hostile;
mod labelled;
mod pdf;
#[path = "../support/random.rs"]
mod random;
mod report;
mod tables;
mod text;

use pdf_text::{DocumentError, ExtractError, Extraction, Extractor, ExtractorConfig, Limits};

/// Returns an extractor that runs this crate's program as its child.
fn extractor(limits: Limits) -> Extractor {
    Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        limits,
    })
}

async fn extract(limits: Limits, file: &[u8]) -> Result<Extraction, DocumentError> {
    match extractor(limits).extract(file, |_| ()).await {
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Document(error)) => Err(error),
        Err(error) => panic!("the extractor failed: {error:?}"),
    }
}

/// Returns the texts of the pages.
fn texts(extraction: &Extraction) -> Vec<&str> {
    extraction
        .pages
        .iter()
        .map(|page| page.text.as_str())
        .collect()
}
