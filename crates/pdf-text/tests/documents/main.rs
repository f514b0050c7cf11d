//! Documents from end to end: through the confined child, as the app reads them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod child;
mod hostile;
mod pdf;
mod text;

use pdf_text::{ExtractError, Extraction, Extractor, ExtractorConfig, Limits, Refusal};

/// An extractor whose child is this crate's own program.
fn extractor(limits: Limits) -> Extractor {
    Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        limits,
    })
}

/// Reads a file as the app does.
async fn extract(limits: Limits, file: &[u8]) -> Result<Extraction, Refusal> {
    match extractor(limits).extract(file, |_| ()).await {
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("the machinery failed: {error:?}"),
    }
}

/// The texts of the pages.
fn texts(extraction: &Extraction) -> Vec<&str> {
    extraction
        .pages
        .iter()
        .map(|page| page.text.as_str())
        .collect()
}
