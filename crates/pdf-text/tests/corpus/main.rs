//! Other people's PDFs: each ends with its text or with a word that says why not. `make test` reads those of one package, `make
//! test-long` all of them, and compares the text with poppler's.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod files;
mod poppler;

use std::path::Path;

use files::Part;
use pdf_text::{ExtractError, Extraction, Extractor, ExtractorConfig, Limits, Refusal};

/// A corpus with fewer files lost some on the way.
const FILES_MIN: usize = 200;
/// What the text of the manuals shares with poppler's, in the median.
const WORD_F1_MEDIAN_MIN: f64 = 0.98;

async fn read(path: &Path) -> Result<Extraction, Refusal> {
    let file = tokio::fs::File::open(path)
        .await
        .expect("the file is there");
    let extractor = Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        limits: Limits::default(),
    });
    match extractor.extract(file, |_| ()).await {
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{}: the machinery failed: {error:?}", path.display()),
    }
}

/// Reads all files of the part; the count of files, and what went wrong with any of them.
async fn read_part(part: Part) -> (usize, Vec<String>) {
    let files = part.files().expect("the corpus can be had");
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.display();
        match read(file).await {
            Ok(extraction) if extraction.pages.is_empty() => wrong.push(format!("{name}: no page")),
            Ok(_)
            | Err(
                Refusal::NoText
                | Refusal::Encrypted
                | Refusal::Empty
                | Refusal::Broken
                | Refusal::NotPdf,
            ) => {}
            Err(refusal) => wrong.push(format!("{name}: {refusal:?}")),
        }
    }
    (files.len(), wrong)
}

#[tokio::test]
async fn the_odd_files_of_one_package_end_with_text_or_a_reason() {
    let (count, wrong) = read_part(Part::SMALL).await;
    assert!(count > 60, "{count} files are too few");
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
#[ignore = "downloads tens of megabytes and reads ten thousand pages: make test-long"]
async fn every_file_of_the_corpus_ends_with_text_or_a_reason() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for part in Part::ALL {
        let (files, of_part) = read_part(part).await;
        count += files;
        wrong.extend(of_part);
    }
    assert!(count >= FILES_MIN, "{count} files are too few");
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
#[ignore = "downloads tens of megabytes and needs pdftotext: make test-long"]
async fn the_manuals_text_agrees_with_popplers() {
    let mut agreement = Vec::new();
    for file in Part::Manuals.files().expect("the corpus can be had") {
        let extraction = read(&file).await.expect("a manual can be read");
        let ours: Vec<&str> = extraction
            .pages
            .iter()
            .map(|page| page.text.as_str())
            .collect();
        let theirs = poppler::text(&file)
            .expect("poppler is there")
            .expect("poppler reads a manual");
        agreement.push(poppler::word_f1(&ours.join("\n"), &theirs));
    }
    let median = poppler::median(agreement);
    assert!(median >= WORD_F1_MEDIAN_MIN, "the median is {median:.4}");
}
